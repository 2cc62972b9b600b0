import { now } from 'wasi:clocks/monotonic-clock'
import { needHost } from '../phase.js'

let origin

/** Milliseconds since the first call of this invocation. */
export const performance = {
  now() {
    needHost('performance.now')
    const instant = now()
    origin ??= instant
    return (instant - origin) / 1e6
  },
}
