/** Copies JSON-like values, `Date`, `RegExp`, `Map`, `Set`, errors, buffers and views, cycles included. */
export function structuredClone(value) {
  return copy(value, new Map())
}

function copy(value, seen) {
  if (typeof value === 'function' || typeof value === 'symbol') {
    throw new DOMException(`a ${typeof value} cannot be cloned`, 'DataCloneError')
  }
  if (value === null || typeof value !== 'object') return value
  if (seen.has(value)) return seen.get(value)
  const keep = (clone) => {
    seen.set(value, clone)
    return clone
  }
  if (Array.isArray(value)) {
    const clone = keep(new Array(value.length))
    for (const key of Object.keys(value)) clone[key] = copy(value[key], seen)
    return clone
  }
  if (value instanceof Date) return keep(new Date(value.getTime()))
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags))
  if (value instanceof ArrayBuffer) return keep(value.slice(0))
  if (value instanceof DataView) return keep(new DataView(copy(value.buffer, seen), value.byteOffset, value.byteLength))
  if (ArrayBuffer.isView(value)) {
    return keep(new value.constructor(copy(value.buffer, seen), value.byteOffset, value.length))
  }
  if (value instanceof Map) {
    const clone = keep(new Map())
    for (const [key, item] of value) clone.set(copy(key, seen), copy(item, seen))
    return clone
  }
  if (value instanceof Set) {
    const clone = keep(new Set())
    for (const item of value) clone.add(copy(item, seen))
    return clone
  }
  if (value instanceof Error) {
    const clone = keep(new (globalThis[value.name] ?? Error)(value.message))
    clone.stack = value.stack
    if ('cause' in value) clone.cause = copy(value.cause, seen)
    return clone
  }
  const clone = keep({})
  for (const key of Object.keys(value)) clone[key] = copy(value[key], seen)
  return clone
}
