--[[
  Makes a worker the owner that a partition's commits compare, or confirms that it is. It also notices that Redis lacks
  what an owner has already seen there, or may lack it, and notes that for all owners to come: there are fewer commits,
  or it is another server. Only a restart of the server may have lost nothing, and the owner can tell.

  KEYS[1]  lease hash: holder, commit; released (1 if the owner gave the partition back), server (run id, as the owner
           knows it), verify_until (ms: until then, Redis may lack what was sent before), newest_id (of the event that
           was the newest one when that was noticed)
  KEYS[2]  event stream of the partition

  ARGV[1]  holder                              text, EPOCH:NAME
  ARGV[2]  last commit that the owner knows    count; empty: it claims the partition
  ARGV[3]  how long to verify after a rollback ms
  ARGV[4]  whether it gives the partition back 1 or 0
  ARGV[5]  since when the owner has not seen the server that the key names   ms; empty: it takes a restart for a loss
  ARGV[6]  server that has everything that the owner knows of                 run id; empty before the answer 3

  Returns  {1, commit, now_ms, verify_until, last_holder, undecided entries, newest_id}   held; last_holder: empty if it
           gave the partition back, or there was none
           {2}          rolled back
           {3, server}  restarted, with all commits of this owner: it compares the rest, and asks again
           {0, epoch}   refused: another owner, with this epoch, which is not lower
  What a restart proves: the former process has ended, so no other worker goes on there. A server that ran before the
  owner last saw the former one is a replica: behind it, the former one may still serve another worker.
]]
local lease, events = KEYS[1], KEYS[2]
local holder, known, verify_ms, is_release = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local unseen_ms, compared = tonumber(ARGV[5]), ARGV[6]
local stored = redis.call('HMGET', lease, 'holder', 'commit', 'released', 'server', 'verify_until', 'newest_id')
local commit, verify_until = tonumber(stored[2] or '0'), tonumber(stored[5] or '0')
local newest_id = stored[6] or '0-0'
local is_new = stored[1] ~= holder
local epoch = string.match(stored[1] or '', '^(%d+):') or '0'
if is_new and tonumber(epoch) >= tonumber(string.match(holder, '^(%d+):')) then return {0, epoch} end

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local info = redis.pcall('INFO', 'server')
info = type(info) == 'string' and info or ''
local server, up_s = string.match(info, 'run_id:(%w+)') or '', tonumber(string.match(info, 'uptime_in_seconds:(%d+)'))
local before = stored[4] or ''
-- An owner with a lower epoch: the key is older than what this one has written.
local has_lost = known and (is_new or commit < known)
local is_other = before ~= '' and server ~= '' and before ~= server
-- Redis counts whole seconds, up to one too many.
local is_restart = known and is_other and not has_lost and unseen_ms and up_s and 1000 * (up_s - 1) <= unseen_ms
if is_restart and compared ~= server then return {3, server} end
local is_rolled_back = has_lost or (is_other and not is_restart)

if not known or is_release or is_other or has_lost then
  -- A full Redis accepts a script whose first write needs no memory.
  redis.call('HDEL', lease, '')
  if is_rolled_back then
    verify_until = now_ms + verify_ms
    local about = redis.pcall('XINFO', 'STREAM', events)
    for at = 1, #about, 2 do
      if about[at] == 'last-generated-id' then newest_id = about[at + 1] end
    end
  end
  -- Someone may have set the clock back since.
  verify_until = math.min(verify_until, now_ms + verify_ms)
  redis.call('HSET', lease, 'verify_until', string.format('%.0f', verify_until), 'newest_id', newest_id)
  redis.call('HDEL', lease, 'released')  -- not before: while the slot moves, Redis refuses a key without fields
  if known and is_rolled_back then return {2} end
  redis.call('HSET', lease, 'holder', holder, 'commit', string.format('%.0f', commit),
    'server', server ~= '' and server or before)
  if is_release then redis.call('HSET', lease, 'released', '1') end
end
local waiting = redis.pcall('XLEN', events)
return {1, string.format('%.0f', commit), string.format('%.0f', now_ms), string.format('%.0f', verify_until),
  stored[3] and '' or stored[1] or '', type(waiting) == 'number' and waiting or 0, newest_id}
