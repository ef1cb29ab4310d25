--[[
  Stores the result of a batch of entries and removes the entries, or writes nothing.

  KEYS[1]  event stream of the partition
  KEYS[2]  lease hash of the partition
  KEYS[3]  outbox hash
  KEYS[4]  timers sorted set
  KEYS[5]  set of live sessions
  KEYS[6]  sorted set of ended sessions
  KEYS[7]  hash of suspected entries and effects
  KEYS[8 ..]  for each session its hash and its log stream

  ARGV[1]  lease holder            text, in full
  ARGV[2]  number of this commit   count, one higher than the lease's last
  ARGV[3]  lifetime of an ended session, seconds
  ARGV[4]  entries kept in a session's log, count
  ARGV[5 ..]  counted lists, each preceded by its length:
    entry ids to remove;
    outbox: id, body, ... to put; ids to remove;
    timers: due time in ms, member, ... to set; members to remove;
    sessions: for each its id, the version expected ("0": must not exist), when it ended in ms ("" while it is live),
    counted fields and values to set, counted fields to remove, and its log: for each entry counted fields and values

  Returns  {1}        stored
           {2}        already: this same commit was stored before
           {0}        lost: another holder, nothing written
           {3}        out of order: the lease's commit number is not the previous one, nothing written
           {4}        a key of the partition has the wrong type, nothing written
           {5, n, ..} conflict: these sessions (counted from 1) have another version or a wrong type, nothing written
  Why one script: a crash between the parts would repeat a decision or lose its effects.
  Why it removes entries first: a full Redis accepts a script whose first write frees memory, so that it drains.
]]
local events, lease, outbox, timers, live, ended, suspects =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local holder, number, ttl_s, log_max = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local at = 4

local function take()
  at = at + 1
  return ARGV[at]
end

local function take_list()
  local list = {}
  for i = 1, tonumber(take()) do list[i] = take() end
  return list
end

-- Lua's unpack() takes about 8,000 values at most; an even chunk size keeps fields and values together.
local function write_in_chunks(command, key, values)
  for first = 1, #values, 1000 do
    redis.call(command, key, unpack(values, first, math.min(first + 999, #values)))
  end
end

-- Check everything before the first write: Redis does not roll back a script that fails halfway.
-- Fencing: after a takeover, a commit by the former holder writes nothing.
if redis.call('HGET', lease, 'holder') ~= holder then return {0} end
local last = tonumber(redis.call('HGET', lease, 'commit') or '0')
if last == tonumber(number) then return {2} end
if last ~= tonumber(number) - 1 then return {3} end

local wanted = {[events] = 'stream', [outbox] = 'hash', [timers] = 'zset', [live] = 'set', [ended] = 'zset',
  [suspects] = 'hash'}
for key, kind in pairs(wanted) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then return {4} end
end

local entries = take_list()
local outbox_put, outbox_del = take_list(), take_list()
local timers_set, timers_del = take_list(), take_list()
local sessions, conflicts = {}, {5}
for i = 1, tonumber(take()) do
  local session = {id = take(), version = take(), ended_ms = take(), hash = KEYS[6 + 2 * i], log = KEYS[7 + 2 * i]}
  session.set, session.del, session.entries = take_list(), take_list(), {}
  for j = 1, tonumber(take()) do session.entries[j] = take_list() end
  sessions[i] = session
  local found = redis.pcall('HGET', session.hash, 'version')
  local log_type = redis.call('TYPE', session.log).ok
  if type(found) == 'table' or (found or '0') ~= session.version or (log_type ~= 'none' and log_type ~= 'stream') then
    conflicts[#conflicts + 1] = i
  end
end
if #conflicts > 1 then return conflicts end

-- From here on nothing can fail.
for i = 1, #entries do redis.call('XDEL', events, entries[i]) end
redis.call('HDEL', suspects, '', 'last')
write_in_chunks('HDEL', suspects, entries)
redis.call('HSET', lease, 'commit', number)
for i = 1, #sessions do
  local session = sessions[i]
  write_in_chunks('HSET', session.hash, session.set)
  write_in_chunks('HDEL', session.hash, session.del)
  for j = 1, #session.entries do
    redis.call('XADD', session.log, 'MAXLEN', log_max, '*', unpack(session.entries[j]))
  end
  if session.ended_ms ~= '' then
    redis.call('SREM', live, session.id)
    redis.call('ZADD', ended, session.ended_ms, session.id)
    redis.call('ZREMRANGEBYSCORE', ended, '-inf', tonumber(session.ended_ms) - 1000 * tonumber(ttl_s))
    redis.call('EXPIRE', session.hash, ttl_s)
    redis.call('EXPIRE', session.log, ttl_s)
  elseif session.version == '0' then
    redis.call('SADD', live, session.id)
  end
end
for i = 1, #outbox_del do redis.call('HDEL', outbox, outbox_del[i]) end
write_in_chunks('HDEL', suspects, outbox_del)
for i = 1, #outbox_put, 2 do redis.call('HSET', outbox, outbox_put[i], outbox_put[i + 1]) end
for i = 1, #timers_del do redis.call('ZREM', timers, timers_del[i]) end
for i = 1, #timers_set, 2 do redis.call('ZADD', timers, timers_set[i], timers_set[i + 1]) end

-- The group is for operators: its position is the last entry decided, its lag the number of undecided entries. Redis 7
-- computes the lag from the number of entries ever added, and needs the number read, because entries are
-- removed.
if #entries > 0 then
  local newest = entries[#entries]
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
