--[[
  Removes what a partition holds about one session that has ended or can't be read, if it has not changed since it was read.

  KEYS[1]  hash of the session
  KEYS[2]  its log stream
  KEYS[3]  hash of its gates
  KEYS[4]  set of live sessions
  KEYS[5]  sorted set of ended sessions

  ARGV[1]  id of the session
  ARGV[2]  version that was read   text, "" if there was no hash
  ARGV[3]  1 if it can't be read: it is erased though it is live

  Returns  1  removed, now or before
           0  not removed: it is live, or it has changed; nothing written
  Why one script: a decision between the read and the removal would be lost. A commit that follows finds another version
  than it expects and writes nothing.
]]
local hash, log, gates, live, ended = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local session, version, is_foreign = ARGV[1], ARGV[2], ARGV[3] == '1'

local found = redis.pcall('HMGET', hash, 'version', 'state')
if found.err then found = {} end  -- not a hash
if (found[1] or '') ~= version then return 0 end
if not is_foreign and version ~= '' and found[2] ~= 'ended' then return 0 end
if not is_foreign and redis.call('SISMEMBER', live, session) == 1 then return 0 end
redis.call('DEL', hash, log, gates)
redis.call('ZREM', ended, session)
redis.call('SREM', live, session)
return 1
