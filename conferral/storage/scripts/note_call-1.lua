--[[
  Notes that an agent's call was answered or is over, if the agent has a desk.

  KEYS[1]  agents hash, all values JSON

  ARGV[1]  identity                   text
  ARGV[2]  whether the agent is in a call now   1 or 0

  Returns  1 if it was noted, else 0
  Why a script: the agent's desk may renew its presence at the same moment.
]]
-- A damaged record must cost nothing else.
local is_json, agent = pcall(cjson.decode, redis.pcall('HGET', KEYS[1], ARGV[1]))
if not (is_json and type(agent) == 'table' and type(agent.renewed_ms) == 'number') then return 0 end
local time = redis.call('TIME')
agent.called_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
agent.in_call = tonumber(ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(agent))
return 1
