// Scripts: the export script-handler.

import { failure } from './failure.js'
import { settle } from './loop.js'
import { beginServing } from './phase.js'

/**
 * Makes a script of `handler(job)`, run as a job: `job` is `{ id, attempt, scheduledFor, payload }`. What it throws
 * counts as a failed attempt.
 */
export function defineScript(handler) {
  if (typeof handler !== 'function') throw new TypeError('defineScript needs a function')
  return { scriptHandler: { run: (job) => run(handler, job) } }
}

function run(handler, { id, attempt, scheduledFor, payload }) {
  beginServing()
  try {
    settle(handler({ id, attempt, scheduledFor: new Date(scheduledFor), payload: JSON.parse(payload) }))
  } catch (error) {
    throw failure(error)
  }
}
