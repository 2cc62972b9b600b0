// Rows as JSON text.

// Numbers that do not come back as they were when JavaScript has read them.
const INEXACT = /\d{16}|\.\d*0[\s,}\]]|\d[eE]/
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s"{}[\]:,]+/g

/**
 * The JSON of the row `before` with those fields of `row` that differ from what JavaScript reads out of `before`:
 * a column that `row` does not have, or that was only read, stays as it was, with all the digits of its number.
 */
export function replaced(before, row) {
  const read = JSON.parse(before)
  const changed = Object.entries(row).filter(
    ([name, value]) => value !== undefined && JSON.stringify(value) !== JSON.stringify(read[name]),
  )
  if (!INEXACT.test(before)) return JSON.stringify(Object.assign(read, Object.fromEntries(changed)))
  const fields = fieldsOf(before)
  for (const [name, value] of changed) fields.set(name, JSON.stringify(value))
  return `{${Array.from(fields, ([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}`
}

/** From the name of each field of the object `text` to the text of its value. */
function fieldsOf(text) {
  const fields = new Map()
  let depth = 0
  let name
  let value = ''
  for (const token of text.match(TOKEN)) {
    const opens = token === '{' || token === '['
    const closes = token === '}' || token === ']'
    if (closes) depth--
    if (depth > 1 || (depth === 1 && token !== ',' && token !== ':')) value += token
    else if (token === ':') [name, value] = [JSON.parse(value), '']
    else if (name !== undefined) {
      fields.set(name, value)
      ;[name, value] = [undefined, '']
    }
    if (opens) depth++
  }
  return fields
}
