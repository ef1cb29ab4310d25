--[[
  Gives a dial to the call that asks first, and a contest to the dial that asks first.

  KEYS[1]  hash of who has passed the session's gate

  ARGV[1]  id of the dial
  ARGV[2]  SID of the call
  ARGV[3]  contest    text, "" when only the dial is claimed
  ARGV[4]  lifetime   seconds

  Returns  1  claimed, now or before: the dial, and the contest where one was named
           0  another call has the dial
           2  the dial is the call's, another dial has won the contest
]]
local gates, dial, call, contest, ttl_s = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local dial_field, contest_field = 'dial:' .. dial, 'contest:' .. contest
local owner = redis.call('HGET', gates, dial_field)
if owner and owner ~= call then return 0 end
if not owner then redis.call('HSET', gates, dial_field, call) end
redis.call('EXPIRE', gates, ttl_s)
if contest == '' then return 1 end
local winner = redis.call('HGET', gates, contest_field)
if winner and winner ~= dial then return 2 end
if not winner then redis.call('HSET', gates, contest_field, dial) end
return 1
