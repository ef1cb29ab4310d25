--[[
  Appends an effect's outcome to the event stream and marks the effect as done, once.

  KEYS[1]  outbox hash
  KEYS[2]  event stream of the partition

  ARGV[1]  effect id
  ARGV[2 ..]  fields and values of the entry

  Returns  1  written
           0  done before, or no longer in the outbox
  Why one script: after an outcome without the mark, the next holder would execute the effect again.
]]
local outbox, events = KEYS[1], KEYS[2]
local effect_id = ARGV[1]
local body = redis.call('HGET', outbox, effect_id)
if not body or body == 'done' then return 0 end
local fields = {}
for i = 2, #ARGV do fields[i - 1] = ARGV[i] end
-- A full Redis accepts a script whose first write needs no memory.
redis.call('HDEL', outbox, '')
-- Append before the mark: if the append is refused, the effect can still be finished.
redis.call('XADD', events, '*', unpack(fields))
redis.call('HSET', outbox, effect_id, 'done')
return 1
