--[[
  Takes a lease that is free or has run out, or tells who has it.

  KEYS[1]  lease hash: holder, until, commit

  ARGV[1]  random name of who asks   text, never used by anybody else; what it holds itself it may take anew, since
           the answer that said so may have been lost
  ARGV[2]  duration of the lease     ms

  Returns  {1, holder, commit, now_ms, until_ms}  taken; until_ms is when it ran out, 0 when it was given back
           {0, holder, until_ms, now_ms}          somebody else has it
  The holder is a growing epoch and the name: an epoch alone can be given out twice after a failover.
]]
local lease, name, duration_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local holder = redis.call('HGET', lease, 'holder') or ''
local until_ms = tonumber(redis.call('HGET', lease, 'until') or '0')
local is_own = string.match(holder, '^%d+:(.*)$') == name
if until_ms > now_ms and not is_own then return {0, holder, tostring(until_ms), tostring(now_ms)} end
if until_ms > now_ms then until_ms = now_ms end
local epoch = tonumber(string.match(holder, '^(%d+):') or '0') + 1
local taken = string.format('%.0f:%s', epoch, name)
-- A full Redis lets a script through whose first write needs no memory.
redis.call('HDEL', lease, '')
redis.call('HSET', lease, 'holder', taken, 'until', tostring(now_ms + duration_ms))
local commit = redis.call('HGET', lease, 'commit') or '0'
return {1, taken, commit, tostring(now_ms), string.format('%.0f', until_ms)}
