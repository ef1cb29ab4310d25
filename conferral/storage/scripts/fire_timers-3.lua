--[[
  Moves due timers onto the event stream, oldest first.

  KEYS[1]  lease hash of the partition
  KEYS[2]  timers sorted set: due time in ms by TIMER|SESSION
  KEYS[3]  event stream of the partition

  ARGV[1]  lease holder          text, in full
  ARGV[2]  timers moved at most  count
  ARGV[3]  time                  ms, from the owner; Redis's own clock may have been set in the meantime
  ARGV[4 ..]  after a takeover, each kind of timer and its longest duration, ms: one that is due later counts as due,
              since someone has set Redis's clock back

  Returns  {1, next_due_ms}   next_due_ms is "" when no timer is left
           {0}                lost: another owner, nothing written
  Why one script: a crash between removing a timer and appending its entry would lose it.
]]
local lease, timers, events = KEYS[1], KEYS[2], KEYS[3]
local holder, most, now_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if redis.call('HGET', lease, 'holder') ~= holder then return {0} end
local due = redis.call('ZRANGEBYSCORE', timers, '-inf', now_ms, 'WITHSCORES', 'LIMIT', 0, most)
local longest = {}
for i = 4, #ARGV, 2 do longest[ARGV[i]] = tonumber(ARGV[i + 1]) end
local later = #ARGV > 3 and redis.call('ZRANGEBYSCORE', timers, '(' .. now_ms, '+inf', 'WITHSCORES') or {}
for i = 1, #later, 2 do
  local most_ms = longest[string.match(later[i], '^([a-z_]+)|') or '']
  if most_ms and tonumber(later[i + 1]) > tonumber(now_ms) + most_ms then
    due[#due + 1], due[#due + 2] = later[i], later[i + 1]
  end
end
-- Counted before: while the slot moves, Redis refuses to read a key that the script has emptied.
local is_one_left = redis.call('ZCARD', timers) > #due / 2
-- A full Redis accepts a script whose first write needs no memory.
if #due > 0 then redis.call('ZREM', timers, '') end
for i = 1, #due, 2 do
  local timer, session = string.match(due[i], '^([a-z_]+)|(.+)$')
  local due_ms = tonumber(due[i + 1]) or math.huge
  if timer and math.abs(due_ms) ~= math.huge then
    local event = {session_id = session, due_ms = due_ms}
    redis.call('XADD', events, '*', 'type', timer .. '_overdue', 'session', session, 'event', cjson.encode(event))
  end
  -- Remove last: if the append is refused, the timer is still there.
  redis.call('ZREM', timers, due[i])
end
local following = is_one_left and redis.call('ZRANGE', timers, 0, 0, 'WITHSCORES') or {}
return {1, following[2] or ''}
