--[[
  Reads the registered processes.

  KEYS[1]  processes hash

  Returns  {now_ms, name, info, ...}
  Why one script: the time must come from the server that has the hash.
]]
local time = redis.call('TIME')
local answer = {tostring(tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))}
local found = redis.call('HGETALL', KEYS[1])
for i = 1, #found do answer[i + 1] = found[i] end
return answer
