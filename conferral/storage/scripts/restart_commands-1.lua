--[[
  Deletes the command stream if it is empty and its last id is far ahead of the time. Redis refuses ids below the last
  one, so a publisher that adds the highest id would end all control.

  KEYS[1]  stream of commands

  ARGV[1]  how far ahead the last id may be  ms

  Returns  1  deleted; the next command starts it again
           0  left as it is
  Why one script: no command may arrive between the check and the deletion.
]]
local commands, ahead_ms = KEYS[1], tonumber(ARGV[1])
if redis.call('EXISTS', commands) == 0 or redis.call('XLEN', commands) > 0 then return 0 end
local about, time = redis.call('XINFO', 'STREAM', commands), redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for place = 1, #about, 2 do
  if about[place] == 'last-generated-id' and tonumber(about[place + 1]:match('^%d+')) > now_ms + ahead_ms then
    return redis.call('DEL', commands)
  end
end
return 0
