--[[
  Raises the schema version that all processes write.

  KEYS[1]  config hash: partitions, schema

  ARGV[1]  schema version  count

  Returns  the schema version now in force; it never goes back
  Why one script: if two raise it to different versions, the higher one wins.
]]
local config, level = KEYS[1], tonumber(ARGV[1])
local found = tonumber(redis.call('HGET', config, 'schema') or '0')
if found >= level then return found end
redis.call('HDEL', config, '')
redis.call('HSET', config, 'schema', tostring(level))
return level
