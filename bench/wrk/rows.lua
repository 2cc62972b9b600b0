-- What wrk sends to a table:
--   wrk -s rows.lua URL -- <kind> <path> <rows> [<header> <value>]…
-- In the path a directive of string.format such as %d stands for a number from 1 to <rows>, another one
-- each time. Kinds:
--   get        asks for the path
--   insert     posts a new row
--   patch, put sets a number in the row of the path
--   bulk       posts 500 rows as an array
--   batch:<url> posts 500 requests in one, each a row to <url> (PocketBase's and Parse's form)

local kind, path, rows, many

local function row(number)
  return string.format('{"title":"Item %d","quantity":%d,"done":%s}', number, number % 1000, tostring(number % 2 == 0))
end

function init(args)
  kind, path, rows = args[1], args[2], tonumber(args[3])
  for index = 4, #args, 2 do
    wrk.headers[args[index]] = args[index + 1]
  end
  math.randomseed(os.time())
  local url = string.match(kind, "^batch:(.*)$")
  if kind == "bulk" or url then
    local parts = {}
    for number = 1, 500 do
      parts[number] = row(number)
      if url then
        parts[number] = string.format('{"method":"POST","url":"%s","path":"%s","body":%s}', url, url, parts[number])
      end
    end
    many = table.concat(parts, ",")
    many = url and '{"requests":[' .. many .. ']}' or "[" .. many .. "]"
  end
end

function request()
  local number = math.random(1, rows)
  if kind == "get" then
    return wrk.format("GET", string.format(path, number))
  elseif kind == "patch" or kind == "put" then
    local body = string.format('{"quantity":%d}', math.random(1, 1000))
    return wrk.format(string.upper(kind), string.format(path, number), nil, body)
  end
  return wrk.format("POST", path, nil, many or row(number))
end
