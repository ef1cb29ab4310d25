--[[
  Returns all agents whose presence was renewed lately, and removes the others, as well as what can't be read.

  KEYS[1]  agents hash, all values JSON

  ARGV[1]  how long a renewal counts   ms

  Returns  {removed, identity, agent, ...}   how many can't be read; agents as JSON
  Why a script: an agent whose presence is renewed at the same moment must not be removed.
]]
local agents, lifetime_ms = KEYS[1], tonumber(ARGV[1])
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local current, gone, fields = {0}, {}, redis.call('HGETALL', agents)
for i = 1, #fields, 2 do
  local is_json, agent = pcall(cjson.decode, fields[i + 1])
  local renewed_ms = is_json and type(agent) == 'table' and agent.renewed_ms
  -- A time in the future was left when the clock was set back.
  if type(renewed_ms) ~= 'number' then
    current[1], gone[#gone + 1] = current[1] + 1, fields[i]
  elseif math.abs(now_ms - renewed_ms) < lifetime_ms then
    current[#current + 1], current[#current + 2] = fields[i], fields[i + 1]
  else
    gone[#gone + 1] = fields[i]
  end
end
for _, identity in ipairs(gone) do redis.call('HDEL', agents, identity) end
return current
