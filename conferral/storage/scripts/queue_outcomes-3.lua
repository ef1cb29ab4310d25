--[[
  Queues outcomes to be sent, behind the unsent ones of their sessions.

  KEYS[1]  outcomes to send, by session: how often the first has failed, and the ids of all, as words
  KEYS[2]  sessions, by when their first outcome is due, ms
  KEYS[3]  state of the sending: `position`, up to which entries of the stream were queued

  ARGV[1]     current position   id; the last of these entries becomes the next. Empty to send entries again
  ARGV[2]     due                ms, by the clock of the worker that sends them: Redis's own may be ahead of it
  ARGV[3 ..]  session and entry  words, in pairs: session id, entry id

  Returns  1  queued
           0  another worker has moved the position
  Why a script: a worker that was replaced must neither queue an entry twice nor undo what its successor did.
]]
local is_repetition, due_ms = ARGV[1] == '', ARGV[2]
if not is_repetition and redis.call('HGET', KEYS[3], 'position') ~= ARGV[1] then return 0 end
for i = 3, #ARGV, 2 do
  local session, id = ARGV[i], ARGV[i + 1]
  local queued = redis.call('HGET', KEYS[1], session)
  if queued and is_repetition then queued = string.gsub(queued, '^%d+', '0') end
  if not queued then
    queued = '0 ' .. id
  elseif not string.find(queued .. ' ', ' ' .. id .. ' ', 1, true) then
    queued = queued .. ' ' .. id
  end
  if is_repetition or not redis.call('ZSCORE', KEYS[2], session) then redis.call('ZADD', KEYS[2], due_ms, session) end
  redis.call('HSET', KEYS[1], session, queued)
end
if not is_repetition then redis.call('HSET', KEYS[3], 'position', ARGV[#ARGV]) end
return 1
