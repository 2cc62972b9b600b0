import { enqueue } from '../promise.js'
import { logError } from '../log.js'

export function queueMicrotask(callback) {
  if (typeof callback !== 'function') throw new TypeError('queueMicrotask needs a function')
  enqueue(() => {
    try {
      callback()
    } catch (error) {
      logError('uncaught exception in a microtask', error)
    }
  })
}
