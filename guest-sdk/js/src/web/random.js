// `Math.random` for a component that is started from a snapshot: the engine's own generator was seeded
// when the component was built, so every instance would draw the same numbers.

import { getRandomBytes } from 'wasi:random/random'
import { isServing } from '../phase.js'

const atBuild = Math.random
let state

/** A number in [0, 1) with 53 random bits: xoshiro128**, seeded from the host at its first use. */
export function random() {
  if (!isServing()) return atBuild()
  state ??= seed()
  return (next() * 0x200000 + (next() >>> 11)) / 0x20000000000000
}

// Public domain, Blackman and Vigna, https://prng.di.unimi.it/xoshiro128starstar.c
function next() {
  const result = Math.imul(rotate(Math.imul(state[1], 5), 7), 9) >>> 0
  const shifted = state[1] << 9
  state[2] ^= state[0]
  state[3] ^= state[1]
  state[1] ^= state[2]
  state[0] ^= state[3]
  state[2] ^= shifted
  state[3] = rotate(state[3], 11)
  return result
}

function rotate(word, by) {
  return (word << by) | (word >>> (32 - by))
}

function seed() {
  const bytes = getRandomBytes(16)
  // The one state that the generator cannot leave is all zeros.
  bytes[0] |= 1
  return new Uint32Array(bytes.buffer, bytes.byteOffset, 4)
}
