--[[
  Reads the versions of sessions.

  KEYS[1 ..]  hashes of the sessions

  Returns  {version, ...}  in the order of the keys; null for one that is not there, or is no hash
  Why one script: a thousand answers of one word each cost the asker fifty times as much as one answer of a thousand
  words, and whoever watches all sessions asks several times a second.
]]
local versions = {}
for i = 1, #KEYS do
  local found = redis.pcall('HGET', KEYS[i], 'version')
  versions[i] = type(found) == 'string' and found
end
return versions
