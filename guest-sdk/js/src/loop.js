// The event loop: runs promise jobs, and when there is none blocks on what the host will make ready.

import { poll } from 'wasi:io/poll'
import { Promise, hasJobs, runJobs, takeUnhandled } from './promise.js'
import { logError } from './log.js'

let waits = []

/**
 * A promise that is fulfilled once `pollable` is ready; the pollable is dropped then. `due` orders
 * those that become ready together. `cancel` on the promise forgets it, and it stays pending.
 */
export function wait(pollable, due = 0) {
  const { promise, resolve } = Promise.withResolvers()
  const entry = { pollable, due, resolve }
  waits.push(entry)
  promise.cancel = () => {
    const index = waits.indexOf(entry)
    if (index < 0) return
    waits.splice(index, 1)
    pollable[Symbol.dispose]()
  }
  return promise
}

/** Whether nothing but the caller is under way. */
export function isIdle() {
  return waits.length === 0 && !hasJobs()
}

/** Runs everything until `promise` is settled; returns its value or throws its reason. Any other value is returned as it is. */
export function settle(promise) {
  if (typeof promise?.then !== 'function') return promise
  let outcome
  promise.then(
    (value) => (outcome = { value }),
    (error) => (outcome = { error, failed: true }),
  )
  for (;;) {
    runJobs()
    for (const reason of takeUnhandled()) logError('unhandled rejection', reason)
    if (outcome !== undefined) break
    if (waits.length === 0) throw new Error('the handler awaits a promise that nothing is going to settle')
    block()
  }
  if (outcome.failed) throw outcome.error
  return outcome.value
}

function block() {
  const ready = poll(waits.map((entry) => entry.pollable)).map((index) => waits[index])
  waits = waits.filter((entry) => !ready.includes(entry))
  ready.sort((a, b) => a.due - b.due)
  for (const entry of ready) {
    entry.pollable[Symbol.dispose]()
    entry.resolve()
    runJobs()
  }
}
