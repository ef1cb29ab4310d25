--[[
  Gives a worker its share of the requests that all workers together may have in flight at Twilio.

  KEYS[1]  hash: for each worker, by its name, `ORDINARY ENDINGS UNTIL`: what it holds of each pool, and when that
           expires, ms

  ARGV[1]  name of the worker that asks
  ARGV[2]  size of the pool for ordinary effects      count
  ARGV[3]  size of the pool for endings               count
  ARGV[4]  ordinary requests that it still holds      count: what it may have in flight, and what it has
  ARGV[5]  the same for endings                       count
  ARGV[6]  lifetime of what it holds                  ms
  ARGV[7]  duration of a turn                         ms
  ARGV[8…] names of workers that are known to have died

  Returns  {ordinary, endings, fair_ordinary, fair_endings, workers}
           what it may have in flight now; its fair share of each pool; how many workers share them
  A worker gets only what no other one holds, so that together they never exceed a pool. If its fair share is less than
  what it holds, it returns the rest by asking again with less. If workers outnumber a pool, they take turns.
  Why one script: two workers that ask at the same time would both get what is free.
]]
local shares, name = KEYS[1], ARGV[1]
local pools = {tonumber(ARGV[2]), tonumber(ARGV[3])}
local holds = {tonumber(ARGV[4]), tonumber(ARGV[5])}
local lifetime, turn_ms = tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local dead = {}
for i = 8, #ARGV do dead[ARGV[i]] = true end
local place, count, others, gone = 0, 1, {0, 0}, {''}
local fields = redis.call('HGETALL', shares)
for i = 1, #fields, 2 do
  local other = fields[i]
  local ordinary, endings, till = string.match(fields[i + 1], '^(%d+) (%d+) (%d+)$')
  till = tonumber(till)
  if other == name then
    -- its own holdings are in the arguments
  elseif dead[other] or not till or till < now or till > now + 2 * lifetime then
    gone[#gone + 1] = other
  else
    count = count + 1
    if other < name then place = place + 1 end
    others[1], others[2] = others[1] + tonumber(ordinary), others[2] + tonumber(endings)
  end
end

local given, fair = {}, {}
for pool = 1, 2 do
  local base, rest = math.floor(pools[pool] / count), pools[pool] % count
  local rank = place
  if base == 0 then rank = (place + rest * math.floor(now / turn_ms)) % count end
  fair[pool] = base + (rank < rest and 1 or 0)
  given[pool] = math.max(0, math.min(math.max(fair[pool], holds[pool]), pools[pool] - others[pool]))
end

-- A full Redis accepts a script whose first write needs no memory.
for i = 1, #gone do redis.call('HDEL', shares, gone[i]) end
local held = {math.max(given[1], holds[1]), math.max(given[2], holds[2])}
redis.call('HSET', shares, name, string.format('%d %d %.0f', held[1], held[2], now + lifetime))
redis.call('PEXPIRE', shares, 2 * lifetime)
return {given[1], given[2], fair[1], fair[2], count}
