--[[
  Marks an effect that can't be looked up as one that may have been sent, right before it is.

  KEYS[1]  lease hash of the partition
  KEYS[2]  outbox hash

  ARGV[1]  lease holder  text, the whole of it
  ARGV[2]  effect id
  ARGV[3]  now           ms

  Returns  1  marked
           0  not: another holder, or it is done, or nobody waits for it; it must not be sent
           2  it was marked before
  The mark is the first member of the effect's JSON. The text is not taken apart: Lua writes empty lists as objects.
  Why one script: between a look at the lease and the mark, a successor could have taken the effect up as unsent.
]]
local lease, outbox = KEYS[1], KEYS[2]
local holder, effect_id, now_ms = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', lease, 'holder') ~= holder then return 0 end
local body = redis.call('HGET', outbox, effect_id)
if not body or string.sub(body, 1, 1) ~= '{' then return 0 end
local mark = '{"sent_at_ms":'
if string.sub(body, 1, #mark) == mark then return 2 end
-- A full Redis lets a script through whose first write needs no memory.
redis.call('HDEL', outbox, '')
redis.call('HSET', outbox, effect_id, mark .. now_ms .. ',' .. string.sub(body, 2))
return 1
