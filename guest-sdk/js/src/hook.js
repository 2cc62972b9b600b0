// Hooks of the app's users: the exports before-user-created-handler, custom-claims-handler and send-message-handler
// of version 0.2.0. Each has a module that stands for its export; what they share is here.

import { refusalIn } from './errors.js'
import { uncaught } from './failure.js'
import { settle } from './loop.js'
import { beginServing } from './phase.js'

/** Calls `handler` with `what()` and waits for what it returns; what it refuses is thrown as the host knows it. */
export function asked(handler, what) {
  beginServing()
  try {
    return settle(handler(what()))
  } catch (error) {
    throw refusalIn(error) ?? uncaught(error)
  }
}

/** `value` as the text of a JSON object. */
export function objectText(value, what) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return uncaught(new TypeError(`${what} has to be an object`))
  }
  return JSON.stringify(value)
}
