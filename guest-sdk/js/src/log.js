// The app's log, and the text of a value in it.

import { write } from 'pumice:platform/log'
import { isServing } from './phase.js'
import { originalPositions } from './positions.js'

const DEPTH_MAX = 4
const ITEMS_MAX = 100

function line(level) {
  return (message, fields = {}) => send(level, text(message), Object.entries(fields).map(([k, v]) => [k, text(v)]))
}

/** One line each, at a level, with fields. */
export const log = {
  trace: line('trace'),
  debug: line('debug'),
  info: line('info'),
  warn: line('warn'),
  error: line('error'),
}

/** Writes `error` with its stack at level error. */
export function logError(title, error) {
  send('error', `${title}: ${text(error)}`, [])
}

/** While the component is built there is no log: such lines are dropped. */
export function send(level, message, fields) {
  if (isServing()) write(level, message, fields)
}

/** Strings as they are, everything else as one would write it in code. */
export function text(value) {
  return typeof value === 'string' ? value : inspect(value, 0, [])
}

function inspect(value, depth, above) {
  switch (typeof value) {
    case 'string':
      return depth === 0 ? value : JSON.stringify(value)
    case 'bigint':
      return `${value}n`
    case 'symbol':
      return value.toString()
    case 'function':
      return `[function ${value.name || 'anonymous'}]`
    case 'object':
      return value === null ? 'null' : inspectObject(value, depth, above)
    default:
      return String(value)
  }
}

function inspectObject(value, depth, above) {
  if (value instanceof Error) return inspectError(value, depth, above)
  if (above.includes(value)) return '[circular]'
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  if (value instanceof RegExp) return String(value)
  const name = value.constructor?.name ?? ''
  if (depth >= DEPTH_MAX) return Array.isArray(value) ? '[…]' : `${name} {…}`
  const inner = [...above, value]
  const show = (item) => inspect(item, depth + 1, inner)
  if (Array.isArray(value)) return `[${list(value, show)}]`
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return `${name}(${value.length}) [${list(value, String)}]`
  if (value instanceof Map) return `Map {${list(value, ([k, v]) => `${show(k)} => ${show(v)}`)}}`
  if (value instanceof Set) return `Set {${list(value, show)}}`
  if (typeof value.toJSON === 'function') return `${name} ${JSON.stringify(value)}`
  const fields = list(Object.entries(value), ([key, item]) => `${key}: ${show(item)}`)
  return `${name === 'Object' || name === '' ? '' : `${name} `}{${fields && ` ${fields} `}}`
}

function inspectError(error, depth, above) {
  // What a call of the host throws has the WIT error as its payload and no message of use.
  const message = typeof error.payload === 'object' ? inspect(error.payload, 1, []) : error.message
  const head = `${error.name}: ${message}`
  const frames = originalPositions(error.stack ?? '').trimEnd()
  const stack = frames === '' ? '' : `\n${frames}`
  const cause =
    error.cause === undefined || above.includes(error.cause)
      ? ''
      : `\ncaused by ${inspect(error.cause, depth + 1, [...above, error])}`
  return head + stack + cause
}

function list(items, show) {
  const shown = []
  for (const item of items) {
    if (shown.length === ITEMS_MAX) {
      shown.push('…')
      break
    }
    shown.push(show(item))
  }
  return shown.join(', ')
}
