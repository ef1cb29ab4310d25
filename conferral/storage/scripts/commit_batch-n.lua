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
  KEYS[8]  stream that exists only while the script runs
  KEYS[9 ..]  for each session its hash and its log stream

  ARGV[1]  lease holder            text, in full
  ARGV[2]  number of this commit   count, one higher than the lease's last
  ARGV[3]  lifetime of an ended session, seconds
  ARGV[4]  entries kept in a session's log, count
  ARGV[5]  the batch as JSON. All values are texts; empty lists and fields that do not apply may be missing:
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

  Returns  {1}        stored
           {2}        already: this same commit was stored before
           {0}        lost: another holder, nothing written
           {3}        out of order: the lease's commit number is not the previous one, nothing written
           {4}        a key of the partition has the wrong type, nothing written
           an error   our user may not run one of the commands, nothing written
           {5, n, ..} conflict: these sessions (counted from 1) have another version or a wrong type, nothing written
  Why one script: a crash between the parts would repeat a decision or lose its effects.
  Why it removes entries first: a full Redis accepts a script whose first write frees memory, so that it drains.
]]
local events, lease, outbox, timers, live, ended, suspects, spare =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local holder, number, ttl_s, log_max = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local batch = cjson.decode(ARGV[5])
local call, try = redis.call, redis.pcall

-- Lua's stack takes about 8,000 values at most; an even chunk size keeps fields and values together.
local function write(command, key, list)
  if not list then return end
  for first = 1, #list, 1000 do call(command, key, unpack(list, first, math.min(first + 999, #list))) end
end

-- Check everything before the first write: Redis does not roll back a script that fails halfway.
-- Fencing: after a takeover, a commit by the former holder writes nothing.
if call('HGET', lease, 'holder') ~= holder then return {0} end
local last = tonumber(call('HGET', lease, 'commit') or '0')
if last == tonumber(number) then return {2} end
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
  {'ZREMRANGEBYSCORE', spare, 0, 0}, {'RENAME', lease, lease}, {'COPY', spare, lease}, {'EXPIRE', spare, ttl_s},
  {'EXISTS', spare}}
for _, session in ipairs(batch.sessions) do
  if session.is_opened then probes[#probes + 1] = {'SADD', lease, ''} end  -- fails, because it is a hash
end
for _, probe in ipairs(probes) do
  local answer = try(unpack(probe))
  if is_forbidden(answer) then return answer end
end

local conflicts = {5}
for i, session in ipairs(batch.sessions) do
  local found, length = try('HGET', KEYS[7 + 2 * i], 'version'), try('XLEN', KEYS[8 + 2 * i])
  if type(found) == 'table' or (found or '0') ~= session.expected or type(length) == 'table' then
    conflicts[#conflicts + 1] = i
  end
end
if #conflicts > 1 then return conflicts end

-- From here on nothing can fail.
write('XDEL', events, batch.entries)
write('HDEL', suspects, batch.entries)
write('HDEL', suspects, batch.outbox_remove)
call('HSET', lease, 'commit', number)
for i, session in ipairs(batch.sessions) do
  local hash, log = KEYS[7 + 2 * i], KEYS[8 + 2 * i]
  write('HSET', hash, session.set)
  write('HDEL', hash, session.remove)
  local is_new = call('EXISTS', log) == 0 and #session.log > 0
  for _, entry in ipairs(session.log) do call('XADD', log, 'MAXLEN', log_max, '*', unpack(entry)) end
  if is_new then
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

-- The group is for operators: its position is the last entry decided. From that, Redis 7 computes the number of
-- unprocessed entries, its lag; it is empty while an older entry is undecided.
local newest = batch.entries[#batch.entries]
if newest then
  local answer = try('XGROUP', 'SETID', events, 'workers', newest)
  if type(answer) == 'table' and answer.err then
    try('XGROUP', 'CREATE', events, 'workers', newest, 'MKSTREAM')
  end
end
return {1}
