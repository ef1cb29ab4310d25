--[[
  Extends leases that are still held. An expired lease that no other worker has acquired is still held; a released one
  is not, though its holder is still stored: a late renewal must not take it back.

  KEYS[1 ..]  a task's lease hash, or for each partition its lease hash, its timers sorted set, and its event stream.
              The hash has holder, until, commit; for a partition also clock_offset, at, redis, connection

  ARGV[1]  duration of the leases           ms
  ARGV[2]  the connection of this renewal   text, stored with the holders; empty: not stored
  ARGV[3 ..]  for each lease: its holder, text, in full; the partition's time, ms, from the holder, empty for a task;
              the Redis server, text, stored for the next holder: its run id, or `-TIME:RUN_ID:COMMIT` while it may
              lack earlier writes, or `=TIME:RUN_ID:COMMIT` while it may lack all but the commits; TIME is that of the
              rollback, Unix milliseconds; empty: not stored

  Returns  {now_ms, redis, {commit, next_due_ms, waiting}, ...}
           redis is the current server, empty if unknown; then for each lease the number of the last commit in Redis,
           when the partition's next timer is due ("" without timers), and its number of unprocessed entries
           The list of a lease is empty if it is lost: another worker holds it, or it was released.
  The holder's time counts, since no one can set it. After a change of this clock, the next holder finds in
  `clock_offset` how to continue, and in `at` how far the partition's time has come.
  The script stores the server that the holder knows, not the current one: the current one may be new, and may have lost
  writes that the holder does not miss yet.
  Why one script: an idle worker does little else, and for each lease a script of its own would cost far more.
]]
local duration_ms, connection = tonumber(ARGV[1]), ARGV[2]
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local keys_each = #KEYS * 3 / (#ARGV - 2)
local info
local answers = {tostring(now_ms), ''}
for i = 3, #ARGV, 3 do
  local holder, own_ms, server = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local at = (i - 3) / 3 * keys_each + 1
  local lease, timers, events = KEYS[at], KEYS[at + 1], KEYS[at + 2]
  local found = redis.call('HMGET', lease, 'holder', 'until', 'commit', 'clock_offset')
  if found[1] ~= holder or found[2] == '0' then
    answers[#answers + 1] = {}
  else
    -- A full Redis accepts a script whose first write needs no memory.
    redis.call('HDEL', lease, '')
    local fields = {'until', tostring(now_ms + duration_ms)}
    if connection ~= '' then fields[3], fields[4] = 'connection', holder .. ' ' .. connection end
    local due, waiting = {}, 0
    if own_ms then
      local clock_offset_ms, found_ms = tonumber(found[4] or '0'), own_ms - now_ms
      -- A difference below a second is drift, which the holder follows, or the request's own latency.
      if math.abs(found_ms - clock_offset_ms) >= 1000 then
        clock_offset_ms = math.abs(found_ms) < 1000 and 0 or found_ms
      end
      fields[#fields + 1], fields[#fields + 2] = 'clock_offset', string.format('%.0f', clock_offset_ms)
      fields[#fields + 1], fields[#fields + 2] = 'at', string.format('%.0f', own_ms)
      if server ~= '' then fields[#fields + 1], fields[#fields + 2] = 'redis', server end
      info = info or redis.pcall('INFO', 'server')
    end
    if timers then
      -- A key with a foreign type is read as empty; the consumer reports it.
      due = redis.pcall('ZRANGE', timers, 0, 0, 'WITHSCORES')
      waiting = redis.pcall('XLEN', events)
    end
    redis.call('HSET', lease, unpack(fields))
    answers[#answers + 1] = {found[3] or '0', due[2] or '', type(waiting) == 'number' and waiting or 0}
  end
end
if type(info) == 'string' then answers[2] = string.match(info, 'run_id:(%w+)') or '' end
return answers
