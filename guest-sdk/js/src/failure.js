// What becomes of exceptions where no HTTP response can tell them.

import { refusalIn } from './errors.js'
import { logError, text } from './log.js'

/** Logs `error` and throws it on: the call ends in a trap, of which a client learns no more than that. */
export function uncaught(error) {
  logError('uncaught exception', error)
  throw error
}

/** The words of `error` for the host, which puts them into the app's log. */
export function failure(error) {
  const refusal = refusalIn(error)
  return refusal === undefined ? text(error) : `${refusal.code}: ${refusal.message}`
}
