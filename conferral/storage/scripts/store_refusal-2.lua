--[[
  Appends the event of a browser that rejected a ring; if its desk said that the agent was busy, that of a busy line.

  KEYS[1]  stream of a partition's events
  KEYS[2]  what the desk said of the ring

  ARGV[1]  the event of an agent who was busy    JSON
  ARGV[2]  the event of an agent who rejected    JSON
  ARGV[3 ..]  names and values of the entry's other fields

  Returns  the entry's id
  Why one script: a rejection would cost a read before it is stored.
]]
local fields = {'event', redis.call('EXISTS', KEYS[2]) == 1 and ARGV[1] or ARGV[2]}
for at = 3, #ARGV do fields[#fields + 1] = ARGV[at] end
return redis.call('XADD', KEYS[1], '*', unpack(fields))
