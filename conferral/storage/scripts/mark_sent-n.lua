--[[
  Marks a dial or announcement as possibly sent, right before it is sent, and counts the mark in the lease. A dial is
  also counted within its limits, under its own id, and is not marked beyond one of them. The dial of an offer is not
  marked once the agent's claim names another session, or none.

  KEYS[1]     lease hash of the partition
  KEYS[2]     outbox hash
  KEYS[3]     claim of the agent, if the dial is an offer; else any key
  KEYS[4 ..]  for each limit of a dial a sorted set: which dials were marked, by when, ms

  ARGV[1]     lease holder  text, in full
  ARGV[2]     effect id
  ARGV[3]     Twilio's time ms
  ARGV[4]     session of the offer; empty for no offer
  ARGV[5 ..]  for each limit: the most of it, 0 for no limit, and its window in ms

  Returns  {1, marks}   marked; marks: how many the partition has had (count)
           {0, 0}       not marked: another owner, or no longer in the outbox; it must not be sent
           {2, marks}   it was marked before
           {3, 0}       not marked: the offer has ended
           {NUMBER, 0}  not marked: beyond the limit of this key, from 4
  The mark is the first member of the effect's JSON. The script does not parse the JSON: Lua writes empty lists as
  objects.
  Why one script: between checking the lease and marking, the next owner could have restored the effect as unsent; and
  dials that several workers check at the same moment would all see the same count; and between checking the claim and
  marking, the agent could have been offered another caller.
  Each answer that lets a dial be sent follows a write: WAIT waits for one.
]]
local lease, outbox = KEYS[1], KEYS[2]
local holder, effect_id, sent_at_ms = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', lease, 'holder') ~= holder then return {0, 0} end
local body = redis.call('HGET', outbox, effect_id)
if not body then return {0, 0} end
local mark = '{"sent_at_ms":'
local is_marked = string.sub(body, 1, #mark) == mark
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

if ARGV[4] ~= '' and not is_marked then
  local claim = redis.pcall('GET', KEYS[3])
  if type(claim) ~= 'string' or string.match(claim, '^%d+ %d+ (.*)$') ~= ARGV[4] then return {3, 0} end
end

-- Another program's key, of another type, keeps no one from a dial.
local try, counted = redis.pcall, {}
for number = 4, is_marked and 0 or #KEYS do
  local key, most, window = KEYS[number], tonumber(ARGV[2 * number - 3]), tonumber(ARGV[2 * number - 2])
  -- One with a time in the future was left when the clock was set back.
  local found = try('ZCOUNT', key, '(' .. now - window, '(' .. now + window)
  if most > 0 and type(found) == 'number' then
    if found >= most then return {number, 0} end
    counted[#counted + 1] = {key, window}
  end
end

-- A full Redis accepts a script whose first write needs no memory. The removals come last: while the slot moves, Redis
-- refuses a key that the script has emptied.
redis.call('HDEL', outbox, '')
for _, limit in ipairs(counted) do
  local key, window = unpack(limit)
  redis.call('ZADD', key, now, effect_id)
  redis.call('PEXPIRE', key, window)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
  redis.call('ZREMRANGEBYSCORE', key, now + window, '+inf')
end
if not is_marked then redis.call('HSET', outbox, effect_id, mark .. sent_at_ms .. ',' .. string.sub(body, 2)) end
return {is_marked and 2 or 1, redis.call('HINCRBY', lease, 'marks', 1)}
