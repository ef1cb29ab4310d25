--[[
  Removes the first outcome of a session from the queue, or delays it.

  KEYS[1]  outcomes to send, by session: how often the first has failed, and the ids of all, as words
  KEYS[2]  sessions, by when their first outcome is due, ms

  ARGV[1]  session         id
  ARGV[2]  first outcome   entry id; empty if the queue couldn't be read
  ARGV[3]  failures so far count; 0 removes it, because it was delivered or given up
  ARGV[4]  due             ms, in the workers' time: it, or the session's next one

  Returns  1  settled
           0  another entry is first: this one was settled before; a queue that can't be read is removed
  Why a script: a worker that was replaced, or whose two reads (of what is due, and of the queues) have another worker's
  write between them, must not settle what that one has queued.
]]
local queued = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local failures, ms, number, rest = string.match(queued, '^(%d+) (%d+)%-(%d+)(.*)$')
-- As in `outcome_queue.py`: what that can't read must not stay forever.
local is_readable = failures and #failures <= 9 and #ms <= 19 and #number <= 19 and string.find(rest .. ' ', '^ ')
local first = is_readable and ms .. '-' .. number
if first and first ~= ARGV[2] then return 0 end
if first and ARGV[3] ~= '0' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ' ' .. first .. rest)
elseif first and rest ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], '0' .. rest)
else
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  return first and 1 or 0
end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
return 1
