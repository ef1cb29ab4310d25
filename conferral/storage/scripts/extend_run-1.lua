--[[
  Notes that something that is said again and again was said now, and since when there was no pause.

  KEYS[1]  hash: for each run `NAME_since_ms`, and `NAME_ms` for the last time

  ARGV[1]  name of the run                       text
  ARGV[2]  after how long the run is broken      ms
  ARGV[3]  how long the hash is kept             ms

  Returns  since when there was no pause, ms
  Why a script: of two processes that say it first after a pause, both would begin a run.
]]
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local since, last = ARGV[1] .. '_since_ms', ARGV[1] .. '_ms'
-- Another program's key, of another type, is replaced.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local found = redis.call('HMGET', KEYS[1], since, last)
local since_ms, last_ms = tonumber(found[1]), tonumber(found[2])
-- A time in the future was left when the clock was set back.
local goes_on = since_ms and last_ms and now_ms >= last_ms and now_ms - last_ms < tonumber(ARGV[2])
if not goes_on then since_ms = now_ms end
-- A full Redis accepts a script whose first write needs no memory.
redis.call('HDEL', KEYS[1], '')
redis.call('HSET', KEYS[1], since, since_ms, last, now_ms)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return since_ms
