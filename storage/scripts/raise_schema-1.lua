--[[
  Raises the level at which all processes write.

  KEYS[1]  config hash: partitions, schema

  ARGV[1]  level  count

  Returns  the level that stands now; it never goes back
  Why one script: of two who raise it to different levels the higher one holds.
]]
local config, level = KEYS[1], tonumber(ARGV[1])
local found = tonumber(redis.call('HGET', config, 'schema') or '0')
if found >= level then return found end
redis.call('HDEL', config, '')
redis.call('HSET', config, 'schema', tostring(level))
return level
