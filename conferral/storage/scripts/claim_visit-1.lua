--[[
  Claims the id of a call's next session: compare-and-set on the call's newest session.

  KEYS[1]  newest session of the call

  ARGV[1]  id of the session that has ended  text
  ARGV[2]  id of the session to open         text
  ARGV[3]  lifetime                          seconds

  Returns  the id of the call's newest session, now or before: ARGV[2], or what another request has claimed
  Why a script: two requests at the same moment open the same session.
]]
local newest = redis.call('GET', KEYS[1])
if newest and newest ~= ARGV[1] then
  redis.call('SET', KEYS[1], newest, 'KEEPTTL')  -- WAIT waits for a write
  return newest
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return ARGV[2]
