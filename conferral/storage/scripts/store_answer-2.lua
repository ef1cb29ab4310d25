--[[
  Appends the event of an agent's answer, and notes in it whether the agent has a desk.

  KEYS[1]  stream of a partition's events
  KEYS[2]  agents hash, all values JSON

  ARGV[1]  identity                               text
  ARGV[2]  how long a renewal counts              ms
  ARGV[3]  the event of an agent with a desk      JSON
  ARGV[4]  the event of an agent without a desk   JSON
  ARGV[5 ..]  names and values of the entry's other fields

  Returns  the entry's id
  Why one script: an answer would cost a read before it is stored.
]]
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- A damaged record must not cost the event.
local stored = redis.pcall('HGET', KEYS[2], ARGV[1])
local is_json, agent = pcall(cjson.decode, stored)
local renewed_ms = is_json and type(agent) == 'table' and tonumber(agent.renewed_ms)
-- A time in the future was left when the clock was set back.
local has_desk = renewed_ms and math.abs(now_ms - renewed_ms) < tonumber(ARGV[2])
local fields = {'event', has_desk and ARGV[3] or ARGV[4]}
for at = 5, #ARGV do fields[#fields + 1] = ARGV[at] end
return redis.call('XADD', KEYS[1], '*', unpack(fields))
