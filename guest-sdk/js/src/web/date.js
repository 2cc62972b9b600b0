// The engine's `Date` asks a clock that the component does not import; this one asks wasi:clocks.

import { now as wallClock } from 'wasi:clocks/wall-clock'
import { isServing } from '../phase.js'

const EngineDate = globalThis.Date

/** Milliseconds since 1970-01-01T00:00:00Z. While the component is built, the time of the build. */
function now() {
  if (!isServing()) return EngineDate.now()
  const { seconds, nanoseconds } = wallClock()
  return seconds * 1000 + Math.floor(nanoseconds / 1e6)
}

export function Date(...args) {
  if (new.target === undefined) return new EngineDate(now()).toString()
  return Reflect.construct(EngineDate, args.length === 0 ? [now()] : args, new.target === Date ? EngineDate : new.target)
}

Object.defineProperty(Date, 'length', { value: 7 })
Object.defineProperty(Date, 'prototype', { value: EngineDate.prototype, writable: false })
Date.prototype.constructor = Date
Date.now = now
Date.parse = EngineDate.parse
Date.UTC = EngineDate.UTC
