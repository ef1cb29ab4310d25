--[[
  Adds a sign-in or a code of a link; a sign-in may use up a code.

  KEYS[1]  hash of sign-ins and codes, by digest, all values JSON: `identity`, `token`, `until_ms`; of a code, also
           `for_ms`, how long a sign-in with it lasts, and `is_reusable`

  ARGV[1]  digest of the new one               text
  ARGV[2]  the new one, without its end        JSON
  ARGV[3]  how long it lasts                   ms; with a code, the code says it
  ARGV[4]  how many one agent may have         count
  ARGV[5]  digest of the code; or empty        text
  ARGV[6]  digest of the browser's former one; or empty   text
  ARGV[7]  the longest sign-in                 ms; no record of ours ends later

  Returns  the new one, JSON; nothing if the code is wrong, another agent's, or too old
  Why one script: of two browsers with one code, only one may sign in.
]]
local key, digest, code = KEYS[1], ARGV[1], ARGV[5]
-- Anyone may guess: a wrong code costs no more than this.
if code ~= '' and redis.call('HEXISTS', key, code) == 0 then return false end
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local new = cjson.decode(ARGV[2])
local lasts_ms = tonumber(ARGV[3])

local over, used, mine, latest_ms = {}, nil, {}, 0
local all = redis.call('HGETALL', key)
for at = 1, #all, 2 do
  local is_json, one = pcall(cjson.decode, all[at + 1])
  local until_ms = is_json and type(one) == 'table' and type(one.until_ms) == 'number' and one.until_ms or 0
  if not (until_ms > now_ms and until_ms <= now_ms + tonumber(ARGV[7])) then
    over[#over + 1] = all[at]
  else
    latest_ms = math.max(latest_ms, one.until_ms)
    if one.identity == new.identity then
      if all[at] == code and type(one.for_ms) == 'number' and one.for_ms > 0
        and one.for_ms <= tonumber(ARGV[7]) then
        used = one
      else
        if all[at] == ARGV[6] then new.first = type(one.first) == 'string' and one.first or all[at] end
        mine[#mine + 1] = {digest = all[at], until_ms = one.until_ms}
      end
    end
  end
end
if code ~= '' then
  if not used then return false end
  new.token, lasts_ms = used.token, used.for_ms
  if not used.is_reusable then over[#over + 1] = code end
end

table.sort(mine, function(one, other) return one.until_ms < other.until_ms end)
for at = 1, #mine - tonumber(ARGV[4]) + 1 do over[#over + 1] = mine[at].digest end
new.until_ms = now_ms + lasts_ms
local stored = cjson.encode(new)
redis.call('HSET', key, digest, stored)
redis.call('PEXPIRE', key, string.format('%.0f', math.max(latest_ms, new.until_ms) - now_ms))
for at = 1, #over do redis.call('HDEL', key, over[at]) end
return stored
