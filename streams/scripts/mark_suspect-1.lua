--[[
  Counts an entry once more as one that a worker may die of.

  KEYS[1]  hash of suspected entries

  ARGV[1]  entry id

  Returns  how often it was counted, this time included
  Why a script: a full Redis lets one through whose first write needs no memory.
]]
local suspects, entry = KEYS[1], ARGV[1]
redis.call('HDEL', suspects, '')
return redis.call('HINCRBY', suspects, entry, 1)
