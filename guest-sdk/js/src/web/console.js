import { send, text } from '../log.js'

function printer(level) {
  return (...values) => send(level, values.map(text).join(' '), [])
}

/** `console`, into the app's log. Format directives (`%s`) are not expanded. */
export const console = {
  trace: printer('trace'),
  debug: printer('debug'),
  log: printer('info'),
  info: printer('info'),
  warn: printer('warn'),
  error: printer('error'),
  dir: printer('info'),
  assert(condition, ...values) {
    if (!condition) console.error('assertion failed', ...values)
  },
}
