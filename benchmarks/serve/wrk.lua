-- Sends the requests that lie in a folder, one after the other, and prints what it measured as one line of JSON.
local requests, at = {}, 0

function init(arguments)
  for number = 1, tonumber(arguments[2]) do
    local file = assert(io.open(arguments[1] .. "/" .. number, "rb"))
    requests[number] = file:read("*a")
    file:close()
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '\nmeasured {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "failed": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status, failed))
end
