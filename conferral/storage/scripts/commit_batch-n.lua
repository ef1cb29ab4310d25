--[[
  Stores the results of a batch of entries and removes the entries, or writes nothing. The lease's holder and commit
  number are the fence: a worker that has lost the partition can't commit.

  KEYS[1]  event stream of the partition
  KEYS[2]  lease hash of the partition
  KEYS[3]  outbox hash
  KEYS[4]  timers sorted set
  KEYS[5]  set of live sessions
  KEYS[6]  sorted set of ended sessions
  KEYS[7]  hash of suspected entries and effects
  KEYS[8]  stream that exists only while the script runs
  KEYS[9]  stream of outcomes
  KEYS[10]  stream of dead letters
  KEYS[11 ..]  for each session its hash and its log stream; then keys that the batch names by their numbers in KEYS

  ARGV[1]  lease holder            text, in full
  ARGV[2]  number of this commit   count, one higher than the lease's last
  ARGV[3]  lifetime of an ended session, seconds
  ARGV[4]  lifetime of an ended session's calls, seconds
  ARGV[5]  lifetime of a command's status, seconds
  ARGV[6]  entries kept in a session's log, count
  ARGV[7]  outcomes kept, about, count
  ARGV[8]  dead letters kept, about, count
  ARGV[9]  the batch as JSON. All values but keys are texts; empty lists and fields that do not apply may be missing:
    entries                ids of the entries to remove
    outbox_set             id, body, ... to put
    outbox_remove          ids to remove
    timers_set             due time in ms, member, ... to set
    timers_remove          members to remove
    sessions               for each session, in the order of the keys:
      id, expected           its version before ("0": must not exist)
      is_opened              if it is new and lives
      ended_at               if it ended: when, in ms
      set                    field, value, ... to set
      remove                 fields to remove
      log                    entries for its log, each field, value, ...
    reports                for each: key of a command's hash; status, reason, session, code. A status only advances
    outcomes               entries for the stream of outcomes, each field, value, ...
    over                   for each: key of a call; the session that has ended. A call with a newer one stays
    released               for each: key of a limit's sorted set; reservations that were not used
    unplayed               keys of the digits of commands that were refused or failed

  Returns  {1}        stored
           {2}        already: this same commit was stored before
           {0}        lost: another owner, nothing written
           {3}        out of order: the lease's commit number is not the previous one, nothing written
           {4}        a key of the partition has the wrong type, nothing written
           an error   our user may not run one of the commands, nothing written
           {5, n, ..} conflict: these sessions (counted from 1) have another version, a wrong type, or a log that takes no
                      more entries, nothing written
           {6, {n, ..}, {m, ..}} stored, except for what these KEYS would take: they are another program's. Outcomes are
                      dead letters then, except for these (counted from 1): they are lost
  Why one script: a crash between the parts would repeat a decision, or lose its effects, reports, or outcomes.
  Why it removes entries first: a full Redis accepts a script whose first write frees memory, so that it drains.
  While the slot moves to another node of a cluster, no commit begins: KEYS[8] never exists before it, so Redis refuses
  the script (TRYAGAIN, ASK). Otherwise, it would fail at a key that it has emptied itself.
]]
local events, lease, outbox, timers, live, ended, suspects, spare, outcomes, dead =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local holder, number, ttl_s, calls_ttl_s, command_ttl_s, log_max, outcomes_max, dead_max =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local batch = cjson.decode(ARGV[9])
local call, try = redis.call, redis.pcall

-- Lua's stack takes about 8,000 values at most; an even chunk size keeps fields and values together.
local function write(command, key, list)
  if not list then return end
  for first = 1, #list, 1000 do call(command, key, unpack(list, first, math.min(first + 999, #list))) end
end

-- Check everything before the first write: Redis does not roll back a script that fails halfway.
-- Fencing: after a takeover, a commit by the former owner writes nothing.
if call('HGET', lease, 'holder') ~= holder then return {0} end
local last = tonumber(call('HGET', lease, 'commit') or '0')
if last == tonumber(number) then
  call('HSET', lease, 'commit', number)  -- WAIT waits for a write
  return {2}
end
if last ~= tonumber(number) - 1 then return {3} end

-- A command on a key of another type returns an error, which pcall() makes a table.
local function is_forbidden(answer)
  local text = type(answer) == 'table' and answer.err or ''
  return string.find(text, 'NOPERM', 1, true) or string.find(text, 'The user executing the script', 1, true)
end
for key, count in pairs({[events] = 'XLEN', [outbox] = 'HLEN', [timers] = 'ZCARD', [live] = 'SCARD', [ended] = 'ZCARD',
  [suspects] = 'HLEN'}) do
  local answer = try(count, key)
  if is_forbidden(answer) then return answer end
  if type(answer) == 'table' then return {4} end
end
-- Redis applies the rules of our user (ACL) when a command runs. These change nothing.
local probes = {{'XDEL', spare, '0-1'}, {'XADD', spare, 'NOMKSTREAM', '*', '', ''}, {'HDEL', spare, ''},
  {'HSET', lease, 'holder', holder}, {'SREM', spare, ''}, {'ZADD', spare, 'XX', 0, ''}, {'ZREM', spare, ''},
  {'ZREMRANGEBYSCORE', spare, 0, 0}, {'RENAME', lease, lease}, {'COPY', spare, lease}, {'EXPIRE', spare, ttl_s}}
