--[[
  Begins the outcomes again if the position is behind the end of their stream: it is another stream than before.

  KEYS[1]  stream of outcomes
  KEYS[2]  state of the sending: `position`, up to which entries of the stream were queued

  Returns  1  the position is 0-0
           0  nothing to do: the stream reaches the position, is missing, or is another program's
  Why a script: a position that another worker moves meanwhile must stay.
]]
local about = redis.pcall('XINFO', 'STREAM', KEYS[1])
-- Ids have up to 20 digits, more than a number holds; with zeros in front, their texts compare as in Redis.
local function comparable(id)
  local ms, number = string.match(id or '', '^(%d+)%-(%d+)$')
  return ms and string.rep('0', 20 - #ms) .. ms .. string.rep('0', 20 - #number) .. number
end
local position, newest = comparable(redis.call('HGET', KEYS[2], 'position') or ''), nil
for at = 1, #about, 2 do
  if about[at] == 'last-generated-id' then newest = comparable(about[at + 1]) end
end
if not position or not newest or position <= newest then return 0 end
redis.call('HSET', KEYS[2], 'position', '0-0')
return 1
