-- Pace::take of gcra.rs for each key, up to the first that refuses. Times are microseconds.
-- ARGV: units to take; the time, or nothing for Redis' own; then each key's interval and burst.
-- Answers four numbers for each key it looked at: allowed, remaining, reset, retry after.
local cost = tonumber(ARGV[1])
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local answer = {}
for place, key in ipairs(KEYS) do
  local interval = tonumber(ARGV[2 * place + 1])
  local burst = tonumber(ARGV[2 * place + 2])
  local full = now + interval * burst
  local kept = tonumber(redis.call('GET', key) or '0') or 0
  local arrival = math.min(math.max(kept, now), full)
  local due = arrival + interval * cost
  local allowed, retry = 0, 0
  if due <= full then
    allowed, arrival = 1, due
  elseif cost > burst then
    retry = interval * burst
  else
    retry = due - full
  end
  if arrival ~= kept and arrival > now then
    -- A minute longer than it counts: a clock set back by less forgets nothing.
    local life = math.ceil((arrival - now) / 1000) + 60000
    redis.call('SET', key, string.format('%.0f', arrival), 'PX', string.format('%.0f', life))
  end
  answer[#answer + 1] = allowed
  answer[#answer + 1] = math.floor((full - arrival) / interval)
  answer[#answer + 1] = arrival - now
  answer[#answer + 1] = retry
  if allowed == 0 then
    break
  end
end
return answer
