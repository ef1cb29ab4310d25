--[[
  Grants a permit to place a call, or returns how long to wait before asking again (rate limit).

  KEYS[1]  hash: `next`, when the next permit is due; and for each worker and kind of dial that waits, by name,
           `CLASS FROM UNTIL`: class 0 for an urgent dial, else 1; since when it waits, and when it expires; times in
           microseconds

  ARGV[1]  name of the worker that asks, and kind of dial
  ARGV[2]  permits                               per second, more than 0
  ARGV[3]  whether a caller waits                1 or 0
  ARGV[4]  longest wait before it asks again     ms

  Returns  {1, 0}        granted
           {0, wait_ms}  not yet
  Urgent dials go first, then the worker that has waited longest. After each permit, a worker goes to the end of
  the line, so that none takes them all. A worker that stops asking loses its place.
  Why one script: two workers that read at the same time would both take the permit.
]]
local pace = KEYS[1]
local name, per_second, is_urgent, patience_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval = 1000000 / per_second
local lifetime = 2000 * patience_ms

local due, own, waiting, gone = now, nil, {}, {}
local fields = redis.call('HGETALL', pace)
for i = 1, #fields, 2 do
  if fields[i] == 'next' then
    -- A clock that went back, or a raised rate, must not delay every worker.
    due = math.min(tonumber(fields[i + 1]) or now, now + interval)
  else
    local class, from, till = string.match(fields[i + 1], '^(%d) (%d+) (%d+)$')
    local waiter = {name = fields[i], class = tonumber(class), from = tonumber(from), till = tonumber(till)}
    if not class or waiter.till < now or waiter.till > now + 2 * lifetime then
      gone[#gone + 1] = waiter.name
    elseif waiter.name == name then
      own = waiter
    else
      waiting[#waiting + 1] = waiter
    end
  end
end

local class = is_urgent and 0 or 1
if not own or own.class ~= class then own = {name = name, class = class, from = now} end
local is_first = true
for i = 1, #waiting do
  local other = waiting[i]
  if other.class < own.class or (other.class == own.class
    and (other.from < own.from or (other.from == own.from and other.name < name))) then is_first = false end
end

-- A full Redis accepts a script whose first write needs no memory. The removals come last: while the slot moves, a key
-- without fields is refused.
redis.call('HDEL', pace, '')
local answer
if is_first and due <= now then
  -- A worker asks slightly after its permit is due; that must not delay the next one.
  local from = own.from < due and math.max(due, now - interval) or now
  redis.call('HSET', pace, 'next', string.format('%.0f', from + interval))
  gone[#gone + 1] = name
  answer = {1, 0}
else
  redis.call('HSET', pace, name, string.format('%d %.0f %.0f', class, own.from, now + lifetime))
  local wait = due > now and due - now or math.min(interval, 20000)
  answer = {0, math.min(math.ceil(wait / 1000), patience_ms)}
end
redis.call('PEXPIRE', pace, math.ceil(interval / 1000) + 2 * patience_ms)
for i = 1, #gone do redis.call('HDEL', pace, gone[i]) end
return answer
