--[[
  Appends an entry to the dead letters, even when Redis is full.

  KEYS[1]  stream of dead letters

  ARGV[1]  letters kept, about   count
  ARGV[2 ..]  fields and values

  Returns  id of the letter
  Why a script: a full Redis accepts a script whose first write frees memory.
]]
local dead, most = KEYS[1], tonumber(ARGV[1])
local fields = {}
for i = 2, #ARGV do fields[i - 1] = ARGV[i] end
redis.call('XTRIM', dead, 'MAXLEN', '~', most)
return redis.call('XADD', dead, '*', unpack(fields))
