--[[
  Appends a command to the command stream, unless too many wait there.

  KEYS[1]  stream of commands

  ARGV[1]  maximum of commands waiting to be routed   count
  ARGV[2 ..]  fields and values

  Returns  id of the entry; false at the maximum: then nothing is written
  Routed commands leave the stream, so its length is the number that wait. The stream is never trimmed.
  Why one script: two senders that read the length at the same time would both write.
]]
local stream, most = KEYS[1], tonumber(ARGV[1])
if redis.call('XLEN', stream) >= most then return false end
local fields = {}
for i = 2, #ARGV do fields[i - 1] = ARGV[i] end
return redis.call('XADD', stream, '*', unpack(fields))
