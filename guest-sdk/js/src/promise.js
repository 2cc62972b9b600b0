// Promises with a job queue that the SDK runs.
//
// The engine runs promise jobs only after a synchronous export has returned, which is too late for it to
// wait for anything. This class takes the place of the global `Promise` before user code is evaluated;
// the build turns `async` functions into generators over that global, so every `await` ends up here, and
// `loop.js` runs the queue inside the export until the handler is done.

const PENDING = 0
const FULFILLED = 1
const REJECTED = 2
// What is to happen when a promise settles: a listener of `then`, or a generator that waits in `await`.
const THEN = 0
const AWAIT = 1

// Three places for each job: a reaction or a function, the state and the value of its promise. Flat, and
// without a closure for each, because a job is the unit of cost of every `await`.
const jobs = []
let at = 0
let rejections = []

/** Puts a call of `callback`, which must not throw, at the end of the queue. */
export function enqueue(callback) {
  jobs.push(callback, PENDING, undefined)
}

export function hasJobs() {
  return at < jobs.length
}

/** Runs jobs in order until there is none left, those included that jobs add. */
export function runJobs() {
  while (at < jobs.length) {
    const job = jobs[at]
    const state = jobs[at + 1]
    const value = jobs[at + 2]
    at += 3
    if (at === 3072) {
      jobs.splice(0, at)
      at = 0
    }
    if (state === PENDING) job()
    else if (job.kind === AWAIT) step(job, state, value)
    else react(job, state, value)
  }
  jobs.length = at = 0
}

/** Reasons of rejections that nobody has listened to so far; each is told once. */
export function takeUnhandled() {
  if (rejections.length === 0) return rejections
  const reasons = rejections.filter((promise) => !isHeard(promise)).map(valueOf)
  rejections = []
  return reasons
}

/**
 * What `async` functions are made of: runs the generator function `body`, whose `yield`s are awaits. The
 * build puts it in the place of esbuild's own helper, which takes two promises and five closures for that.
 */
export function $pumiceAsync(self, args, body) {
  const promise = new QueuedPromise(BARE)
  let generator
  try {
    generator = body.apply(self, args)
  } catch (error) {
    settle(promise, REJECTED, error)
    return promise
  }
  step({ kind: AWAIT, generator, promise }, FULFILLED, undefined)
  return promise
}

function step(task, state, value) {
  let result
  try {
    result = state === FULFILLED ? task.generator.next(value) : task.generator.throw(value)
  } catch (error) {
    settle(task.promise, REJECTED, error)
    return
  }
  if (result.done) resolve(task.promise, result.value)
  else listen(promiseOf(result.value), task)
}

function react({ onFulfilled, onRejected, next }, state, value) {
  const handler = state === FULFILLED ? onFulfilled : onRejected
  if (typeof handler !== 'function') {
    if (state === FULFILLED) next.resolve(value)
    else next.reject(value)
    return
  }
  let result
  try {
    result = handler(value)
  } catch (error) {
    next.reject(error)
    return
  }
  next.resolve(result)
}

// Given instead of an executor by this file.
const BARE = Symbol('bare')

let listen, settle, isHeard, valueOf, isOurs

class QueuedPromise {
  #state = PENDING
  #value
  // undefined, one reaction, or an array of them.
  #reactions
  #heard = false

