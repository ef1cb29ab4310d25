--[[
  Removes fields of a hash that still have these values.

  KEYS[1]  hash

  ARGV[1 ..]  names and values, in turn

  Returns  how many were removed
  Why a script: an agent whose presence is renewed at the same moment must not be removed.
]]
local found = {}
for at = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[at]) == ARGV[at + 1] then found[#found + 1] = ARGV[at] end
end
for _, name in ipairs(found) do redis.call('HDEL', KEYS[1], name) end
return #found
