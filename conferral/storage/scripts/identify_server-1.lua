--[[
  Identifies the server that has a key, and reads its clock. Writes nothing.

  KEYS[1]  any key of the installation

  Returns  {run_id, uptime_s, now_ms}   run_id is "" if INFO is forbidden
  Why a script: INFO and TIME name no key, so that behind a proxy, any server may answer them.
]]
redis.call('EXISTS', KEYS[1])
local time, info = redis.call('TIME'), redis.pcall('INFO', 'server')
info = type(info) == 'string' and info or ''
return {string.match(info, 'run_id:(%w+)') or '', string.match(info, 'uptime_in_seconds:(%d+)') or '0',
  string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))}
