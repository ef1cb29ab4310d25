--[[
  Counts a call within a limit of what may happen in a time (rate limit), once.

  KEYS[1]  sorted set: what was counted, by when, ms

  ARGV[1]  the most of it
  ARGV[2]  its window  ms
  ARGV[3]  the call

  Returns  1  counted, now or before
           0  beyond the limit
  Why one script: calls that several processes check at the same moment would all see the same count.
]]
local calls, most, window, call = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- One with a time in the future was left when the clock was set back.
local at = tonumber(redis.call('ZSCORE', calls, call) or '0')
if math.abs(now - at) < window then return 1 end
if redis.call('ZCOUNT', calls, '(' .. now - window, '(' .. now + window) >= most then return 0 end
-- A full Redis accepts a script whose first write needs no memory. The removals come last: while the slot moves, Redis
-- refuses a key that the script has emptied.
redis.call('ZREM', calls, '')
redis.call('ZADD', calls, now, call)
redis.call('PEXPIRE', calls, window)
redis.call('ZREMRANGEBYSCORE', calls, '-inf', now - window)
redis.call('ZREMRANGEBYSCORE', calls, now + window, '+inf')
return 1
