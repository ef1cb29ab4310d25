--[[
  Stores the result of a batch of entries and removes the entries, or writes nothing. The lease's holder and commit
  number are the fence: a worker that has lost the partition can't commit.

  KEYS[1]  event stream of the partition
  KEYS[2]  lease hash of the partition
  KEYS[3]  outbox hash
  KEYS[4]  timers sorted set
  KEYS[5]  set of live sessions
  KEYS[6]  sorted set of ended sessions
  KEYS[7]  hash of suspected entries and effects
  KEYS[8]  stream for a new log, which exists only while the script runs
  KEYS[9 ..]  for each session its hash and its log stream

  ARGV[1]  lease holder            text, in full
  ARGV[2]  number of this commit   count, one higher than the lease's last
  ARGV[3]  lifetime of an ended session, seconds
  ARGV[4]  entries kept in a session's log, count
  ARGV[5]  time of the log entries, ISO 8601
  ARGV[6]  a list as MessagePack, which takes a fraction of the time of as many arguments. It consists of lists, each
           preceded by its number of values:
    entry ids to remove;
    outbox: id, body, ... to put; ids to remove;
    timers: due time in ms, member, ... to set; members to remove;
    ids of the sessions that are new;
    sessions that ended: end in ms, id, ...; their places among the sessions, counted from 1;
    for each session the version expected ("0": must not exist);
    then for each session: fields and values to set; fields to remove; its number of log entries, and each of those: its
    event, from, to, outcome, version, reason, and effects, and its other fields, each with its name

  Returns  {1}        stored
           {2}        already: this same commit was stored before
           {0}        lost: another holder, nothing written
           {3}        out of order: the lease's commit number is not the previous one, nothing written
           {4}        a key of the partition has the wrong type, nothing written
           {5, n, ..} conflict: these sessions (counted from 1) have another version or a wrong type, nothing written
  Why one script: a crash between the parts would repeat a decision or lose its effects.
  Why it removes entries first: a full Redis accepts a script whose first write frees memory, so that it drains.
  Why it passes spans of the list: each value that Lua copies, and each command, costs Redis a tenth of a microsecond.
]]
local events, lease, outbox, timers, live, ended, suspects, new_log =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local holder, number, ttl_s, log_max, logged_at = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local values, at = cmsgpack.unpack(ARGV[6]), 1

-- Reads a list's length and skips the list; returns the span of its values.
local function skip_list()
  local first = at + 1
  at = first + values[at]
  return first, at - 1
end

-- Lua's unpack() takes about 8,000 values at most; an even chunk size keeps fields and values together.
local function write_span(command, key, first, last)
  while first <= last do
    redis.call(command, key, unpack(values, first, math.min(first + 999, last)))
    first = first + 1000
  end
end

-- Check everything before the first write: Redis does not roll back a script that fails halfway.
-- Fencing: after a takeover, a commit by the former holder writes nothing.
if redis.call('HGET', lease, 'holder') ~= holder then return {0} end
local last = tonumber(redis.call('HGET', lease, 'commit') or '0')
if last == tonumber(number) then return {2} end
if last ~= tonumber(number) - 1 then return {3} end

-- A command on a key of another type returns an error, which pcall() makes a table.
for key, count in pairs({[events] = 'XLEN', [outbox] = 'HLEN', [timers] = 'ZCARD', [live] = 'SCARD', [ended] = 'ZCARD',
  [suspects] = 'HLEN'}) do
  if type(redis.pcall(count, key)) == 'table' then return {4} end
end

