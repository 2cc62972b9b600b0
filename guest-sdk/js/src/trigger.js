// Triggers: the exports before-trigger-handler and after-trigger-handler.

import { callerFrom } from './caller.js'
import { refusalIn } from './errors.js'
import { failure, uncaught } from './failure.js'
import { settle } from './loop.js'
import { beginServing } from './phase.js'
import { replaced } from './rows.js'

const SKIP = Symbol('skip')
const KEEP = { tag: 'keep' }

/** Returned by a before-trigger, it leaves the row out; the others go on. */
export function skip() {
  return SKIP
}

/**
 * Makes a trigger of `handler({ row, old, operation, table, caller })`, which is called for each row. Before the
 * change it returns nothing, which keeps the row, another row, or `skip()`; or it refuses with `reject`. After the
 * change what it returns says nothing, and what it throws is a wish to be called again later.
 */
export function defineTrigger(handler) {
  if (typeof handler !== 'function') throw new TypeError('defineTrigger needs a function')
  return {
    beforeTriggerHandler: { check: (batch) => check(handler, batch) },
    afterTriggerHandler: { react: (batch) => react(handler, batch) },
  }
}

function check(handler, batch) {
  beginServing()
  const call = calling(handler, batch)
  const verdicts = []
  for (const change of batch.changes) {
    try {
      verdicts.push(verdictOf(call(change), change))
    } catch (error) {
      const rejection = refusalIn(error) ?? uncaught(error)
      // One refuses them all: nobody asks for the rest.
      verdicts.push({ tag: 'reject', val: rejection })
      while (verdicts.length < batch.changes.length) verdicts.push(KEEP)
      break
    }
  }
  return verdicts
}

function react(handler, batch) {
  beginServing()
  const call = calling(handler, batch)
  try {
    for (const change of batch.changes) call(change)
  } catch (error) {
    throw failure(error)
  }
}

/** Calls `handler` for a change of `batch` and waits for what it returns. */
function calling(handler, { table, operation, caller }) {
  const shared = { operation, table, caller: callerFrom(caller) }
  return (change) => settle(handler({ row: parse(change['new']), old: parse(change.old), ...shared }))
}

function parse(row) {
  return row === null || row === undefined ? null : JSON.parse(row)
}

function verdictOf(answer, change) {
  if (answer === undefined) return KEEP
  if (answer === SKIP) return { tag: 'skip' }
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) {
    throw new TypeError('a trigger returns nothing, a row, or skip()')
  }
  return { tag: 'replace', val: replaced(change['new'] ?? '{}', answer) }
}
