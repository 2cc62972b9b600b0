// `AbortController` and the part of `EventTarget` that its signal needs.

import { setTimeout } from './timers.js'

export class AbortSignal {
  aborted = false
  reason = undefined
  onabort = null
  #listeners = new Set()

  static abort(reason) {
    const controller = new AbortController()
    controller.abort(reason)
    return controller.signal
  }

  static timeout(milliseconds) {
    const controller = new AbortController()
    setTimeout(() => controller.abort(new DOMException('the time is over', 'TimeoutError')), milliseconds)
    return controller.signal
  }

  static any(signals) {
    const controller = new AbortController()
    for (const signal of signals) {
      if (signal.aborted) controller.abort(signal.reason)
      else signal.addEventListener('abort', () => controller.abort(signal.reason))
    }
    return controller.signal
  }

  addEventListener(type, listener) {
    if (type === 'abort') this.#listeners.add(listener)
  }

  removeEventListener(_, listener) {
    this.#listeners.delete(listener)
  }

  throwIfAborted() {
    if (this.aborted) throw this.reason
  }

  /** Said once, by the controller. */
  static abortNow(signal, reason) {
    if (signal.aborted) return
    signal.aborted = true
    signal.reason = reason
    const event = { type: 'abort', target: signal }
    signal.onabort?.(event)
    for (const listener of signal.#listeners) {
      if (typeof listener === 'function') listener.call(signal, event)
      else listener.handleEvent(event)
    }
  }
}

const { abortNow } = AbortSignal
delete AbortSignal.abortNow

export class AbortController {
  signal = new AbortSignal()

  abort(reason = new DOMException('aborted', 'AbortError')) {
    abortNow(this.signal, reason)
  }
}
