--[[
  Counts a call of one who calls, unless that one has placed as many calls as allowed within the window.

  KEYS[1]  sorted set of the calls by when they were counted, microseconds

  ARGV[1]  SID of the call
  ARGV[2]  most calls within the window     1 or more
  ARGV[3]  the window                       s

  Returns  1  counted, now or before
           0  not: it is one too many
  Why one script: calls that come in at the same moment, at several processes, would all see room for one more.
]]
local calls, call = KEYS[1], ARGV[1]
local most, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
-- Also what a clock that was set back has left in the future.
redis.call('ZREMRANGEBYSCORE', calls, '-inf', string.format('%.0f', now - window * 1000000))
redis.call('ZREMRANGEBYSCORE', calls, string.format('%.0f', now + window * 1000000), '+inf')
if redis.call('ZSCORE', calls, call) then return 1 end
if redis.call('ZCARD', calls) >= most then return 0 end
redis.call('ZADD', calls, string.format('%.0f', now), call)
redis.call('EXPIRE', calls, window)
return 1
