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
  ARGV[6]  a list as MessagePack, which takes a fraction of the time of as many arguments. It begins with nine lists:
    entry ids to remove;
    outbox: id, body, ... to put; ids to remove;
    timers: due time in ms, member, ... to set; members to remove;
    ids of the sessions that are new;
    sessions that ended: end in ms, id, ...; their places among the sessions, counted from 1;
    for each session the version expected ("0": must not exist);
    then for each session: three numbers of values: fields and values to set, fields to remove, log entries; the fields
    and values; the fields; for each log entry its number of values, and those: event, from, to, outcome, version,
    reason, and effects, and its other fields, each with its name
  ARGV[7]  1 if the entries were the stream's oldest when read, so that two commands remove them; else 0
  ARGV[8 ..]  for each session its field `packed`

  Returns  {1}        stored
           {2}        already: this same commit was stored before
           {0}        lost: another holder, nothing written
           {3}        out of order: the lease's commit number is not the previous one, nothing written
           {4}        a key of the partition has the wrong type, nothing written
           {5, n, ..} conflict: these sessions (counted from 1) have another version or a wrong type, nothing written
  Why one script: a crash between the parts would repeat a decision or lose its effects.
  Why it removes entries first: a full Redis accepts a script whose first write frees memory, so that it drains.
  Why long texts are arguments: Redis 7's Lua hashes each byte of each text that it makes, and would do so twice.
]]
local events, lease, outbox, timers, live, ended, suspects, new_log =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local holder, number, ttl_s, log_max, logged_at = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local call, try = redis.call, redis.pcall
-- Where the next value is: after the list's header.
local at = ({[0xdc] = 3, [0xdd] = 5})[ARGV[6]:byte()] or 1

local function move_to(next_at, ...)
  at = next_at
  return ...
end

-- Returns the next values without a table between, which costs as much as they do.
local function take(count)
  if count > 0 then return move_to(cmsgpack.unpack_limit(ARGV[6], count, at)) end
end

-- Lua's stack takes about 8,000 values at most; an even chunk size keeps fields and values together.
local function write_next(command, key, count)
  while count > 0 do
    call(command, key, take(math.min(count, 1000)))
    count = count - 1000
  end
end

local function write_list(command, key, list)
  for first = 1, #list, 1000 do call(command, key, unpack(list, first, math.min(first + 999, #list))) end
end

local function add_entry(log, event, from, to, outcome, version, reason, effects, ...)
  call('XADD', log, '*', 'at', logged_at, 'event', event, 'from', from, 'to', to, 'outcome', outcome,
    'version', version, 'reason', reason, 'effects', effects, ...)
end

-- Check everything before the first write: Redis does not roll back a script that fails halfway.
-- Fencing: after a takeover, a commit by the former holder writes nothing.
if call('HGET', lease, 'holder') ~= holder then return {0} end
local last = tonumber(call('HGET', lease, 'commit') or '0')
if last == tonumber(number) then return {2} end
if last ~= tonumber(number) - 1 then return {3} end

-- A command on a key of another type returns an error, which pcall() makes a table.
local counts = {}
for key, count in pairs({[events] = 'XLEN', [outbox] = 'HLEN', [timers] = 'ZCARD', [live] = 'SCARD', [ended] = 'ZCARD',
  [suspects] = 'HLEN'}) do
  counts[key] = try(count, key)
  if type(counts[key]) == 'table' then return {4} end
end

local entries, put, done, set, unset, opened, closed, closed_places, versions = take(9)
-- The rest of the list is read between the writes; these counts show that the sender meant the same sessions.
if #KEYS ~= 8 + 2 * #versions or #ARGV ~= 7 + #versions then return redis.error_reply('ERR wrong number of sessions') end
local conflicts, log_lengths = {5}, {}
for i = 1, #versions do
  local found = try('HGET', KEYS[7 + 2 * i], 'version')
  log_lengths[i] = try('XLEN', KEYS[8 + 2 * i])
  if type(found) == 'table' or (found or '0') ~= versions[i] or type(log_lengths[i]) == 'table' then
    conflicts[#conflicts + 1] = i
  end
end
if #conflicts > 1 then return conflicts end

-- From here on nothing can fail.
-- XDEL searches for each entry from the start of its block of a hundred. A server that followed another may lack the
-- batch's last entries, and hold younger ones with lower ids. If it has the last one, it has no others below.
local newest = entries[#entries]
if ARGV[7] == '1' and call('XDEL', events, newest) == 1 then
  call('XTRIM', events, 'MINID', newest)
else
  write_list('XDEL', events, entries)
end
call('HDEL', suspects, '', 'last')
if counts[suspects] > 0 then
  write_list('HDEL', suspects, entries)
  write_list('HDEL', suspects, done)
end
call('HSET', lease, 'commit', number)
local is_new_log_used = false
for i = 1, #versions do
  local hash, log, packed = KEYS[7 + 2 * i], KEYS[8 + 2 * i], 7 + i
  local fields, removed, added = take(3)
  local first = math.min(fields, 1000)
  call('HSET', hash, 'packed', ARGV[packed], take(first))
  write_next('HSET', hash, fields - first)
  write_next('HDEL', hash, removed)
  -- Redis reserves 4 KiB for a new stream, but a copy takes only what it holds. So a new log is written elsewhere.
  local is_new = log_lengths[i] == 0
  local target = is_new and new_log or log
  if is_new then
    call('DEL', new_log)
    is_new_log_used = true
  end
  for _ = 1, added do add_entry(target, take(take(1))) end
  if is_new and added > 0 then call('COPY', new_log, log, 'REPLACE') end
  -- Trimming to an exact length reads a part of the stream, so only a log that is full is trimmed, and once.
  if log_lengths[i] + added > log_max then call('XTRIM', log, 'MAXLEN', log_max) end
end
if is_new_log_used then call('DEL', new_log) end

write_list('SADD', live, opened)
if #closed > 0 then
  for i = 2, #closed, 2 do call('SREM', live, closed[i]) end
  write_list('ZADD', ended, closed)
  call('ZREMRANGEBYSCORE', ended, '-inf', tonumber(closed[1]) - 1000 * tonumber(ttl_s))
  for _, place in ipairs(closed_places) do
    call('EXPIRE', KEYS[7 + 2 * place], ttl_s)
    call('EXPIRE', KEYS[8 + 2 * place], ttl_s)
  end
end
write_list('HDEL', outbox, done)
write_list('HSET', outbox, put)
write_list('ZREM', timers, unset)
write_list('ZADD', timers, set)

-- The group is for operators: its position is the last entry decided. From that, Redis 7 computes the number of
-- unprocessed entries, its lag; it is empty while an older entry is undecided.
if newest then
  local answer = try('XGROUP', 'SETID', events, 'workers', newest)
  if type(answer) == 'table' and answer.err then
    try('XGROUP', 'CREATE', events, 'workers', newest, 'MKSTREAM')
  end
end
return {1}
