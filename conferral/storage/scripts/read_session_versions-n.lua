--[[
  Reads the versions of sessions.

  KEYS[1 ..]  hashes of the sessions

  Returns  {version, ...}  in the order of the keys; null for a missing key or one that is not a hash
  Why one script: a thousand one-word answers cost the client fifty times as much as one answer of a thousand words, and
  a client that watches all sessions polls several times a second.
]]
local versions = {}
for i = 1, #KEYS do
  local found = redis.pcall('HGET', KEYS[i], 'version')
  versions[i] = type(found) == 'string' and found
end
return versions
