import { binaryBytes } from './text.js'

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const NOT_A_VALUE = /[\0\r\n]|[^\x00-\xff]/

/** Names in lower case, values with the space around them cut, `set-cookie` never joined. */
export class Headers {
  #values = new Map()

  constructor(init) {
    if (init === undefined || init === null) return
    const pairs = typeof init[Symbol.iterator] === 'function' ? init : Object.entries(init)
    for (const [name, value] of pairs) this.append(name, value)
  }

  /** From pairs that the host has checked. */
  static fromHost(pairs) {
    const headers = new Headers()
    for (const [name, value] of pairs) headers.#add(name.toLowerCase(), String.fromCharCode.apply(null, value))
    return headers
  }

  append(name, value) {
    this.#add(checkName(name), checkValue(value))
  }

  /** Adds a header of the SDK's own, in lower case and known to be valid, unless there is one. */
  setDefault(name, value) {
    if (!this.#values.has(name)) this.#values.set(name, [value])
  }

  set(name, value) {
    this.#values.set(checkName(name), [checkValue(value)])
  }

  get(name) {
    return this.#values.get(checkName(name))?.join(', ') ?? null
  }

  getSetCookie() {
    return [...(this.#values.get('set-cookie') ?? [])]
  }

  has(name) {
    return this.#values.has(checkName(name))
  }

  delete(name) {
    this.#values.delete(checkName(name))
  }

  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this)
  }

  *entries() {
    for (const name of [...this.#values.keys()].sort()) {
      const values = this.#values.get(name) ?? []
      if (name === 'set-cookie') for (const value of values) yield [name, value]
      else yield [name, values.join(', ')]
    }
  }

  *keys() {
    for (const [name] of this) yield name
  }

  *values() {
    for (const [, value] of this) yield value
  }

  [Symbol.iterator]() {
    return this.entries()
  }

  get [Symbol.toStringTag]() {
    return 'Headers'
  }

  /** As the host takes them: pairs of name and bytes, in order of insertion. */
  toHost() {
    const pairs = []
    for (const [name, values] of this.#values) {
      for (const value of values) pairs.push([name, binaryBytes(value)])
    }
    return pairs
  }

  #add(name, value) {
    const values = this.#values.get(name)
    if (values === undefined) this.#values.set(name, [value])
    else values.push(value)
  }
}

function checkName(name) {
  const text = String(name)
  if (!NAME.test(text)) throw new TypeError(`not a header name: ${JSON.stringify(text)}`)
  return text.toLowerCase()
}

function checkValue(value) {
  const text = String(value).trim()
  if (NOT_A_VALUE.test(text)) throw new TypeError(`not a header value: ${JSON.stringify(text)}`)
  return text
}
