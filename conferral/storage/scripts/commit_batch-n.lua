--[[
  Stores the results of a batch of entries and removes the entries, or writes nothing. The lease's holder and commit
  number are the fence: a worker that has lost the partition can't commit.

  KEYS[1]  event stream of the partition
  KEYS[2]  lease hash of the partition
  KEYS[3]  outbox hash
  KEYS[4]  timers sorted set
  KEYS[5]  set of live sessions
  KEYS[6]  sorted set of ended sessions
  KEYS[7]  stream that exists only while the script runs
  KEYS[8]  stream of outcomes
  KEYS[9 ..]  for each session its hash and its log stream; then keys that the batch names by their numbers in KEYS

  ARGV[1]  lease holder            text, in full
  ARGV[2]  number of this commit   count, one higher than the lease's last
  ARGV[3]  lifetime of an ended session, seconds
  ARGV[4]  lifetime of an ended session's calls, seconds
  ARGV[5]  lifetime of a command's status, seconds
  ARGV[6]  entries kept in a session's log, count
  ARGV[7]  outcomes kept, about, count
  ARGV[8]  the batch as JSON. All values but keys are texts; empty lists and fields that do not apply may be missing:
    entries                ids of the entries to remove
    outbox_set             id, body, ... to put
    outbox_remove          ids to remove
    timers_set             due time in ms, member, ... to set
    timers_remove          members to remove
    sessions               for each session, in the order of the keys:
      id, expected           its version before ("0": must not exist)
      is_opened              if it is new and lives
      ended_at               if it ended: when, in ms
      set                    field, value, ... to set besides `session`
      log                    entries for its log, each field, value, ...
    reports                for each: key of a command's hash; status, reason, session, code. A status only advances
    outcomes               entries for the stream of outcomes, each field, value, ...
    agent_calls            for each: key of an agent's calls; entry; the entry that it corrects, or empty; key that says
                           for a while when the agent's call ended, or 0
    agent_calls_kept       calls kept of an agent, count; their lifetime, and that of the last key, seconds
    queued, unqueued       for each session that enters a queue, or leaves it: the key, its id, our number
    entered, left          for each agent whose browser begins or ends to be in a session: key of the sessions; its id
    over                   for each: key of a call; the session that has ended. A call with a newer one stays
    unplayed               keys of the digits of commands that were refused or failed
  ARGV[9 ..]  the records of the sessions, in their order: the field `session` of each hash

  Returns  {1, n, ..} stored. These KEYS took nothing: reports, outcomes, and the like are lost there, all else is stored
           {2}        already: this same commit was stored before
           {0}        lost: another owner, nothing written
           {3}        out of order: the lease's commit number is not the previous one, nothing written
           {4, n, ..} these KEYS, of the partition, have the wrong type, nothing written
           {5, n, ..} conflict: these sessions (counted from 1) have another version, or a wrong type, nothing written
  Why one script: a crash between the parts would repeat a decision, or lose its effects, reports, or outcomes.
  Why it removes entries first: a full Redis accepts a script whose first write frees memory, so that it drains.
  While the slot moves to another node of a cluster, no commit begins: KEYS[7] never exists before it, so Redis refuses
  the script (TRYAGAIN, ASK). Otherwise, it would fail at a key that it has emptied itself.
]]
local events, lease, outbox, timers, live, ended, spare, outcomes =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local holder, number, ttl_s, calls_ttl_s, command_ttl_s, log_max, outcomes_max =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local batch = cjson.decode(ARGV[8])
local call, try = redis.call, redis.pcall

-- Lua's stack takes about 8,000 values at most; an even chunk size keeps fields and values together.
local function write(command, key, list)
  if not list then return end
  for first = 1, #list, 1000 do call(command, key, unpack(list, first, math.min(first + 999, #list))) end
end
-- A command that Redis refuses returns an error, which pcall() makes a table.
local function is_error(answer) return type(answer) == 'table' and answer.err end

