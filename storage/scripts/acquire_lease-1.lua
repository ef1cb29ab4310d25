--[[
  Takes a lease that is free or has run out, or tells who has it.

  KEYS[1]  lease hash: holder, until, commit, and of a partition's lease clock_offset, at, redis

  ARGV[1]  random name of who asks   text, never used by anybody else; what it holds itself it may take anew, since
           the answer that said so may have been lost
  ARGV[2]  duration of the lease     ms
  ARGV[3]  until when the lease ran when it was looked at before   ms, as it stood there; empty: it never was
  ARGV[4]  whether it has run out since, by the asker's own clock  1 or 0

  Returns  {1, holder, commit, now_ms, until_ms, clock_offset_ms, before, redis, up_s}
                                           taken; until_ms is when it ran out, 0 when it was given back; clock_offset_ms is by
                                           how much the partition's time is ahead of this clock; before is the server
                                           that the holders before worked with, redis is this one, empty where that is
                                           not known; up_s is for how long it has run
           {0, holder, until_ms, now_ms}   somebody else has it
  The holder is a growing epoch and the name: an epoch alone can be given out twice after a failover.
  Who has looked before knows by a clock that nobody sets whether a lease has run out: one that reads otherwise than it
  did was renewed since. Only who never looked has to believe this clock, which may have been set meanwhile.
  The partition's time is at least that of the holder before: it never goes back.
  Another server than the one before may have forgotten what the holders before have done, their commits too. Which one
  it is stands in the same copy as the lease, so a holder that has just started can tell.
]]
local lease, name, duration_ms, seen, has_run_out = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4] == '1'
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
-- A full Redis lets a script through whose first write needs no memory.
redis.call('HDEL', lease, '')
redis.call('HSET', lease, 'holder', taken, 'until', tostring(now_ms + duration_ms))
local commit = redis.call('HGET', lease, 'commit') or '0'
local info = redis.pcall('INFO', 'server')
if type(info) ~= 'string' then info = '' end
local server = string.match(info, 'run_id:(%w+)') or ''
local before = redis.call('HGET', lease, 'redis') or ''
return {1, taken, commit, tostring(now_ms), string.format('%.0f', until_ms),
  string.format('%.0f', math.max(clock_offset_ms, at_ms - now_ms)), before, server,
  string.match(info, 'uptime_in_seconds:(%d+)') or ''}
