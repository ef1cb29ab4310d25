--[[
  Marks a dial or announcement as possibly sent, right before it is sent, and counts the mark in the lease.

  KEYS[1]  lease hash of the partition
  KEYS[2]  outbox hash

  ARGV[1]  lease holder  text, in full
  ARGV[2]  effect id
  ARGV[3]  Twilio's time ms

  Returns  {1, marks}  marked; marks: how many the partition has had (count)
           {0, 0}      not marked: another owner, or no longer in the outbox; it must not be sent
           {2, marks}  it was marked before
  The mark is the first member of the effect's JSON. The script does not parse the JSON: Lua writes empty lists as
  objects.
  Why one script: between checking the lease and marking, the next owner could have restored the effect as unsent.
  Each answer but 0 follows a write: WAIT waits for one.
]]
local lease, outbox = KEYS[1], KEYS[2]
local holder, effect_id, sent_at_ms = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', lease, 'holder') ~= holder then return {0, 0} end
local body = redis.call('HGET', outbox, effect_id)
if not body then return {0, 0} end
local mark = '{"sent_at_ms":'
local is_marked = string.sub(body, 1, #mark) == mark
-- A full Redis accepts a script whose first write needs no memory.
redis.call('HDEL', outbox, '')
if not is_marked then redis.call('HSET', outbox, effect_id, mark .. sent_at_ms .. ',' .. string.sub(body, 2)) end
return {is_marked and 2 or 1, redis.call('HINCRBY', lease, 'marks', 1)}
