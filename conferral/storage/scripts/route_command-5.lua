--[[
  Routes a command that names its session by the session's own id: claims the command's id, appends the command to the
  session's partition, and removes it from the command stream. Not on a cluster: the keys have different slots.

  KEYS[1]  hash of the command's outcome
  KEYS[2]  newest session of the call that has the named id
  KEYS[3]  session hash of the named id
  KEYS[4]  stream of undecided events of that session's partition
  KEYS[5]  stream of commands

  ARGV[1]  id of the command's stream entry
  ARGV[2]  the named id           text
  ARGV[3]  digest of the request  text
  ARGV[4]  lifetime of the claim  seconds
  ARGV[5]  sender of the command  text, "" if unknown
  ARGV[6 ..]  fields and values of the event

  Returns  1   routed
           0   another entry with the same request has claimed the id: removed as a repetition
           -1  another entry with a different request has claimed the id: removed
           2   no session has the named id as its own: nothing was done
  Why one script: three round trips fewer from a command to its request. Each step is the same as without this
  script, see `claim_command-1`, and may be repeated.
]]
local command, call, session, events, commands = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local entry, named, digest, ttl_s, by = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local of_call = redis.call('GET', call)
if of_call and of_call ~= named then return 2 end
if not of_call and redis.call('EXISTS', session) == 0 then return 2 end
local owner = redis.call('HMGET', command, 'entry', 'session', 'digest')
if owner[1] and owner[1] ~= entry then
  redis.call('XDEL', commands, entry)
  -- A claim by an older version has no digest.
  return owner[3] and owner[3] ~= digest and -1 or 0
end
-- First, so that a full Redis refuses the whole script.
local fields = {}
for i = 6, #ARGV do fields[i - 5] = ARGV[i] end
redis.call('XADD', events, '*', unpack(fields))
if not owner[1] then
  redis.call('HSET', command, 'entry', entry, 'session', named, 'digest', digest, 'by', by)
  redis.call('EXPIRE', command, ttl_s)
end
redis.call('XDEL', commands, entry)
return 1
