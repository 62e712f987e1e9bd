-- JSON text, as it is stored and published. Strings are encoded, whole numbers and booleans are written as they are,
-- and text that is JSON already is passed as `raw(text)`.
local function raw(text) return {json = text} end
local null = raw('null')

local function json(value)
  local kind = type(value)
  if kind == 'string' then return cjson.encode(value) end
  if kind == 'number' then return string.format('%.0f', value) end
  if kind == 'boolean' then return tostring(value) end
  return value.json
end

-- The members of an object, `name, value, name, value, ...`, without the braces. No value may be nil.
local function fields(...)
  local parts = {...}
  for i = 1, #parts, 2 do
    parts[i] = (i > 1 and ',"' or '"') .. parts[i] .. '":'
    parts[i + 1] = json(parts[i + 1])
  end
  return table.concat(parts)
end

local function object(...)
  return '{' .. fields(...) .. '}'
end

-- The object `text` with these members before its own.
local function with_fields(text, ...)
  return '{' .. fields(...) .. (text == '{}' and '}' or ',' .. string.sub(text, 2))
end
