--[[
  Writes a worker's heartbeat and returns the recent heartbeats of all workers.

  KEYS[1]  sorted set of the workers, by last heartbeat in ms

  ARGV[1]  name of the worker                                     text
  ARGV[2]  how long a worker without a heartbeat stays listed     ms

  Returns  {now_ms, {name, sent_ms, ...}}
  A heartbeat in the future is removed, too: the clock went back, and a live worker writes a new one within a second.
]]
local workers, name, listed_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- A full Redis accepts a script whose first write needs no memory.
redis.call('ZREMRANGEBYSCORE', workers, '-inf', now_ms - listed_ms)
redis.call('ZREMRANGEBYSCORE', workers, now_ms + listed_ms, '+inf')
redis.call('ZADD', workers, now_ms, name)
return {tostring(now_ms), redis.call('ZRANGE', workers, 0, -1, 'WITHSCORES')}