local entries_first, entries_last = skip_list()
local put_first, put_last = skip_list()
local del_first, del_last = skip_list()
local set_first, set_last = skip_list()
local unset_first, unset_last = skip_list()
local new_first, new_last = skip_list()
local ended_first, ended_last = skip_list()
local places_first, places_last = skip_list()
local versions_first, versions_last = skip_list()
local conflicts, log_lengths = {5}, {}
for i = 1, versions_last - versions_first + 1 do
  local found = redis.pcall('HGET', KEYS[7 + 2 * i], 'version')
  log_lengths[i] = redis.pcall('XLEN', KEYS[8 + 2 * i])
  if type(found) == 'table' or (found or '0') ~= values[versions_first + i - 1] or type(log_lengths[i]) == 'table' then
    conflicts[#conflicts + 1] = i
  end
end
if #conflicts > 1 then return conflicts end

-- From here on nothing can fail.
write_span('XDEL', events, entries_first, entries_last)
redis.call('HDEL', suspects, '', 'last')
write_span('HDEL', suspects, entries_first, entries_last)
redis.call('HSET', lease, 'commit', number)
local is_new_log_used = false
for i = 1, versions_last - versions_first + 1 do
  local hash, log = KEYS[7 + 2 * i], KEYS[8 + 2 * i]
  write_span('HSET', hash, skip_list())
  write_span('HDEL', hash, skip_list())
  -- Redis reserves 4 KiB for a new stream, but a copy takes only what it holds. So a new log is written elsewhere.
  local is_new = log_lengths[i] == 0
  local target = is_new and new_log or log
  if is_new then
    redis.call('DEL', new_log)
    is_new_log_used = true
  end
  local entries = values[at]
  at = at + 1
  for _ = 1, entries do
    local first, to = skip_list()
    redis.call('XADD', target, '*', 'at', logged_at, 'event', values[first], 'from', values[first + 1],
      'to', values[first + 2], 'outcome', values[first + 3], 'version', values[first + 4], 'reason', values[first + 5],
      'effects', values[first + 6], unpack(values, first + 7, to))
  end
  if is_new and entries > 0 then redis.call('COPY', new_log, log, 'REPLACE') end
  -- Trimming to an exact length reads a part of the stream, so only a log that is full is trimmed, and once.
  if log_lengths[i] + entries > log_max then redis.call('XTRIM', log, 'MAXLEN', log_max) end
end
if is_new_log_used then redis.call('DEL', new_log) end

write_span('SADD', live, new_first, new_last)
if ended_first <= ended_last then
  for i = ended_first, ended_last, 2 do redis.call('SREM', live, values[i + 1]) end
  write_span('ZADD', ended, ended_first, ended_last)
  redis.call('ZREMRANGEBYSCORE', ended, '-inf', tonumber(values[ended_first]) - 1000 * tonumber(ttl_s))
  for i = places_first, places_last do
    redis.call('EXPIRE', KEYS[7 + 2 * values[i]], ttl_s)
    redis.call('EXPIRE', KEYS[8 + 2 * values[i]], ttl_s)
  end
end
write_span('HDEL', outbox, del_first, del_last)
write_span('HDEL', suspects, del_first, del_last)
write_span('HSET', outbox, put_first, put_last)
write_span('ZREM', timers, unset_first, unset_last)
write_span('ZADD', timers, set_first, set_last)

-- The group is for operators: its position is the last entry decided, its lag the number of undecided entries. Redis 7
-- computes the lag from the number of entries ever added, and needs the number read, because entries are
-- removed.
if entries_first <= entries_last then
  local newest = values[entries_last]
  if redis.REDIS_VERSION_NUM and redis.REDIS_VERSION_NUM >= 0x00070000 then
    local info, added = redis.pcall('XINFO', 'STREAM', events), 0
    for i = 1, #info, 2 do
      if info[i] == 'entries-added' then added = info[i + 1] end
    end
    local read = added - redis.call('XLEN', events)
    local answer = redis.pcall('XGROUP', 'SETID', events, 'workers', newest, 'ENTRIESREAD', read)
    if type(answer) == 'table' and answer.err then
      redis.pcall('XGROUP', 'CREATE', events, 'workers', newest, 'MKSTREAM', 'ENTRIESREAD', read)
    end
  else
    local answer = redis.pcall('XGROUP', 'SETID', events, 'workers', newest)
    if type(answer) == 'table' and answer.err then
      redis.pcall('XGROUP', 'CREATE', events, 'workers', newest, 'MKSTREAM')
    end
  end
end
return {1}
