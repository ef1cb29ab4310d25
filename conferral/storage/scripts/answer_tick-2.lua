--[[
  Coordinates the workers. Each worker calls it every half second (a tick): that shows that it lives, renews what it
  owns, and decides what it owns next. Redis runs one script at a time, so no two workers get the same.

  KEYS[1]  owners hash, all values JSON. For each partition number and each task, its `holder` (empty while it is free),
           how often it has changed hands (`epoch`), and when it was last renewed (`renewed_at`, ms). For each worker,
           under `worker:NAME`, the number of its newest tick, how long that counts, and whether it takes partitions
  KEYS[2]  workers: who takes partitions, by the time of its newest tick. For people: it decides nothing

  ARGV[1]  name of the worker             text, unique
  ARGV[2]  number of this tick            count, from the worker; one that arrives after a later one changes nothing
  ARGV[3]  how long the tick counts       ms: what others wait for the next one before they call the worker dead
  ARGV[4]  what the worker wants          `share` of all partitions; `nothing`, so that it hands all of its own over, and
                                          its tasks are free; or to `leave`, which frees everything immediately
  ARGV[5]  number of partitions           count
  ARGV[6]  tasks that it can do           words
  ARGV[7]  epochs that have ended         words, NUMBER=EPOCH: of a partition, the highest that has, as far as it knows
  ARGV[8]  workers that it found dead     words, NAME=NUMBER: the tick that was their newest for as long as it counts
  ARGV[9]  how long a dead worker stays in KEYS[2]  ms

  Returns  {}  a later tick was here before
           {now_ms, surplus, free, {item, epoch, ...}, {name, number, lifetime_ms, ...}}
           how many partitions the worker has above its share; how many have no owner; what it owns now; the other
           workers
  No clock decides: a worker is dead if its number has not changed for its lifetime by another worker's monotonic clock,
  and does not change before this script runs.
]]
local owners, name, tick, lifetime_ms, wants = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local partitions, tasks = tonumber(ARGV[5]), ARGV[6]
local time = redis.call('TIME')
local function in_ms(later_ms)
  return string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + later_ms)
end
local now_ms, listed_ms = in_ms(0), tonumber(ARGV[9])

local workers, found = {}, {}
local fields = redis.call('HGETALL', owners)
for i = 1, #fields, 2 do
  local field, value = fields[i], fields[i + 1]
  local worker = string.match(field, '^worker:([%w%p]+)$')
  local number, counts_ms, takes = string.match(value, '"tick":(%d+),"lifetime_ms":(%d+),"takes":(%a+)')
  if worker and number and #number <= 12 and #counts_ms <= 5 then
    workers[worker] = {tick = tonumber(number), lifetime_ms = counts_ms, takes = takes == 'true'}
  else  -- an item, or what can't be read
    local holder, epoch = string.match(value, '"holder":"([^"]*)","epoch":(%d+)')
    found[field] = holder and #epoch <= 12 and {holder = holder, stored = holder, epoch = tonumber(epoch)}
  end
end
-- Of a worker's own ticks, few can be late. A number that is far ahead is another program's.
if workers[name] and workers[name].tick >= tick and workers[name].tick < tick + 1000 then return {} end

-- A full Redis accepts a script whose first write needs no memory.
redis.call('HDEL', owners, '')
local dead = {}
for other, number in string.gmatch(ARGV[8], '(%S+)=(%d+)') do
  if workers[other] and workers[other].tick == tonumber(number) then
    workers[other] = nil
    dead[#dead + 1] = 'worker:' .. other
  end
end
workers[name] = wants ~= 'leave' and {takes = wants == 'share'} or nil

local items = {}
for number = 0, partitions - 1 do items[#items + 1] = tostring(number) end
for task in string.gmatch(tasks, '%S+') do items[#items + 1] = task end
local ended = {}
for item, epoch in string.gmatch(ARGV[7], '(%S+)=(%d+)') do ended[item] = tonumber(epoch) end
-- A partition whose epoch has ended counts for the share: after an error, it gets that again, with a new epoch.
local counts, held = {}, 0
for at, item in ipairs(items) do
  local one = found[item] or {holder = '', stored = '', epoch = 0}
  found[item] = one
  if not workers[one.holder] or (at > partitions and one.holder == name and wants ~= 'share') then one.holder = '' end
  if at <= partitions then counts[one.holder] = (counts[one.holder] or 0) + 1 end
  if one.holder == name and (ended[item] or -1) >= one.epoch then one.holder, one.epoch = '', ended[item] end
  if at <= partitions and one.holder == name then held = held + 1 end
end

-- Shares differ by one at most. Workers that hold more keep more, so that few partitions move.
local takers, share = {}, 0
for other, one in pairs(workers) do
  if one.takes then takers[#takers + 1] = other end
end
table.sort(takers, function(a, b)
  local ours, theirs = counts[a] or 0, counts[b] or 0
  if ours ~= theirs then return ours > theirs end
  return a < b
end)
for place, other in ipairs(takers) do
  if other == name then share = math.floor(partitions / #takers) + (place <= partitions % #takers and 1 or 0) end
end

local mine, free = {}, 0
for at, item in ipairs(items) do
  local one, is_partition = found[item], at <= partitions
  if one.holder == '' and wants == 'share' and (not is_partition or held < share) then
    one.holder, one.epoch = name, one.epoch + 1
    if is_partition then held = held + 1 end
  end
  if one.holder == name then mine[#mine + 1], mine[#mine + 2] = item, tostring(one.epoch) end
  if one.holder == '' and is_partition then free = free + 1 end
  if one.holder == name or one.holder ~= one.stored then
    redis.call('HSET', owners, item,
      string.format('{"holder":"%s","epoch":%.0f,"renewed_at":%s}', one.holder, one.epoch, now_ms))
  end
end
if wants == 'leave' then
  redis.call('HDEL', owners, 'worker:' .. name)
else
  redis.call('HSET', owners, 'worker:' .. name, string.format(
    '{"holder":"%s","tick":%.0f,"lifetime_ms":%s,"takes":%s,"renewed_at":%s}',
    name, tick, lifetime_ms, wants == 'share' and 'true' or 'false', now_ms))
end
-- Last: while the slot moves, Redis refuses a key without fields.
for _, worker in ipairs(dead) do redis.call('HDEL', owners, worker) end

-- `pcall`: calls go on although another program has this key.
if wants == 'share' then
  redis.pcall('ZADD', KEYS[2], now_ms, name)
  redis.pcall('ZREMRANGEBYSCORE', KEYS[2], '-inf', in_ms(-listed_ms))
  -- These are from before the clock was set back.
  redis.pcall('ZREMRANGEBYSCORE', KEYS[2], in_ms(listed_ms), '+inf')
else
  redis.pcall('ZREM', KEYS[2], name)
end

local others = {}
for other, one in pairs(workers) do
  if other ~= name then
    local last = #others
    others[last + 1], others[last + 2], others[last + 3] = other, tostring(one.tick), one.lifetime_ms
  end
end
return {now_ms, math.max(0, held - share), free, mine, others}
