--[[
  Writes a command's status; it only moves forward, so a repetition changes nothing.

  KEYS[1]  hash of the command's outcome

  ARGV[1]  status    accepted, done, rejected or failed
  ARGV[2]  reason    text, "" when there is nothing to add
  ARGV[3]  session   text
  ARGV[4]  lifetime  seconds
  ARGV[5]  code      Twilio's error code, "" without one

  Returns  1  written
           0  the stored status is the same or further along
]]
local command, status, reason, session, ttl_s, code = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] or ''
local rank = {accepted = 1, done = 2, rejected = 2, failed = 2}
local before = redis.call('HGET', command, 'status')
if before and (rank[before] or 0) >= rank[status] then
  redis.call('EXPIRE', command, ttl_s)  -- the answer may have been lost, and WAIT waits for a write
  return 0
end
redis.call('HDEL', command, '')
redis.call('HSET', command, 'status', status, 'reason', reason, 'session', session, 'code', code)
redis.call('EXPIRE', command, ttl_s)
return 1
