--[[
  Counts an entry once more as a suspect in a worker's death; a repetition under the same lease returns the same count.

  KEYS[1]  hash of suspected entries

  ARGV[1]  entry id
  ARGV[2]  holder of the lease

  Returns  number of leases under which it was counted, including this one
  Why a script: a full Redis accepts a script whose first write needs no memory.
]]
local suspects, entry = KEYS[1], ARGV[1]
local mark = entry .. ' ' .. ARGV[2]
redis.call('HDEL', suspects, '')
if redis.call('HGET', suspects, 'last') == mark then
  return tonumber(redis.call('HGET', suspects, entry))
end
local count = redis.call('HINCRBY', suspects, entry, 1)
redis.call('HSET', suspects, 'last', mark)
return count