-- Check everything before the first write: Redis does not roll back a script that fails halfway.
local wrong = {4}
for at, count in ipairs({'XLEN', 'HLEN', 'HLEN', 'ZCARD', 'SCARD', 'ZCARD'}) do
  local err = is_error(try(count, KEYS[at]))
  if err and not string.find(err, 'WRONGTYPE', 1, true) then return {err = err} end
  if err then wrong[#wrong + 1] = at end
end
if #wrong > 1 then return wrong end

-- Fencing: after a takeover, a commit by the former owner writes nothing.
local fence = call('HMGET', lease, 'holder', 'commit')
if fence[1] ~= holder then return {0} end
local last = tonumber(fence[2] or '0')
if last == tonumber(number) then
  call('HSET', lease, 'commit', number)  -- WAIT waits for a write
  return {2}
end
if last ~= tonumber(number) - 1 then return {3} end
local conflicts, log_lengths = {5}, {}
for i, session in ipairs(batch.sessions) do
  local found = try('HMGET', KEYS[7 + 2 * i], 'version')
  log_lengths[i] = try('XLEN', KEYS[8 + 2 * i])
  if found.err or (found[1] or '0') ~= session.expected or is_error(log_lengths[i]) then
    conflicts[#conflicts + 1] = i
  end
end
if #conflicts > 1 then return conflicts end

-- From here on, only a rule for our user (ACL) can refuse a write. Each process tries them all when it starts.
write('XDEL', events, batch.entries)
call('HSET', lease, 'commit', number)
write('HDEL', outbox, batch.outbox_remove)
write('HSET', outbox, batch.outbox_set)
write('ZREM', timers, batch.timers_remove)
write('ZADD', timers, batch.timers_set)
for i, session in ipairs(batch.sessions) do
  local hash = KEYS[7 + 2 * i]
  call('HSET', hash, 'session', ARGV[8 + i], unpack(session.set))
  if session.is_opened then call('SADD', live, session.id) end
  if session.ended_at then
    call('SREM', live, session.id)
    call('ZADD', ended, session.ended_at, session.id)
    call('ZREMRANGEBYSCORE', ended, '-inf', tonumber(session.ended_at) - 1000 * tonumber(ttl_s))
    call('EXPIRE', hash, ttl_s)
  end
end

-- What follows may be refused: a log that has had the highest id, or keys of all partitions that are another program's.
-- Calls don't wait for these.
local stored = {1}
local function attempt(at, command, ...)
  local answer = try(command, ...)
  if not is_error(answer) then return answer end
  stored[#stored + 1] = at
end
for i, session in ipairs(batch.sessions) do
  local at, log = 8 + 2 * i, KEYS[8 + 2 * i]
  for _, entry in ipairs(session.log) do attempt(at, 'XADD', log, 'MAXLEN', log_max, '*', unpack(entry)) end
  -- Redis reserves 4 KiB for a new stream. A copy takes only what it holds.
  if log_lengths[i] == 0 and #session.log > 0 and attempt(at, 'COPY', log, spare, 'REPLACE') == 1 then
    attempt(at, 'RENAME', spare, log)
  end
  if session.ended_at then attempt(at, 'EXPIRE', log, ttl_s) end
end
local rank = {accepted = 1, done = 2, rejected = 2, failed = 2}
for _, report in ipairs(batch.reports) do
  local at, status, reason, session, code = unpack(report)
  local key = KEYS[at]
  local before = attempt(at, 'HMGET', key, 'status')
  if before and (rank[before[1]] or 0) < rank[status] then
    attempt(at, 'HSET', key, 'status', status, 'reason', reason, 'session', session, 'code', code)
    attempt(at, 'EXPIRE', key, command_ttl_s)
  end
end
for _, fields in ipairs(batch.outcomes) do
  attempt(8, 'XADD', outcomes, 'MAXLEN', '~', outcomes_max, '*', unpack(fields))
end
for _, own in ipairs(batch.agent_calls or {}) do
  local at, entry, corrected, talked = unpack(own)
  local own_max, own_ttl_s, talked_ttl_s = unpack(batch.agent_calls_kept)
  if corrected ~= '' then attempt(at, 'LREM', KEYS[at], 1, corrected) end
  attempt(at, 'LPUSH', KEYS[at], entry)
  attempt(at, 'LTRIM', KEYS[at], 0, own_max - 1)
  attempt(at, 'EXPIRE', KEYS[at], own_ttl_s)
  if talked > 0 then
    local time = call('TIME')
    local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    attempt(talked, 'SET', KEYS[talked], string.format('%.0f', now_ms), 'EX', talked_ttl_s)
  end
end
for _, one in ipairs(batch.queued or {}) do attempt(one[1], 'HSET', KEYS[one[1]], one[2], one[3]) end
for _, one in ipairs(batch.unqueued or {}) do attempt(one[1], 'HDEL', KEYS[one[1]], one[2]) end
for _, one in ipairs(batch.entered or {}) do
  attempt(one[1], 'SADD', KEYS[one[1]], one[2])
  attempt(one[1], 'EXPIRE', KEYS[one[1]], 86400)
end
for _, one in ipairs(batch.left or {}) do attempt(one[1], 'SREM', KEYS[one[1]], one[2]) end
for _, call_over in ipairs(batch.over) do
  local at, session = unpack(call_over)
  if attempt(at, 'GET', KEYS[at]) == session then attempt(at, 'EXPIRE', KEYS[at], calls_ttl_s) end
end
for _, at in ipairs(batch.unplayed) do attempt(at, 'SET', KEYS[at], '', 'XX', 'KEEPTTL') end

-- The group is for operators: its position is the last entry decided. From that, Redis 7 computes the number of
-- unprocessed entries, its lag; it is empty while an older entry is undecided.
local newest = batch.entries[#batch.entries]
if newest and is_error(try('XGROUP', 'SETID', events, 'workers', newest)) then
  attempt(1, 'XGROUP', 'CREATE', events, 'workers', newest, 'MKSTREAM')
end
return stored
