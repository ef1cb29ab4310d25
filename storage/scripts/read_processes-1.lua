--[[
  Reads what the processes have told of themselves.

  KEYS[1]  processes hash

  Returns  {now_ms, name, told, ...}
  Why one script: the time has to be that of the server that keeps the hash.
]]
local time = redis.call('TIME')
local answer = {tostring(tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))}
local found = redis.call('HGETALL', KEYS[1])
for i = 1, #found do answer[i + 1] = found[i] end
return answer
