import assert from 'node:assert/strict'
import { test } from 'node:test'
import { $pumiceAsync, Promise as Ours, enqueue, runJobs, takeUnhandled } from '../src/promise.js'

const asynchronous = (body) => $pumiceAsync(undefined, [], body)

test('jobs run in the order in which they became ready', () => {
  const seen = []
  asynchronous(function* () {
    seen.push(1)
    yield null
    seen.push(3)
    yield null
    seen.push(5)
  })
  seen.push(2)
  enqueue(() => seen.push(4))
  runJobs()
  assert.deepEqual(seen, [1, 2, 3, 4, 5])
})

test('a rejection reaches catch and finally of an async function', () => {
  const seen = []
  const result = asynchronous(function* () {
    try {
      yield Ours.reject(new Error('no'))
    } catch (error) {
      seen.push(error.message)
      return yield Ours.resolve('caught')
    } finally {
      seen.push('finally')
    }
  })
  result.then((value) => seen.push(value))
  runJobs()
  assert.deepEqual(seen, ['no', 'finally', 'caught'])
})

test('all, allSettled, any and race settle once', () => {
  const outcomes = {}
  const listen = (name, promise) => promise.then((value) => (outcomes[name] = value), (error) => (outcomes[name] = error))
  listen('all', Ours.all([1, Ours.resolve(2)]))
  listen('none', Ours.all([]))
  listen('settled', Ours.allSettled([Ours.reject(1), 2]))
  listen('any', Ours.any([Ours.reject(1), Ours.resolve(2)]))
  listen('race', Ours.race([new Ours(() => {}), Ours.resolve(3)]))
  listen('failed', Ours.all([Ours.reject('why'), new Ours(() => {})]))
  runJobs()
  assert.deepEqual(outcomes, {
    all: [1, 2],
    none: [],
    settled: [{ status: 'rejected', reason: 1 }, { status: 'fulfilled', value: 2 }],
    any: 2,
    race: 3,
    failed: 'why',
  })
})

test('only rejections that nobody listens to are told, once', () => {
  Ours.reject('heard').catch(() => {})
  Ours.reject('unheard')
  runJobs()
  assert.deepEqual(takeUnhandled(), ['unheard'])
  assert.deepEqual(takeUnhandled(), [])
})

test('a long queue keeps its order', () => {
  const seen = []
  for (let index = 0; index < 5000; index++) enqueue(() => seen.push(index))
  runJobs()
  assert.deepEqual(seen, Array.from({ length: 5000 }, (_, index) => index))
})
