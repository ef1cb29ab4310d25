--[[
  Makes reservations for dials within two limits, for all of them or for none (rate limit).

  KEYS[1]  sorted set: the installation's dials of the last minute, by when they were reserved or, later, sent, ms
  KEYS[2]  sorted set: the same of a session's call, of the last day; the reservation of a sent dial ends with `!`

  ARGV[1]  most in KEYS[1]              0 for no limit
  ARGV[2]  most in KEYS[2]              0 for no limit
  ARGV[3]  whether they are sent now    1 or 0
  ARGV[4 ..]  the reservations

  Returns  0  reserved, now or before
           1  not reserved: KEYS[1] has no room for all
           2  not reserved: KEYS[2] has no room for all
  Why one script: commands and dials of several workers would all find the same room.
]]
local time, is_sent = redis.call('TIME'), ARGV[3] == '1'
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local limits = {
  {key = KEYS[1], most = tonumber(ARGV[1]), lifetime = 60000},
  {key = KEYS[2], most = tonumber(ARGV[2]), lifetime = 86400000},
}
for number, limit in ipairs(limits) do
  local missing = 0
  if limit.most > 0 then
    -- Also remove future entries, left when the clock was set back.
    redis.call('ZREMRANGEBYSCORE', limit.key, '-inf', string.format('%.0f', now - limit.lifetime))
    redis.call('ZREMRANGEBYSCORE', limit.key, string.format('%.0f', now + limit.lifetime), '+inf')
    for i = 4, #ARGV do
      local is_reserved = redis.call('ZSCORE', limit.key, ARGV[i]) or redis.call('ZSCORE', limit.key, ARGV[i] .. '!')
      if not is_reserved then missing = missing + 1 end
    end
  end
  if missing > 0 and redis.call('ZCARD', limit.key) + missing > limit.most then return number end
end
for _, limit in ipairs(limits) do
  for i = 4, limit.most > 0 and #ARGV or 0 do
    local reservation = ARGV[i]
    if not redis.call('ZSCORE', limit.key, reservation .. '!') then
      redis.call('ZREM', limit.key, reservation)
      redis.call('ZADD', limit.key, string.format('%.0f', now), is_sent and reservation .. '!' or reservation)
      redis.call('PEXPIRE', limit.key, limit.lifetime)
    end
  end
end
return 0
