// What `Request` and `Response` have in common.

import { ReadableStream } from './streams.js'
import { bytesOf, decode, encode, join } from './text.js'

/** The content type a body of this kind has by itself. */
export function contentTypeOf(init) {
  if (typeof init === 'string') return 'text/plain;charset=UTF-8'
  // By name, so that programs which never make one do not carry the class.
  if (init?.[Symbol.toStringTag] === 'URLSearchParams') return 'application/x-www-form-urlencoded;charset=UTF-8'
  return undefined
}

export class Body {
  // null, a string, a Uint8Array, or a plain or async iterable of such chunks (a ReadableStream is one).
  #content
  #stream
  #used = false

  constructor(init) {
    this.#content = contentOf(init)
  }

  get body() {
    if (this.#content === null) return null
    this.#stream ??= ReadableStream.from(chunksOf(this.#content))
    return this.#stream
  }

  get bodyUsed() {
    return this.#used
  }

  text() {
    return this.#read(textOf)
  }

  json() {
    return this.#read((content) => JSON.parse(textOf(content)))
  }

  bytes() {
    return this.#read(bytesOfContent)
  }

  arrayBuffer() {
    return this.#read((content) => {
      const bytes = bytesOfContent(content)
      return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
    })
  }

  /** A promise of what `convert` makes of the whole content, a string or bytes. */
  #read(convert) {
    try {
      const content = whole(this.takeContent())
      return content instanceof Promise ? content.then(convert) : Promise.resolve(convert(content))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Hands the content out, once: null, a string, bytes, or an iterable of strings and bytes. */
  takeContent() {
    if (this.#content === null) return null
    if (this.#used || this.#stream?.locked) throw new TypeError('the body has been read already')
    this.#used = true
    return this.#stream ?? this.#content
  }

  /** Content for a copy; a stream is split in two. */
  shareContent() {
    if (this.#used || this.#stream?.locked) throw new TypeError('the body has been read already')
    if (this.#content === null || typeof this.#content === 'string' || this.#content instanceof Uint8Array) {
      return this.#content
    }
    const [one, other] = this.body.tee()
    this.#content = this.#stream = one
    return other
  }
}

function contentOf(init) {
  if (init === undefined || init === null) return null
  if (typeof init === 'string') return init
  if (init instanceof ArrayBuffer || ArrayBuffer.isView(init)) return bytesOf(init)
  if (init[Symbol.toStringTag] === 'URLSearchParams') return String(init)
  if (init[Symbol.asyncIterator] || init[Symbol.iterator]) return init
  return String(init)
}

/** `chunk` of a body as bytes. */
export function chunkBytes(chunk) {
  return typeof chunk === 'string' ? encode(chunk) : bytesOf(chunk)
}

async function* chunksOf(content) {
  if (typeof content === 'string' || content instanceof Uint8Array) yield chunkBytes(content)
  else for await (const chunk of content) yield chunkBytes(chunk)
}

/** A string or bytes, or a promise of bytes. */
function whole(content) {
  if (content === null) return ''
  if (typeof content === 'string' || content instanceof Uint8Array) return content
  return content.readAll === undefined ? readAll(content) : content.readAll()
}

async function readAll(chunks) {
  const read = []
  for await (const chunk of chunks) read.push(chunkBytes(chunk))
  return join(read)
}

function textOf(content) {
  if (typeof content === 'string') return content
  const text = decode(content)
  return text[0] === '\ufeff' ? text.slice(1) : text
}

function bytesOfContent(content) {
  return typeof content === 'string' ? encode(content) : content
}
