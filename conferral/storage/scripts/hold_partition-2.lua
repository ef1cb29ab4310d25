--[[
  Makes a worker the owner that a partition's commits compare, or confirms that it is. It also notices that Redis lacks
  what an owner has seen there, and notes that until each live session reads Twilio.

  KEYS[1]  lease hash: holder; commit and marks (how many of each, counts); released (1 if the owner released
           it); server (its run id); lost (1 if Redis lacks something, until each live session reads Twilio); oldest
           and tries (an entry's id, and how many successors of dead owners began with it, count)
  KEYS[2]  event stream of the partition

  ARGV[1]  holder                              text, EPOCH:NAME
  ARGV[2]  last commit that the owner knows    count; empty: it claims the partition
  ARGV[3]  last mark that the owner knows      count
  ARGV[4]  whether it releases the lease       1 or 0
  ARGV[5]  of an owner that claimed it after a loss: whether each live session's read is in the outbox   1 or 0; else empty
  ARGV[6]  whether it begins with what waited when the last owner died   1 or 0

  Returns  {1, commit, marks, now_ms, last_holder, undecided entries, lost, newest entry, tries}   held;
           last_holder: empty if it released the lease, or there was none
           {2}         there are fewer commits or marks than this owner knows, or than a later one knew: it claims the
                       partition again
           {0, epoch}  refused: another owner, with this epoch, which is not lower
  A log and a replica lose only an end, so an owner who finds its last commit and mark has lost neither. One who claims
  the partition from a worker that died knows neither; for it, another server may lack something.
]]
local lease, events = KEYS[1], KEYS[2]
local holder, known, known_marks = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local is_release, reads, is_try = ARGV[4] == '1', ARGV[5], ARGV[6] == '1'
local stored = redis.call('HMGET', lease, 'holder', 'commit', 'marks', 'released', 'server', 'lost', 'oldest', 'tries')
local commit, marks = tonumber(stored[2] or '0'), tonumber(stored[3] or '0')
local last_holder, before = stored[4] and '' or stored[1] or '', stored[5] or ''
local is_new = stored[1] ~= holder
local epoch = string.match(stored[1] or '', '^(%d+):') or '0'
if is_new and tonumber(epoch) >= tonumber(string.match(holder, '^(%d+):')) then return {0, epoch} end

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local info = redis.pcall('INFO', 'server')
local server = string.match(type(info) == 'string' and info or '', 'run_id:(%w+)') or before
-- An owner with a lower epoch: the key is older than what this one has written.
local lacks_own = known and (is_new or commit < known or marks < known_marks)
-- A later owner, whose claim is lost, has noted it.
local lacks = lacks_own or (known and stored[6] and reads == '')
local is_lost = (stored[6] and reads ~= '1') or lacks or (not known and last_holder ~= '' and before ~= '' and before ~= server)

local waiting = redis.pcall('XLEN', events)
waiting = type(waiting) == 'number' and waiting or 0

if not known or is_release or lacks or before ~= server or reads == '1' or is_try then
  -- A full Redis accepts a script whose first write needs no memory.
  redis.call('HDEL', lease, '')
  if is_lost then redis.call('HSET', lease, 'lost', '1') else redis.call('HDEL', lease, 'lost') end
  if lacks then return {2} end
  redis.call('HSET', lease, 'holder', holder, 'commit', string.format('%.0f', commit), 'marks',
    string.format('%.0f', marks), 'server', server)
  redis.call('HDEL', lease, 'released')  -- not before: while the slot moves, Redis refuses a key without fields
  if is_release then redis.call('HSET', lease, 'released', '1') end
end
local tries = 0
if is_try then
  local first = redis.pcall('XRANGE', events, '-', '+', 'COUNT', 1)[1]
  local oldest = first and first[1] or ''
  tries = stored[7] == oldest and tonumber(stored[8]) + 1 or 1
  redis.call('HSET', lease, 'oldest', oldest, 'tries', tries)
end
local newest_id = '0-0'
if not known then
  local about = redis.pcall('XINFO', 'STREAM', events)
  for at = 1, #about, 2 do
    if about[at] == 'last-generated-id' then newest_id = about[at + 1] end
  end
end
return {1, string.format('%.0f', commit), string.format('%.0f', marks), string.format('%.0f', now_ms), last_holder,
  waiting, is_lost and 1 or 0, newest_id, tries}
