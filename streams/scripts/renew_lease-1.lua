--[[
  Makes a lease last longer, if it is still held. One that ran out but that nobody took is still held.

  KEYS[1]  lease hash: holder, until, commit

  ARGV[1]  holder                 text, the whole of it
  ARGV[2]  duration of the lease  ms

  Returns  {1, now_ms, commit}  renewed; commit is the number of the last commit that Redis knows
           {0, now_ms}          lost: somebody else has it
]]
local lease, holder, duration_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if redis.call('HGET', lease, 'holder') ~= holder then return {0, tostring(now_ms)} end
redis.call('HDEL', lease, '')
redis.call('HSET', lease, 'until', tostring(now_ms + duration_ms))
return {1, tostring(now_ms), redis.call('HGET', lease, 'commit') or '0'}
