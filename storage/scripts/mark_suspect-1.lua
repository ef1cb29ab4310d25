--[[
  Counts an entry once more as one that a worker may die of. Whoever asks again, because the answer was lost, is told
  the same.

  KEYS[1]  hash of suspected entries

  ARGV[1]  entry id
  ARGV[2]  holder of the lease

  Returns  under how many leases it was counted, this one included
  Why a script: a full Redis lets one through whose first write needs no memory.
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
