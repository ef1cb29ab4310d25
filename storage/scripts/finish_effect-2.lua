--[[
  Writes what came of an effect onto the event stream and marks the effect as done, once.

  KEYS[1]  outbox hash
  KEYS[2]  event stream of the partition

  ARGV[1]  effect id
  ARGV[2 ..]  fields and values of the entry

  Returns  1  written
           0  it was done before, or nobody waits for it
  Why one script: an outcome written without the mark would be carried out again by a successor.
]]
local outbox, events = KEYS[1], KEYS[2]
local effect_id = ARGV[1]
local body = redis.call('HGET', outbox, effect_id)
if not body or body == 'done' then return 0 end
local fields = {}
for i = 2, #ARGV do fields[i - 1] = ARGV[i] end
-- A full Redis lets a script through whose first write needs no memory.
redis.call('HDEL', outbox, '')
-- The entry before the mark: should it be refused, the effect is still there to be finished.
redis.call('XADD', events, '*', unpack(fields))
redis.call('HSET', outbox, effect_id, 'done')
return 1
