--[[
  Gives a command's id to the stream entry that asks first.

  KEYS[1]  hash of the command's outcome

  ARGV[1]  id of the stream entry
  ARGV[2]  the session it is for   text, "" when there is none
  ARGV[3]  lifetime                seconds

  Returns  1  claimed, now or before, by this very entry
           0  another entry has it: this one is a repetition
]]
local command, entry, session, ttl_s = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local owner = redis.call('HGET', command, 'entry')
if owner and owner ~= entry then return 0 end
redis.call('HDEL', command, '')
redis.call('HSET', command, 'entry', entry, 'session', session)
redis.call('EXPIRE', command, ttl_s)
return 1
