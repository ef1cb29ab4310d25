--[[
  Reopens a dead-lettered command: removes its failure, and on request the claim on its id.

  KEYS[1]  hash of the command's outcome

  ARGV[1]  id of the entry whose claim is removed    text, "" to keep the claim
  ARGV[2]  prefix of a dead-lettered command's reason              text
  ARGV[3]  how long no other client may do the same, while the entry is appended   ms

  Returns  {1, ""}          reopened
           {0, status}      it has another outcome; an empty status: another entry has its id
           {0, "reopened"}  another client is reopening it
  Why one script: an outcome that another process has just written must not be removed.
]]
local command, entry, prefix = KEYS[1], ARGV[1], ARGV[2]
local found = redis.call('HMGET', command, 'entry', 'status', 'reason', 'reopened')
local status, reason = found[2] or '', found[3] or ''
if status ~= '' and not (status == 'failed' and string.sub(reason, 1, #prefix) == prefix) then return {0, status} end
if entry ~= '' and found[1] and found[1] ~= entry then return {0, ''} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if status == '' and found[4] and math.abs(now - found[4]) < tonumber(ARGV[3]) then return {0, 'reopened'} end
-- A full Redis accepts a script whose first write needs no memory; while the slot moves, it refuses a key without fields.
redis.call('HDEL', command, '')
redis.call('HSET', command, 'reopened', string.format('%.0f', now))
redis.call('HDEL', command, 'status', 'reason', 'code')
-- The outcome had expired: the hash holds only this field, and must not stay.
if redis.call('PTTL', command) < 0 then redis.call('PEXPIRE', command, ARGV[3]) end
if entry ~= '' then redis.call('HDEL', command, 'entry', 'session', 'digest') end
return {1, ''}
