// Bodies across the boundary: `wasi:io` streams on one side, chunks on the other.

import { OutgoingBody } from 'wasi:http/types'
import { isIdle, wait } from '../loop.js'
import { chunkBytes } from '../web/body.js'
import { decode, join } from '../web/text.js'

const READ_BYTES_MAX = 65536

/** The body of a request or response from the host: an async iterable of byte arrays, to be read once. */
export class IncomingContent {
  #message
  #body
  #stream
  // What Content-Length has left; the end is not asked for when it is known.
  #left

  constructor(message) {
    this.#message = message
  }

  [Symbol.asyncIterator]() {
    return this
  }

  async next() {
    const value = await this.#read()
    return { done: value === null, value: value ?? undefined }
  }

  async return() {
    this.#close()
    return { done: true, value: undefined }
  }

  async readAll() {
    const chunks = []
    for (let chunk; (chunk = await this.#read()) !== null; ) chunks.push(chunk)
    return join(chunks)
  }

  /** The next bytes, or null at the end: at once if nothing else could go on meanwhile, else a promise. */
  #read() {
    if (this.#stream === undefined) this.#open()
    if (this.#left === 0) {
      this.#close()
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
    const length = this.#message.headers().get('content-length')
    this.#left = length.length === 0 ? Infinity : Number(decode(length[0]))
    this.#body = this.#message.consume()
    this.#stream = this.#body.stream()
  }

  /** Gives the handles back, so that a long chain of fetches does not use them up. */
  #close() {
    this.#left = 0
    if (this.#stream === undefined || this.#body === undefined) return
    this.#stream[Symbol.dispose]()
    this.#body[Symbol.dispose]()
    this.#body = undefined
  }
}

/**
 * Writes `content` to `body` and finishes it. Of an iterable each chunk goes out before the next is asked
 * for. Ends quietly when the other side has gone.
 */
export async function sendContent(body, content) {
  const stream = body.write()
  let open = true
  if (typeof content === 'string' || content instanceof Uint8Array) {
    open = await write(stream, chunkBytes(content))
  } else {
    for await (const chunk of content) {
      open = await write(stream, chunkBytes(chunk))
      if (open) open = flush(stream)
      if (!open) break
    }
  }
  stream[Symbol.dispose]()
  if (open) OutgoingBody.finish(body, null)
}

async function write(stream, bytes) {
  try {
    for (let at = 0; at < bytes.length; ) {
      const permit = stream.checkWrite()
      if (permit === 0) {
        await wait(stream.subscribe())
        continue
      }
      stream.write(at === 0 && permit >= bytes.length ? bytes : bytes.slice(at, at + permit))
      at += permit
    }
    return true
  } catch (error) {
    return whenGone(error)
  }
}

function flush(stream) {
  try {
    stream.flush()
    return true
  } catch (error) {
    return whenGone(error)
  }
}

function whenGone(error) {
  if (error.payload?.tag === undefined) throw error
  return false
}
