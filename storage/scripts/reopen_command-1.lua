--[[
  Lets a command be done that was dead-lettered: takes back that it has failed, and the claim on its id where that is asked.

  KEYS[1]  hash of the command's outcome

  ARGV[1]  id of the entry whose claim is given up   text, "" to leave the claim as it is
  ARGV[2]  how the reason of a command begins that was put aside   text
  ARGV[3]  how long nobody else may do the same, in which its entry is appended   ms

  Returns  {1, ""}          it may be done now
           {0, status}      it has come to something else; an empty status: another entry has its id
           {0, "reopened"}  somebody else does the same at this moment
  Why one script: what somebody else has brought about meanwhile must not be taken back.
]]
local command, entry, aside = KEYS[1], ARGV[1], ARGV[2]
local found = redis.call('HMGET', command, 'entry', 'status', 'reason', 'reopened')
local status, reason = found[2] or '', found[3] or ''
if status ~= '' and not (status == 'failed' and string.sub(reason, 1, #aside) == aside) then return {0, status} end
if entry ~= '' and found[1] and found[1] ~= entry then return {0, ''} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if status == '' and found[4] and math.abs(now - found[4]) < tonumber(ARGV[3]) then return {0, 'reopened'} end
redis.call('HDEL', command, 'status', 'reason')
redis.call('HSET', command, 'reopened', string.format('%.0f', now))
-- Its outcome had expired: nothing but this is there, and it must not stay.
if redis.call('PTTL', command) < 0 then redis.call('PEXPIRE', command, ARGV[3]) end
if entry ~= '' then redis.call('HDEL', command, 'entry', 'session', 'digest') end
return {1, ''}
