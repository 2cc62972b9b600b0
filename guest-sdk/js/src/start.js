// Evaluated before any user code: what the engine has but cannot be used inside a component.

import { console } from './web/console.js'
import { Date } from './web/date.js'
import { random } from './web/random.js'
import { Promise } from './promise.js'
import { queueMicrotask } from './web/microtask.js'

Object.assign(globalThis, { Promise, Date, console, queueMicrotask })
Math.random = random

// These would return the engine's own promises, which never settle here, or ask for a stubbed clock;
// `globals.js` brings some of them back.
Array.fromAsync = async (items, map = (item) => item) => {
  const array = []
  let index = 0
  for await (const item of items) array.push(await map(item, index++))
  return array
}
for (const name of ['AsyncDisposableStack', 'performance']) Reflect.deleteProperty(globalThis, name)
