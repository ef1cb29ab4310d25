--[[
  Returns all agents whose presence was renewed lately, and removes the others.

  KEYS[1]  agents hash, all values JSON

  ARGV[1]  how long a renewal counts   ms

  Returns  {identity, agent, ...}   as JSON
  Why a script: an agent whose presence is renewed at the same moment must not be removed.
]]
local agents, lifetime_ms = KEYS[1], tonumber(ARGV[1])
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local current, gone, fields = {}, {}, redis.call('HGETALL', agents)
for i = 1, #fields, 2 do
  -- A time in the future was left when the clock was set back.
  if math.abs(now_ms - cjson.decode(fields[i + 1]).renewed_ms) < lifetime_ms then
    current[#current + 1], current[#current + 2] = fields[i], fields[i + 1]
  else
    gone[#gone + 1] = fields[i]
  end
end
for _, identity in ipairs(gone) do redis.call('HDEL', agents, identity) end
return current
