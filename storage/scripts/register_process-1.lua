--[[
  Notes that a process runs, and forgets those of which nothing was heard for long.

  KEYS[1]  processes hash: what each has told of itself, by name

  ARGV[1]  name of the process
  ARGV[2]  what it tells        text; Redis's time in ms and a space are put in front of it
  ARGV[3]  forgotten after      ms

  Returns  1
  Why one script: the time has to be that of the server that keeps the hash.
]]
local processes, name, told, forgotten_ms = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local found = redis.call('HGETALL', processes)
redis.call('HDEL', processes, '')
for i = 1, #found, 2 do
  local seen_ms = tonumber(string.match(found[i + 1], '^(%d+) ') or '0')
  if math.abs(now_ms - seen_ms) > forgotten_ms then redis.call('HDEL', processes, found[i]) end
end
redis.call('HSET', processes, name, string.format('%.0f', now_ms) .. ' ' .. told)
return 1