for _, session in ipairs(batch.sessions) do
  if session.is_opened then probes[#probes + 1] = {'SADD', lease, ''} end  -- fails, because it is a hash
end
for _, probe in ipairs(probes) do
  local answer = try(unpack(probe))
  if is_forbidden(answer) then return answer end
end

-- A stream refuses what would come after the highest id. Of the ids before it, 51,616 or more must be left.
local function is_exhausted(log)
  local about = try('XINFO', 'STREAM', log)  -- an error if it is missing
  for at = 1, #about, 2 do
    if about[at] == 'last-generated-id' then
      return string.find(about[at + 1], '^18446744073709551615%-184467440737095%d%d%d%d%d$')
    end
  end
end
local conflicts, log_lengths = {5}, {}
for i, session in ipairs(batch.sessions) do
  local found = try('HGET', KEYS[9 + 2 * i], 'version')
  log_lengths[i] = try('XLEN', KEYS[10 + 2 * i])
  if type(found) == 'table' or (found or '0') ~= session.expected or type(log_lengths[i]) == 'table'
    or is_exhausted(KEYS[10 + 2 * i]) then
    conflicts[#conflicts + 1] = i
  end
end
if #conflicts > 1 then return conflicts end

-- Of what all partitions share: a key of another type is another program's. Calls must not wait for it.
local refused, rank, ranks = {}, {accepted = 1, done = 2, rejected = 2, failed = 2}, {}
local reports, over = {}, {}
for _, report in ipairs(batch.reports) do
  local key, status = unpack(report)
  local before = try('HGET', KEYS[key], 'status')
  if is_forbidden(before) then return before end
  ranks[key] = ranks[key] or rank[before] or 0
  if type(before) == 'table' then
    refused[#refused + 1] = key
  elseif ranks[key] < rank[status] then
    ranks[key], reports[#reports + 1] = rank[status], report
  end
end
for _, call_over in ipairs(batch.over) do
  local key, session = unpack(call_over)
  local newest = try('GET', KEYS[key])
  if is_forbidden(newest) then return newest end
  if newest == session then over[#over + 1] = KEYS[key] end
end

-- From here on nothing can fail.
write('XDEL', events, batch.entries)
write('HDEL', suspects, batch.entries)
write('HDEL', suspects, batch.outbox_remove)
call('HSET', lease, 'commit', number)
for i, session in ipairs(batch.sessions) do
  local hash, log = KEYS[9 + 2 * i], KEYS[10 + 2 * i]
  write('HSET', hash, session.set)
  write('HDEL', hash, session.remove)
  for _, entry in ipairs(session.log) do call('XADD', log, 'MAXLEN', log_max, '*', unpack(entry)) end
  if log_lengths[i] == 0 and #session.log > 0 then
    -- Redis reserves 4 KiB for a new stream. A copy takes only what it holds.
    call('COPY', log, spare, 'REPLACE')
    call('RENAME', spare, log)
  end
  if session.is_opened then call('SADD', live, session.id) end
  if session.ended_at then
    call('SREM', live, session.id)
    call('ZADD', ended, session.ended_at, session.id)
    call('ZREMRANGEBYSCORE', ended, '-inf', tonumber(session.ended_at) - 1000 * tonumber(ttl_s))
    call('EXPIRE', hash, ttl_s)
    call('EXPIRE', log, ttl_s)
  end
end
write('HDEL', outbox, batch.outbox_remove)
write('HSET', outbox, batch.outbox_set)
write('ZREM', timers, batch.timers_remove)
write('ZADD', timers, batch.timers_set)

for _, report in ipairs(reports) do
  local key, status, reason, session, code = unpack(report)
  call('HSET', KEYS[key], 'status', status, 'reason', reason, 'session', session, 'code', code)
  call('EXPIRE', KEYS[key], command_ttl_s)
end
local function is_added(stream, most, fields)
  local answer = try('XADD', stream, 'MAXLEN', '~', most, '*', unpack(fields))
  return not (type(answer) == 'table' and answer.err)
end
local function letter_of(fields)
  local letter, id, size = {}, '', 0
  for at, text in ipairs(fields) do
    letter[at], size = text, size + #text
    if at % 2 == 1 and text == 'id' then id = fields[at + 1] end
  end
  for _, text in ipairs({'dead_reason', 'Redis refuses the stream of outcomes', 'dead_stream', outcomes, 'dead_entry', id,
    'dead_size', size}) do letter[#letter + 1] = text end
  return letter
end
local lost = {}
for i, fields in ipairs(batch.outcomes) do
  if not is_added(outcomes, outcomes_max, fields) then
    refused[#refused + 1] = 9
    if not is_added(dead, dead_max, letter_of(fields)) then refused[#refused + 1], lost[#lost + 1] = 10, i end
  end
end
for _, key in ipairs(over) do call('EXPIRE', key, calls_ttl_s) end
for _, release in ipairs(batch.released) do try('ZREM', KEYS[release[1]], unpack(release, 2)) end
for _, key in ipairs(batch.unplayed) do try('SET', KEYS[key], '', 'XX', 'KEEPTTL') end

-- The group is for operators: its position is the last entry decided. From that, Redis 7 computes the number of
-- unprocessed entries, its lag; it is empty while an older entry is undecided.
local newest = batch.entries[#batch.entries]
if newest then
  local answer = try('XGROUP', 'SETID', events, 'workers', newest)
  if type(answer) == 'table' and answer.err then
    try('XGROUP', 'CREATE', events, 'workers', newest, 'MKSTREAM')
  end
end
return #refused > 0 and {6, refused, lost} or {1}
