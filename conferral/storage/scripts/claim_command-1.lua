--[[
  Claims a command's id for the stream entry that asks first, with the session that the command is for (deduplicates).

  KEYS[1]  hash of the command's outcome

  ARGV[1]  id of the stream entry
  ARGV[2]  the session it is for   text, "" without one
  ARGV[3]  digest of the request   text
  ARGV[4]  lifetime                seconds
  ARGV[5]  sender of the command   text, "" if unknown

  Returns  {1, session}  claimed now
           {2, session}  claimed by this entry before, with the session of the first claim
           {0, ""}       another entry with the same request has the id: this one is a repetition
           {-1, ""}      another entry with a different request has the id
  Why the first session stays: a command that opens a session and is routed again must not mistake that session for
  another command's.
]]
local command, entry, session, digest, ttl_s = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local by = ARGV[5] or ''
local claim = redis.call('HMGET', command, 'entry', 'session', 'digest')
if claim[1] and claim[1] ~= entry then
  return {claim[3] == digest and 0 or -1, ''}
end
if claim[1] then return {2, claim[2] or ''} end
redis.call('HDEL', command, '')
redis.call('HSET', command, 'entry', entry, 'session', session, 'digest', digest, 'by', by)
redis.call('EXPIRE', command, ttl_s)
return {1, session}
