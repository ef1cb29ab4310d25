--[[
  Appends an effect's outcome to the event stream and removes the effect from the outbox.

  KEYS[1]  outbox hash
  KEYS[2]  event stream of the partition

  ARGV[1]  effect id
  ARGV[2 ..]  fields and values of the entry

  Returns  1  written
           0  no longer in the outbox
  Why one script: after an outcome without the removal, the next owner would execute the effect again.
  Each answer follows a write: WAIT waits for one.
]]
local outbox, events = KEYS[1], KEYS[2]
local effect_id = ARGV[1]
local is_open = redis.call('HEXISTS', outbox, effect_id) == 1
local fields = {}
for i = 2, #ARGV do fields[i - 1] = ARGV[i] end
-- A full Redis accepts a script whose first write needs no memory.
redis.call('HDEL', outbox, '')
if not is_open then
  redis.call('HSET', outbox, '', '')
  redis.call('HDEL', outbox, '')
  return 0
end
-- Append before the removal: if the append is refused, the effect can still be finished.
redis.call('XADD', events, '*', unpack(fields))
redis.call('HDEL', outbox, effect_id)
return 1