  static {
    listen = (promise, reaction) => {
      promise.#heard = true
      const state = promise.#state
      if (state !== PENDING) jobs.push(reaction, state, promise.#value)
      else if (promise.#reactions === undefined) promise.#reactions = reaction
      else if (Array.isArray(promise.#reactions)) promise.#reactions.push(reaction)
      else promise.#reactions = [promise.#reactions, reaction]
    }
    settle = (promise, state, value) => {
      const reactions = promise.#reactions
      promise.#state = state
      promise.#value = value
      promise.#reactions = undefined
      if (reactions === undefined) {
        if (state === REJECTED && !promise.#heard) rejections.push(promise)
      } else if (Array.isArray(reactions)) {
        for (const reaction of reactions) jobs.push(reaction, state, value)
      } else jobs.push(reactions, state, value)
    }
    isHeard = (promise) => promise.#heard
    valueOf = (promise) => promise.#value
    isOurs = (value) => value !== null && typeof value === 'object' && #state in value
  }

  constructor(executor) {
    if (executor === BARE) return
    if (typeof executor !== 'function') throw new TypeError('Promise needs a function')
    const { resolve, reject } = resolvers(this)
    try {
      executor(resolve, reject)
    } catch (error) {
      reject(error)
    }
  }

  static get [Symbol.species]() {
    return this
  }

  get [Symbol.toStringTag]() {
    return 'Promise'
  }

  then(onFulfilled, onRejected) {
    const species = this.constructor === QueuedPromise ? QueuedPromise : (this.constructor?.[Symbol.species] ?? QueuedPromise)
    const next = species === QueuedPromise ? new Inner() : capability(species)
    listen(this, { kind: THEN, onFulfilled, onRejected, next })
    return next.promise
  }

  catch(onRejected) {
    return this.then(undefined, onRejected)
  }

  finally(onDone) {
    if (typeof onDone !== 'function') return this.then(onDone, onDone)
    const species = this.constructor?.[Symbol.species] ?? QueuedPromise
    return this.then(
      (value) => species.resolve(onDone()).then(() => value),
      (error) =>
        species.resolve(onDone()).then(() => {
          throw error
        }),
    )
  }

  static resolve(value) {
    if (isOurs(value) && value.constructor === this) return value
    if (this !== QueuedPromise) return new this((resolve) => resolve(value))
    const promise = new QueuedPromise(BARE)
    resolve(promise, value)
    return promise
  }

  static reject(error) {
    return new this((_, reject) => reject(error))
  }

  static withResolvers() {
    return capability(this)
  }

  static try(callback, ...args) {
    return new this((resolve) => resolve(callback(...args)))
  }

  static all(values) {
    return combine(this, values, (results, left, resolve, reject) => (promise, index) =>
      promise.then((value) => {
        results[index] = value
        if (--left.count === 0) resolve(results)
      }, reject),
    )
  }

  static allSettled(values) {
    return combine(this, values, (results, left, resolve) => (promise, index) => {
      const settled = (result) => {
        results[index] = result
        if (--left.count === 0) resolve(results)
      }
      promise.then(
        (value) => settled({ status: 'fulfilled', value }),
        (reason) => settled({ status: 'rejected', reason }),
      )
    })
  }

  static any(values) {
    const failed = (errors) => new AggregateError(errors, 'All promises were rejected')
    return combine(
      this,
      values,
      (errors, left, resolve, reject) => (promise, index) =>
        promise.then(resolve, (error) => {
          errors[index] = error
          if (--left.count === 0) reject(failed(errors))
        }),
      (errors, resolve, reject) => reject(failed(errors)),
    )
  }

  static race(values) {
    return new this((resolve, reject) => {
      for (const value of values) this.resolve(value).then(resolve, reject)
    })
  }
}

Object.defineProperty(QueuedPromise, 'name', { value: 'Promise' })
export { QueuedPromise as Promise }

/** The promise that a `then` returns, settled from here and so without functions of its own. */
class Inner {
  promise = new QueuedPromise(BARE)

  resolve(value) {
    resolve(this.promise, value)
  }

  reject(error) {
    settle(this.promise, REJECTED, error)
  }
}

function promiseOf(value) {
  return isOurs(value) ? value : QueuedPromise.resolve(value)
}

function resolve(promise, value) {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) {
    return settle(promise, FULFILLED, value)
  }
  if (value === promise) return settle(promise, REJECTED, new TypeError('a promise cannot resolve to itself'))
  let then
  try {
    then = value.then
  } catch (error) {
    return settle(promise, REJECTED, error)
  }
  if (typeof then !== 'function') return settle(promise, FULFILLED, value)
  enqueue(() => {
    const { resolve, reject } = resolvers(promise)
    try {
      then.call(value, resolve, reject)
    } catch (error) {
      reject(error)
    }
  })
}

/** The two functions that an executor gets. Only the first call of either counts. */
function resolvers(promise) {
  let called = false
  return {
    resolve: (value) => {
      if (called) return
      called = true
      resolve(promise, value)
    },
    reject: (error) => {
      if (called) return
      called = true
      settle(promise, REJECTED, error)
    },
  }
}

function capability(constructor) {
  let resolve, reject
  const promise = new constructor((first, second) => {
    resolve = first
    reject = second
  })
  return { promise, resolve, reject }
}

function combine(constructor, values, listener, whenEmpty = (results, resolve) => resolve(results)) {
  return new constructor((resolve, reject) => {
    const results = []
    // Counts one more than the values, so that it cannot reach zero while they are still being listed.
    const left = { count: 1 }
    const listen = listener(results, left, resolve, reject)
    let index = 0
    for (const value of values) {
      left.count++
      results.push(undefined)
      listen(constructor.resolve(value), index++)
    }
    if (--left.count === 0) whenEmpty(results, resolve, reject)
  })
}
