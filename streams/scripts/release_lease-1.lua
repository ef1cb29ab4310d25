--[[
  Gives a lease back, so that the next worker need not wait for it to run out.

  KEYS[1]  lease hash: holder, until, commit

  ARGV[1]  holder  text, the whole of it

  Returns  1  given back
           0  it was not held any more
]]
local lease, holder = KEYS[1], ARGV[1]
if redis.call('HGET', lease, 'holder') ~= holder then return 0 end
redis.call('HDEL', lease, '')
redis.call('HSET', lease, 'until', '0')
return 1
