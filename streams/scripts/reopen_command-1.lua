--[[
  Lets a command be done that was put aside: takes back that it has failed, and the claim on its id where that is asked.

  KEYS[1]  hash of the command's outcome

  ARGV[1]  id of the entry whose claim is given up   text, "" to leave the claim as it is
  ARGV[2]  how the reason of a command begins that was put aside   text

  Returns  {1, ""}      it may be done now
           {0, status}  it has come to something else; an empty status: another entry has its id
  Why one script: what somebody else has brought about meanwhile must not be taken back.
]]
local command, entry, aside = KEYS[1], ARGV[1], ARGV[2]
local found = redis.call('HMGET', command, 'entry', 'status', 'reason')
local status, reason = found[2] or '', found[3] or ''
if status ~= '' and not (status == 'failed' and string.sub(reason, 1, #aside) == aside) then return {0, status} end
if entry ~= '' and found[1] and found[1] ~= entry then return {0, ''} end
redis.call('HDEL', command, 'status', 'reason')
if entry ~= '' then redis.call('HDEL', command, 'entry', 'session', 'digest') end
return {1, ''}
