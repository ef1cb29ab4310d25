--[[
  Releases a lease, so that the next worker need not wait for it to expire.

  KEYS[1]  lease hash: holder, until, commit; for a partition's lease also clock_offset, at, redis

  ARGV[1]  holder                text, in full
  ARGV[2]  the partition's time  ms, from the holder, see `renew_leases-n`; empty: not a partition's lease

  Returns  1  released
           0  it was no longer held
]]
local lease, holder, own_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call('HGET', lease, 'holder') ~= holder then return 0 end
redis.call('HDEL', lease, '')
redis.call('HSET', lease, 'until', '0')
if own_ms then
  local time = redis.call('TIME')
  local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local clock_offset_ms, found_ms = tonumber(redis.call('HGET', lease, 'clock_offset') or '0'), own_ms - now_ms
  if math.abs(found_ms - clock_offset_ms) >= 1000 then clock_offset_ms = math.abs(found_ms) < 1000 and 0 or found_ms end
  redis.call('HSET', lease, 'clock_offset', string.format('%.0f', clock_offset_ms), 'at', string.format('%.0f', own_ms))
end
return 1
