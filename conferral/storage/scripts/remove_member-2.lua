--[[
  Removes a session that is over, erased, or elsewhere from an index of sessions, if it has not changed since it was read.

  KEYS[1]  the index: a hash or a set
  KEYS[2]  hash of the session

  ARGV[1]  id of the session
  ARGV[2]  version that was read            text, "" if there was none
  ARGV[3]  what removes it from the index   `HDEL` or `SREM`

  Returns  1 if it was removed, else 0
  Why a script: a commit between the read and the removal may have put it there.
]]
local found = redis.pcall('HGET', KEYS[2], 'version')
if type(found) == 'table' then found = false end  -- not a hash
if (found or '') ~= ARGV[2] then return 0 end
return redis.call(ARGV[3], KEYS[1], ARGV[1])
