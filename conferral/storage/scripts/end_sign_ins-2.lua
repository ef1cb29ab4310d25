--[[
  Ends sign-ins of an agent, and the presence of those desks whose sign-ins are over.

  KEYS[1]  hash of sign-ins and codes, by digest, all values JSON: a browser's further sign-ins have `first`, the digest
           of its first one, and end together
  KEYS[2]  agents hash, all values JSON: the `desks` that are ready may have the `sign_in` they are of, and so has the
           agent, of the desk that may be registered, or else of the last one that renewed the presence

  ARGV[1]  identity                                  text
  ARGV[2]  digest of the sign-in to end; or empty    text
  ARGV[3]  whether to end all, with unused codes     1 or 0

  Returns  how many were ended; whether the desk that may have the agent's call is of one that is over (1 or 0)
  Why one script: a desk that renews its presence meanwhile would leave it behind.
]]
local sign_ins, agents, identity, digest = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ended, live = {}, {}
local is_known, chosen = pcall(cjson.decode, redis.call('HGET', sign_ins, digest) or '')
local first = is_known and type(chosen) == 'table' and type(chosen.first) == 'string' and chosen.first or digest
local all = redis.call('HGETALL', sign_ins)
for at = 1, #all, 2 do
  local is_json, one = pcall(cjson.decode, all[at + 1])
  if is_json and type(one) == 'table' and one.identity == identity then
    if all[at] == digest or all[at] == first or one.first == first or ARGV[3] == '1' then
      ended[#ended + 1] = all[at]
    elseif type(one.until_ms) == 'number' and one.until_ms > now_ms then
      live[all[at]] = true
    end
  end
end
local function is_over(one)
  return type(one) ~= 'table' or (type(one.sign_in) == 'string' and one.sign_in ~= '' and not live[one.sign_in])
end

local had_phone, is_gone = 0, false
local is_agent, agent = pcall(cjson.decode, redis.call('HGET', agents, identity) or '')
if is_agent and type(agent) == 'table' and type(agent.desks) == 'table' then
  local left = false
  for id, desk in pairs(agent.desks) do
    if is_over(desk) then agent.desks[id] = nil else left = true end
  end
  if is_over(agent) then
    had_phone, is_gone, agent.registered, agent.sign_in = 1, not left, '', ''
    if left then redis.call('HSET', agents, identity, cjson.encode(agent)) end
  end
end
-- Without presence, such as after webhooks were away, everything of the agent's means the call's desk, too.
if not is_agent and ARGV[3] == '1' and #ended > 0 then had_phone = 1 end
if is_gone then redis.call('HDEL', agents, identity) end
for at = 1, #ended do redis.call('HDEL', sign_ins, ended[at]) end
return {#ended, had_phone}
