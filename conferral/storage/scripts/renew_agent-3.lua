--[[
  Renews an agent's presence, and decides which of the agent's desks may be registered at Twilio.

  KEYS[1]  agents hash, all values JSON: `name`, `status` (`ready` or `away`), `since_ms`, `renewed_ms`; the `desks` that
           are ready, by id, each with its own two times and `sign_in`; `registered`, the id of the one that may be
           registered; its `sign_in`, or else that of the last one that renewed; `in_call` and `called_ms`, whether
           the agent has a call (1 or 0), and when it last had one; and `reason`, as in KEYS[3], or empty
  KEYS[2]  since when presence is renewed without a pause, ms
  KEYS[3]  why the agent is away until the next click: also if presence ends before

  ARGV[1]  identity                            text
  ARGV[2]  name of the agent                   text
  ARGV[3]  what the desk is                    `ready` or `away`
  ARGV[4]  id of the desk                      text
  ARGV[5]  whether the agent has a call        1 or 0: then the desk that is registered stays so
  ARGV[6]  how long a renewal counts           ms
  ARGV[7]  how many desks of an agent may be ready   count; further ones wait until one of these is not
  ARGV[8]  digest of the desk's sign-in; empty if it has another token   text
  ARGV[9]  for how long this process has run   ms: presence is not known from before
  ARGV[10]  after how long without a renewal that is a pause   ms
  ARGV[11]  whether the desk takes the agent's call over   1 or 0: then it is the newest, and registered
  ARGV[12]  whether the agent has clicked that they are ready   1 or 0

  Returns  the agent, JSON
  Why one script: two desks that become ready at the same moment must not both be registered.
]]
local agents, identity, desk, lifetime_ms = KEYS[1], ARGV[1], ARGV[4], tonumber(ARGV[6])
local takes_over = ARGV[11] == '1'
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- A time in the future was left when the clock was set back.
-- What another program has written counts as absent.
local function is_current(one)
  return type(one) == 'table' and type(one.renewed_ms) == 'number' and type(one.since_ms) == 'number'
    and math.abs(now_ms - one.renewed_ms) < lifetime_ms
end

local is_json, old = pcall(cjson.decode, redis.call('HGET', agents, identity) or '')
if not (is_json and is_current(old) and type(old.desks) == 'table') then old = {desks = {}} end
local desks, count, newest_ms = {}, 0, now_ms
for id, one in pairs(old.desks) do
  if is_current(one) and id ~= desk then
    desks[id], count, newest_ms = one, count + 1, math.max(newest_ms, one.since_ms + 1)
  end
end
if ARGV[3] == 'ready' and count < tonumber(ARGV[7]) then
  local since_ms = old.desks[desk] and is_current(old.desks[desk]) and old.desks[desk].since_ms or now_ms
  if takes_over then since_ms = newest_ms end
  desks[desk] = {since_ms = since_ms, renewed_ms = now_ms, sign_in = ARGV[8]}
end

-- The newest one may be registered.
local registered = ARGV[5] == '1' and desks[old.registered or ''] and old.registered
if takes_over and desks[desk] then registered = desk end
if not registered then
  for id, one in pairs(desks) do
    local newest = registered and desks[registered]
    if not newest or one.since_ms > newest.since_ms or (one.since_ms == newest.since_ms and id > registered) then
      registered = id
    end
  end
end
local in_call = tonumber(ARGV[5])
local called_ms = in_call == 1 and now_ms or tonumber(old.called_ms) or 0
local is_click = ARGV[12] == '1'
local reason = not is_click and redis.pcall('GET', KEYS[3])
if type(reason) ~= 'string' then reason = '' end
local status = registered and reason == '' and 'ready' or 'away'
local agent = cjson.encode({
  name = ARGV[2], status = status, since_ms = old.status == status and old.since_ms or now_ms, renewed_ms = now_ms,
  desks = desks, registered = registered or '', sign_in = registered and desks[registered].sign_in or ARGV[8],
  in_call = in_call, called_ms = called_ms, reason = reason,
})
-- A full Redis accepts a script whose first write needs no memory.
redis.call('HDEL', agents, '')
redis.call('HSET', agents, identity, agent)
redis.call('PEXPIRE', agents, lifetime_ms)
if is_click then redis.call('DEL', KEYS[3]) end
-- Another program's key, of another type, is replaced. A longer rest of its time was left when the clock was set back.
local pause_ms = tonumber(ARGV[10])
local is_kept = redis.call('PTTL', KEYS[2]) <= pause_ms
local kept_since_ms = is_kept and tonumber(redis.pcall('GET', KEYS[2])) or now_ms
redis.call('SET', KEYS[2], math.max(kept_since_ms, now_ms - tonumber(ARGV[9])), 'PX', pause_ms)
return agent
