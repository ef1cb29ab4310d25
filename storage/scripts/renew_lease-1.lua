--[[
  Makes a lease last longer, if it is still held. One that ran out but that nobody took is still held; one that was
  given back is not, though its holder stands there: a renewal that comes late must not take it back.

  KEYS[1]  lease hash: holder, until, commit, and of a partition's lease clock_offset, at, redis

  ARGV[1]  holder                           text, the whole of it
  ARGV[2]  duration of the lease            ms
  ARGV[3]  the partition's time             ms, as the holder has it; empty: no partition's lease
  ARGV[4]  the server that Redis is         text, its run id, noted for the next holder, or `-` while it is in doubt;
                                            empty: not to be noted

  Returns  {1, now_ms, commit, redis}  renewed; commit is the number of the last commit that Redis knows, redis is the
                                       server that it is now, empty where that is not known
           {0, now_ms}                 lost: somebody else has it, or it was given back
  The holder's time counts, since nobody can set it: when this clock was set, the next holder finds in `clock_offset` how to
  go on, and in `at` how far the time has come.
  The server to be noted is the one that the holder knows, not the one that is found: this may be another one by now,
  which has forgotten what the holder does not miss yet.
]]
local lease, holder, duration_ms, own_ms, server = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local found = redis.call('HMGET', lease, 'holder', 'until')
if found[1] ~= holder or found[2] == '0' then return {0, tostring(now_ms)} end
redis.call('HDEL', lease, '')
redis.call('HSET', lease, 'until', tostring(now_ms + duration_ms))
if own_ms then
  local clock_offset_ms, found_ms = tonumber(redis.call('HGET', lease, 'clock_offset') or '0'), own_ms - now_ms
  -- What is smaller than a second is drift, which the holder follows, or the time that the request has taken.
  if math.abs(found_ms - clock_offset_ms) >= 1000 then clock_offset_ms = math.abs(found_ms) < 1000 and 0 or found_ms end
  redis.call('HSET', lease, 'clock_offset', string.format('%.0f', clock_offset_ms), 'at', string.format('%.0f', own_ms))
end
if own_ms and server ~= '' then redis.call('HSET', lease, 'redis', server) end
local info = own_ms and redis.pcall('INFO', 'server')
if type(info) ~= 'string' then info = '' end
return {1, tostring(now_ms), redis.call('HGET', lease, 'commit') or '0', string.match(info, 'run_id:(%w+)') or ''}
