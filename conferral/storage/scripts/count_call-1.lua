--[[
  Counts a call of an identity, unless it has placed the maximum number of calls within the window (rate limit).

  KEYS[1]  sorted set of the calls by when they were counted, microseconds

  ARGV[1]  SID of the call
  ARGV[2]  maximum calls within the window  1 or more
  ARGV[3]  the window                       s

  Returns  1  counted, now or before
           0  not counted: it exceeds the maximum
  Why one script: calls that arrive at the same moment at several processes would all find a free slot.
]]
local calls, call = KEYS[1], ARGV[1]
local most, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
-- Also remove future entries, left when the clock was set back.
redis.call('ZREMRANGEBYSCORE', calls, '-inf', string.format('%.0f', now - window * 1000000))
redis.call('ZREMRANGEBYSCORE', calls, string.format('%.0f', now + window * 1000000), '+inf')
if redis.call('ZSCORE', calls, call) then return 1 end
if redis.call('ZCARD', calls) >= most then return 0 end
redis.call('ZADD', calls, string.format('%.0f', now), call)
redis.call('EXPIRE', calls, window)
return 1
