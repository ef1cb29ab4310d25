--[[
  Gives a command's id to the stream entry that asks first, with the session that the command is for.

  KEYS[1]  hash of the command's outcome

  ARGV[1]  id of the stream entry
  ARGV[2]  the session it is for   text, "" when there is none
  ARGV[3]  lifetime                seconds

  Returns  {1, session}  claimed, now or before, by this very entry: what stands there, which is the session given when
                         it was claimed first
           {0, ""}       another entry has it: this one is a repetition
  Why the first session stays: a command that opens a session and is routed again must not take that session for
  somebody else's.
]]
local command, entry, session, ttl_s = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local owner = redis.call('HMGET', command, 'entry', 'session')
if owner[1] and owner[1] ~= entry then return {0, ''} end
if owner[1] then return {1, owner[2] or ''} end
redis.call('HDEL', command, '')
redis.call('HSET', command, 'entry', entry, 'session', session)
redis.call('EXPIRE', command, ttl_s)
return {1, session}
