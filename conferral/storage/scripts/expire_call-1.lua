--[[
  Lets a call's index entry expire after the end of a session, unless the call has a newer session.

  KEYS[1]  newest session of the call

  ARGV[1]  id of the session that has ended  text
  ARGV[2]  lifetime                          seconds

  Returns  1  expires
           0  the call has another session, or none
]]
-- A key of another type is another program's: pcall() returns a table, which equals no id.
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
