--[[
  Renews an agent's presence, and decides which of the agent's desks may be registered at Twilio.

  KEYS[1]  agents hash, all values JSON: `name`, `status` (`ready` or `away`), `since_ms`, `renewed_ms`; the `desks` that
           are ready, by id, each with its own two times and `sign_in`, and for a while those that were left, with
           `left_ms`; `registered`, the id of the one that may be registered; its `sign_in`, or else that of the last
           one that renewed; `in_call` and `called_ms`, whether the agent has a call (1 or 0), and when it last had one;
           `left_ms`, when the last desk that was ready was left, or 0; and `reason`, as in KEYS[2], or empty
  KEYS[2]  why the agent is away until the next click: also if presence ends before

  ARGV[1]  identity                            text
  ARGV[2]  name of the agent                   text
  ARGV[3]  what the desk is                    `ready`, `away`, or `left`
  ARGV[4]  id of the desk                      text
  ARGV[5]  whether the agent has a call        1 or 0: then the desk that is registered stays so
  ARGV[6]  how long a renewal of a desk counts   ms
  ARGV[7]  how many desks of an agent may be ready   count; further ones wait until one of these is not
  ARGV[8]  digest of the desk's sign-in; empty if it has another token   text
  ARGV[9]  whether the desk takes the agent's call over   1 or 0: then it is the newest, and registered
  ARGV[10]  whether the agent has clicked that they are ready   1 or 0
  ARGV[11]  how long an agent is known without a renewal   ms
  ARGV[12]  how long an agent whose last desk was left is still ready   ms

  Returns  the agent, JSON
  Why one script: two desks that become ready at the same moment must not both be registered.
]]
local agents, identity, desk, lifetime_ms, left_counts_ms = KEYS[1], ARGV[1], ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[12])
local takes_over = ARGV[9] == '1'
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- A time in the future was left when the clock was set back.
-- What another program has written counts as absent.
local function is_current(one, within_ms)
  return type(one) == 'table' and type(one.renewed_ms) == 'number' and type(one.since_ms) == 'number'
    and now_ms - one.renewed_ms < within_ms and one.renewed_ms - now_ms < lifetime_ms
end
local function is_over(left_ms) return type(left_ms) == 'number' and left_ms > 0 and now_ms - left_ms >= left_counts_ms end

local is_json, old = pcall(cjson.decode, redis.call('HGET', agents, identity) or '')
if not (is_json and is_current(old, tonumber(ARGV[11])) and type(old.desks) == 'table') then old = {desks = {}} end
if old.status == 'ready' and is_over(old.left_ms) then
  old.status, old.since_ms = 'away', old.left_ms + left_counts_ms
end
local desks, count, newest_ms = {}, 0, now_ms
for id, one in pairs(old.desks) do
  if is_current(one, lifetime_ms) and not is_over(one.left_ms) and id ~= desk then
    desks[id], count, newest_ms = one, count + 1, math.max(newest_ms, one.since_ms + 1)
  end
end
local own = old.desks[desk]
own = is_current(own, lifetime_ms) and not is_over(own.left_ms) and own
if ARGV[3] == 'ready' and count < tonumber(ARGV[7]) then
  local since_ms = own and own.since_ms or now_ms
  if takes_over then since_ms = newest_ms end
  desks[desk] = {since_ms = since_ms, renewed_ms = now_ms, sign_in = ARGV[8]}
elseif ARGV[3] == 'left' and own then
  own.left_ms = own.left_ms or now_ms
  desks[desk] = own
end

-- The newest one may be registered, of those that are open.
local function is_open(id) return desks[id or ''] and not desks[id].left_ms end
local registered = ARGV[5] == '1' and is_open(old.registered) and old.registered
if takes_over and is_open(desk) then registered = desk end
if not registered then
  for id, one in pairs(desks) do
    local newest = registered and desks[registered]
    local is_newer = not newest or one.since_ms > newest.since_ms or (one.since_ms == newest.since_ms and id > registered)
    if is_open(id) and is_newer then registered = id end
  end
end
local left_ms = 0
for id, one in pairs(desks) do
  if one.left_ms and registered then desks[id] = nil end  -- another has taken its place
  left_ms = math.max(left_ms, not registered and one.left_ms or 0)
end
local in_call = tonumber(ARGV[5])
local called_ms = in_call == 1 and now_ms or tonumber(old.called_ms) or 0
local is_click = ARGV[10] == '1'
local reason = not is_click and redis.pcall('GET', KEYS[2])
if type(reason) ~= 'string' then reason = '' end
local status = (registered or left_ms > 0) and reason == '' and 'ready' or 'away'
local agent = cjson.encode({
  name = ARGV[2], status = status, since_ms = old.status == status and old.since_ms or now_ms, renewed_ms = now_ms,
  desks = desks, registered = registered or '', sign_in = registered and desks[registered].sign_in or ARGV[8],
  in_call = in_call, called_ms = called_ms, left_ms = left_ms, reason = reason,
})
-- A full Redis accepts a script whose first write needs no memory.
redis.call('HDEL', agents, '')
redis.call('HSET', agents, identity, agent)
redis.call('PEXPIRE', agents, ARGV[11])
if is_click then redis.call('DEL', KEYS[2]) end
return agent
