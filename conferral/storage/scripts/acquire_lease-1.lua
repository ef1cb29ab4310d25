--[[
  Acquires a lease that is free or has expired, or returns its holder.

  KEYS[1]  lease hash: holder, until, commit; for a partition's lease also clock_offset, at, redis,
           connection

  ARGV[1]  name of the worker that asks   text, random and unique; it may re-acquire its own lease, since an earlier
           answer may have been lost
  ARGV[2]  duration of the lease     ms
  ARGV[3]  the lease's `until` as the worker last read it          ms; empty: never read
  ARGV[4]  whether it has expired since, by the worker's own clock  1 or 0
  ARGV[5]  connection over which the worker will renew it        text; empty: unknown

  Returns  {1, holder, commit, now_ms, until_ms, clock_offset_ms, before, redis, up_s}
                                           acquired; until_ms is when it expired, 0 when it was released;
                                           clock_offset_ms is how far the partition's time is ahead of this clock;
                                           before is the server that the previous holders used, redis is this one,
                                           empty if unknown; up_s is its uptime
           {0, holder, until_ms, now_ms}   another worker holds it
  The holder is a growing epoch and the name: an epoch alone can be issued twice after a failover.
  A worker that has read the lease before times it by its own monotonic clock: a changed `until` means a renewal. On
  a first read, Redis's clock counts, although it may have been set in the meantime.
  The partition's time is at least that of the previous holder: it never goes back.
  A different server may have lost writes of the previous holders, including commits. The hash of the lease names the
  server, so that a new holder can tell.
  A connection is stored together with its holder, so that it never counts for another one.
]]
local lease, name, duration_ms, seen, has_run_out = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4] == '1'
local connection = ARGV[5]
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local holder = redis.call('HGET', lease, 'holder') or ''
local until_text = redis.call('HGET', lease, 'until') or '0'
local until_ms = tonumber(until_text)
local is_own = string.match(holder, '^%d+:(.*)$') == name
local is_free = is_own or until_ms == 0
if not is_free and seen == '' then is_free = until_ms <= now_ms end
if not is_free and seen == until_text then is_free = has_run_out end
if not is_free then return {0, holder, until_text, tostring(now_ms)} end
if until_ms > now_ms then until_ms = now_ms end
local epoch = tonumber(string.match(holder, '^(%d+):') or '0') + 1
local taken = string.format('%.0f:%s', epoch, name)
local clock_offset_ms = tonumber(redis.call('HGET', lease, 'clock_offset') or '0')
local at_ms = tonumber(redis.call('HGET', lease, 'at') or '0')
-- A full Redis accepts a script whose first write needs no memory.
redis.call('HDEL', lease, '')
redis.call('HSET', lease, 'holder', taken, 'until', tostring(now_ms + duration_ms))
redis.call('HSETNX', lease, 'commit', '0')
if connection ~= '' then redis.call('HSET', lease, 'connection', taken .. ' ' .. connection) end
local commit = redis.call('HGET', lease, 'commit')
local info = redis.pcall('INFO', 'server')
if type(info) ~= 'string' then info = '' end
local server = string.match(info, 'run_id:(%w+)') or ''
local before = redis.call('HGET', lease, 'redis') or ''
return {1, taken, commit, tostring(now_ms), string.format('%.0f', until_ms),
  string.format('%.0f', math.max(clock_offset_ms, at_ms - now_ms)), before, server,
  string.match(info, 'uptime_in_seconds:(%d+)') or ''}
