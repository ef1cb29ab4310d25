--[[
  Makes reservations within limits of what may happen in a time, for all of them or for none (rate limit).

  KEYS[1 ..]  a sorted set for each limit: what was reserved or, later, used, by when, ms; a used one ends with `!`

  ARGV[1]     whether they are used now     1 or 0
  ARGV[2 ..]  for each limit: the most of it, 0 for no limit, and its window in ms
  then        the reservations

  Returns  0       reserved, now or before
           NUMBER  not reserved: this limit has no room for all
  Why one script: calls and dials that several processes check at the same moment would all find the same room.
]]
local time, is_used = redis.call('TIME'), ARGV[1] == '1'
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local first = 2 + 2 * #KEYS
-- One with a time in the future was left when the clock was set back.
local function is_counted(key, window, reservation)
  local at = redis.call('ZSCORE', key, reservation)
  return at and math.abs(now - tonumber(at)) < window
end
for number, key in ipairs(KEYS) do
  local most, window = tonumber(ARGV[2 * number]), tonumber(ARGV[2 * number + 1])
  local missing = 0
  for i = first, most > 0 and #ARGV or 0 do
    local is_reserved = is_counted(key, window, ARGV[i]) or is_counted(key, window, ARGV[i] .. '!')
    if not is_reserved then missing = missing + 1 end
  end
  local from, till = string.format('(%.0f', now - window), string.format('(%.0f', now + window)
  if missing > 0 and redis.call('ZCOUNT', key, from, till) + missing > most then return number end
end
for number, key in ipairs(KEYS) do
  local is_limited, window = tonumber(ARGV[2 * number]) > 0, tonumber(ARGV[2 * number + 1])
  -- A full Redis accepts a script whose first write needs no memory. The removals come last: while the slot moves, Redis
  -- refuses a key that the script has emptied.
  if is_limited then redis.call('ZREM', key, '') end
  for i = first, is_limited and #ARGV or 0 do
    local reservation = ARGV[i]
    if not is_counted(key, window, reservation .. '!') then
      redis.call('ZADD', key, string.format('%.0f', now), is_used and reservation .. '!' or reservation)
      redis.call('PEXPIRE', key, window)
      if is_used then redis.call('ZREM', key, reservation) end
    end
  end
  if is_limited then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - window))
    redis.call('ZREMRANGEBYSCORE', key, string.format('%.0f', now + window), '+inf')
  end
end
return 0
