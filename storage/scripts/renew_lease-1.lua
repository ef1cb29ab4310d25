--[[
  Extends a lease, if it is still held. An expired lease that no other worker has acquired is still held; a released one
  is not, though its holder is still stored: a late renewal must not take it back.

  KEYS[1]  lease hash: holder, until, commit; for a partition's lease also clock_offset, at, redis,
           connection

  ARGV[1]  holder                           text, in full
  ARGV[2]  duration of the lease            ms
  ARGV[3]  the partition's time             ms, from the holder; empty: not a partition's lease
  ARGV[4]  the Redis server                 text, its run id, stored for the next holder, or `-` while it is in doubt;
                                            empty: not stored
  ARGV[5]  the connection of this renewal   text, stored with the holder; empty: not stored
  ARGV[6]  whether to name the server       1 or 0: it is known from another renewal over the same connection

  Returns  {1, now_ms, commit, redis}  renewed; commit is the number of the last commit in Redis, redis is the current
                                       server, empty if unknown or not asked for
           {0, now_ms}                 lost: another worker holds it, or it was released
  The holder's time counts, since no one can set it. After a change of this clock, the next holder finds in
  `clock_offset` how to continue, and in `at` how far the partition's time has come.
  The script stores the server that the holder knows, not the current one: this may be a new server that has lost writes
  which the holder does not miss yet.
]]
local lease, holder, duration_ms, own_ms, server = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local connection, asks_server = ARGV[5], ARGV[6] == '1'
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local found = redis.call('HMGET', lease, 'holder', 'until')
if found[1] ~= holder or found[2] == '0' then return {0, tostring(now_ms)} end
redis.call('HDEL', lease, '')
redis.call('HSET', lease, 'until', tostring(now_ms + duration_ms))
if own_ms then
  local clock_offset_ms, found_ms = tonumber(redis.call('HGET', lease, 'clock_offset') or '0'), own_ms - now_ms
  -- A difference below a second is drift, which the holder follows, or the request's own latency.
  if math.abs(found_ms - clock_offset_ms) >= 1000 then clock_offset_ms = math.abs(found_ms) < 1000 and 0 or found_ms end
  redis.call('HSET', lease, 'clock_offset', string.format('%.0f', clock_offset_ms), 'at', string.format('%.0f', own_ms))
end
if connection ~= '' then redis.call('HSET', lease, 'connection', holder .. ' ' .. connection) end
if own_ms and server ~= '' then redis.call('HSET', lease, 'redis', server) end
local info = asks_server and redis.pcall('INFO', 'server')
if type(info) ~= 'string' then info = '' end
return {1, tostring(now_ms), redis.call('HGET', lease, 'commit') or '0', string.match(info, 'run_id:(%w+)') or ''}
