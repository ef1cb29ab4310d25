--[[
  Gives a command's id to the stream entry that asks first, with the session that the command is for.

  KEYS[1]  hash of the command's outcome

  ARGV[1]  id of the stream entry
  ARGV[2]  the session it is for   text, "" when there is none
  ARGV[3]  digest of what is asked  text
  ARGV[4]  lifetime                seconds
  ARGV[5]  who gives the command   text, "" where it does not say

  Returns  {1, session}  claimed, now or before, by this very entry: what stands there, which is the session given when
                         it was claimed first
           {0, ""}       another entry has it, which asks the same: this one is a repetition
           {-1, ""}      another entry has it, for another command
  Why the first session stays: a command that opens a session and is routed again must not take that session for
  somebody else's.
]]
local command, entry, session, digest, ttl_s = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local by = ARGV[5] or ''
local owner = redis.call('HMGET', command, 'entry', 'session', 'digest')
if owner[1] and owner[1] ~= entry then
  -- One that was claimed by an older version has no digest.
  return {owner[3] and owner[3] ~= digest and -1 or 0, ''}
end
if owner[1] then return {1, owner[2] or ''} end
redis.call('HDEL', command, '')
redis.call('HSET', command, 'entry', entry, 'session', session, 'digest', digest, 'by', by)
redis.call('EXPIRE', command, ttl_s)
return {1, session}
