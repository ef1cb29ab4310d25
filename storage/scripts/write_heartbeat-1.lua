--[[
  Shows that a worker is alive, and tells who else has shown it lately.

  KEYS[1]  sorted set of the workers, by their last sign of life in ms

  ARGV[1]  name of the worker                              text
  ARGV[2]  how long a worker without a sign stays listed   ms

  Returns  {now_ms, {name, sent_ms, ...}}
  One whose sign lies in the future is dropped too: the clock went back, and who lives shows it again within a second.
]]
local workers, name, listed_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- A full Redis lets a script through whose first write needs no memory.
redis.call('ZREMRANGEBYSCORE', workers, '-inf', now_ms - listed_ms)
redis.call('ZREMRANGEBYSCORE', workers, now_ms + listed_ms, '+inf')
redis.call('ZADD', workers, now_ms, name)
return {tostring(now_ms), redis.call('ZRANGE', workers, 0, -1, 'WITHSCORES')}
