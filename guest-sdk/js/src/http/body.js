// Bodies across the boundary: `wasi:io` streams on one side, chunks on the other.

import { OutgoingBody } from 'wasi:http/types'
import { pour } from '../io.js'
import { isIdle, wait } from '../loop.js'
import { decode, join } from '../web/text.js'

const READ_BYTES_MAX = 65536

/** The body of a request or response from the host: an async iterable of byte arrays, to be read once. */
export class IncomingContent {
  #message
  #body
  #stream
  // What Content-Length has left; the end is not asked for when it is known.
  #left

  // Whether the message goes when its body has been read.
  #owned

  /** A request is not `owned`: its method, address and headers are asked for later, if at all. */
  constructor(message, owned) {
    this.#message = message
    this.#owned = owned
  }

  [Symbol.asyncIterator]() {
    return this
  }

  async next() {
    const value = await this.#read()
    return { done: value === null, value: value ?? undefined }
  }

  async return() {
    if (this.#message !== undefined) this.#close()
    return { done: true, value: undefined }
  }

  /** All the bytes, or a promise of them if something else goes on meanwhile. */
  readAll() {
    const chunks = []
    while (isIdle()) {
      const chunk = this.#read()
      if (chunk === null) return join(chunks)
      chunks.push(chunk)
    }
    return this.#readRest(chunks)
  }

  async #readRest(chunks) {
    for (let chunk; (chunk = await this.#read()) !== null; ) chunks.push(chunk)
    return join(chunks)
  }

  /** The next bytes, or null at the end: at once if nothing else could go on meanwhile, else a promise. */
  #read() {
    if (this.#stream === undefined) this.#open()
    if (this.#left === 0) {
      if (this.#message !== undefined) this.#close()
      return null
    }
    return isIdle() ? this.#took(this.#attempt('blockingRead')) : this.#readLater()
  }

  async #readLater() {
    for (;;) {
      const bytes = this.#attempt('read')
      if (bytes === null || bytes.length > 0) return this.#took(bytes)
      await wait(this.#stream.subscribe())
    }
  }

  #attempt(call) {
    try {
      return this.#stream[call](READ_BYTES_MAX)
    } catch (error) {
      if (error.payload?.tag === 'closed') return null
      throw new TypeError('the body broke off', { cause: error })
    }
  }

  #took(bytes) {
    if (bytes === null) this.#left = 0
    else this.#left -= bytes.length
    return bytes
  }

  #open() {
    const fields = this.#message.headers()
    const [length] = fields.get('content-length')
    fields[Symbol.dispose]()
    this.#left = length === undefined ? Infinity : Number(decode(length))
    this.#body = this.#message.consume()
    this.#stream = this.#body.stream()
  }

  /** Gives the handles back, so that a long chain of fetches does not use them up. */
  #close() {
    this.#left = 0
    const message = this.#owned ? this.#message : undefined
    for (const handle of [this.#stream, this.#body, message]) handle?.[Symbol.dispose]()
    // Not undefined: what is closed is not opened again.
    this.#stream = null
    this.#body = this.#message = undefined
  }
}

/**
 * Writes `content` to `body` and finishes it. Of an iterable each chunk goes out before the next is asked
 * for. Ends quietly when the other side has gone. Returns a promise if it has to wait.
 */
export function sendContent(body, content) {
  const stream = body.write()
  const open = pour(stream, content)
  if (typeof open === 'boolean') return finish(body, stream, open)
  return open.then((stillOpen) => finish(body, stream, stillOpen))
}

function finish(body, stream, open) {
  stream[Symbol.dispose]()
  if (open) OutgoingBody.finish(body, null)
}
