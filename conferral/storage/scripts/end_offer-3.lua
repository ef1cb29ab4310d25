--[[
  Ends the offer that an agent gets, once.

  KEYS[1]  claim of the agent's offer
  KEYS[2]  agents hash, all values JSON
  KEYS[3]  why the agent is away until the next click

  ARGV[1]  the offer   text, as the claim has it
  ARGV[2]  identity    text
  ARGV[3]  why the agent is away from now on, until the next click   text; empty if the agent is not
  ARGV[4]  for how long that is kept   seconds

  Returns  1 if it was ended now, else 0
  Why a script: of two processes that end it, one may come after the agent's click; and the desk may renew its presence.
]]
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[3] == '' then return 1 end
redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[4])
local is_json, agent = pcall(cjson.decode, redis.pcall('HGET', KEYS[2], ARGV[2]))
if is_json and type(agent) == 'table' and agent.status == 'ready' then
  local time = redis.call('TIME')
  -- Who was offered a caller was in no call: the callback of its end may be lost.
  agent.status, agent.reason, agent.in_call = 'away', ARGV[3], 0
  agent.since_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  redis.call('HSET', KEYS[2], ARGV[2], cjson.encode(agent))
end
return 1
