--[[
  Registers a running process, and removes those that have not been seen for long.

  KEYS[1]  processes hash: what each process reports about itself, by name

  ARGV[1]  name of the process
  ARGV[2]  what it reports      text; the script prepends Redis's time in ms and a space
  ARGV[3]  removed after        ms

  Returns  1
  Why one script: the time must come from the server that has the hash.
]]
local processes, name, info, forgotten_ms = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local found = redis.call('HGETALL', processes)
redis.call('HDEL', processes, '')
for i = 1, #found, 2 do
  local seen_ms = tonumber(string.match(found[i + 1], '^(%d+) ') or '0')
  if math.abs(now_ms - seen_ms) > forgotten_ms then redis.call('HDEL', processes, found[i]) end
end
redis.call('HSET', processes, name, string.format('%.0f', now_ms) .. ' ' .. info)
return 1
