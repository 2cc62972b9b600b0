import { now, subscribeInstant } from 'wasi:clocks/monotonic-clock'
import { wait } from '../loop.js'
import { logError } from '../log.js'
import { needHost } from '../phase.js'

const timers = new Map()
let last = 0

export function setTimeout(callback, delay = 0, ...args) {
  return start('setTimeout', callback, delay, args, false)
}

export function setInterval(callback, delay = 0, ...args) {
  return start('setInterval', callback, delay, args, true)
}

export function clearTimeout(id) {
  timers.get(id)?.cancel()
  timers.delete(id)
}

export const clearInterval = clearTimeout

function start(name, callback, delay, args, again) {
  needHost(name)
  if (typeof callback !== 'function') throw new TypeError(`${name} needs a function`)
  const id = ++last
  const nanoseconds = Math.max(Number(delay) || 0, again ? 1 : 0) * 1e6
  const arm = () => {
    const due = now() + Math.round(nanoseconds)
    const timer = wait(subscribeInstant(due), due)
    timers.set(id, timer)
    timer.then(() => {
      if (!again) timers.delete(id)
      try {
        callback(...args)
      } catch (error) {
        logError(`uncaught exception in ${name}`, error)
      }
      if (timers.get(id) === timer) arm()
    })
  }
  arm()
  return id
}
