-- What wrk sends to a table:
--   wrk -s rows.lua URL -- <insert|get> <path> <rows> [<header> <value>]…
-- `insert` posts a new row each time. `get` asks for the path, in which a directive of string.format such
-- as %d stands for a number from 1 to <rows>, another one each time.

local kind, path, rows

function init(args)
  kind, path, rows = args[1], args[2], tonumber(args[3])
  for index = 4, #args, 2 do
    wrk.headers[args[index]] = args[index + 1]
  end
  math.randomseed(os.time())
end

function request()
  local number = math.random(1, rows)
  if kind == "get" then
    return wrk.format("GET", string.format(path, number))
  end
  local body = string.format('{"title":"Item %d","quantity":%d,"done":%s}', number, number % 1000, tostring(number % 2 == 0))
  return wrk.format("POST", path, nil, body)
end
