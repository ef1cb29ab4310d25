--[[
  Claims a dial for the call that asks first, and a ring group for the dial that asks first (the winner).

  KEYS[1]  hash of the session's gates

  ARGV[1]     id of the dial
  ARGV[2]     SID of the call
  ARGV[3]     ring group  text, "" when only the dial is claimed
  ARGV[4]     lifetime    seconds
  ARGV[5 ..]  dials whose parties have left: if one of them has won the ring group, it loses it to this dial

  Returns  1  claimed, now or before: the dial, and the ring group if one was named
           0  another call has the dial
           2  the dial belongs to the call, but another dial has won the ring group
  Why a loss is stored: the winner may leave between a request and its repetition, which must get the same answer.
]]
local gates, dial, call, ring_group, ttl_s = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local dial_field, ring_group_field, lost_field = 'dial:' .. dial, 'ring_group:' .. ring_group, 'lost:' .. dial
local claimant = redis.call('HGET', gates, dial_field)
if claimant and claimant ~= call then return 0 end
if not claimant then redis.call('HSET', gates, dial_field, call) end
redis.call('EXPIRE', gates, ttl_s)
if ring_group == '' then return 1 end

local winner = redis.call('HGET', gates, ring_group_field)
if winner == dial then return 1 end
local is_free = not winner
for at = 5, #ARGV do
  if ARGV[at] == winner then is_free = true end
end
if not is_free or redis.call('HEXISTS', gates, lost_field) == 1 then
  redis.call('HSET', gates, lost_field, 1)
  return 2
end
redis.call('HSET', gates, ring_group_field, dial)
return 1
