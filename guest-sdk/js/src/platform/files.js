import * as host from 'pumice:platform/files'
import { PlatformError, asking } from '../errors.js'
import { pour } from '../io.js'
import { isIdle, wait } from '../loop.js'
import { needHost } from '../phase.js'
import { Body } from '../web/body.js'
import { encode } from '../web/text.js'

const READ_BYTES_MAX = 65536

export const files = {
  /** An object with its content, which is read as it comes. */
  async get(bucket, name) {
    needHost('files.get')
    const [object, stream] = asking('files.get', () => host.get(String(bucket), String(name)))
    return new File(object, stream)
  },

  /** Writes `content`, whatever a `Response` may have as its body, in place of any object with that name. */
  async put(bucket, name, content, { contentType = 'application/octet-stream' } = {}) {
    needHost('files.put')
    const upload = asking('files.put', () => host.put(String(bucket), String(name), contentType))
    const stream = asking('files.put', () => upload.body())
    try {
      const taken = new Body(content).takeContent() ?? ''
      // An upload that the host breaks off tells why when it is finished.
      if (await pour(stream, typeof taken === 'string' ? encode(taken) : taken)) flush(stream)
    } catch (error) {
      stream[Symbol.dispose]()
      upload[Symbol.dispose]()
      throw error
    }
    stream[Symbol.dispose]()
    return objectFrom(asking('files.put', () => host.Upload.finish(upload)))
  },

  async delete(bucket, name) {
    needHost('files.delete')
    asking('files.delete', () => host['delete'](String(bucket), String(name)))
  },

  /** Objects whose name begins with `prefix`, in order of name, at most 1,000 after the name `after`. */
  async list(bucket, prefix = '', { after = null } = {}) {
    needHost('files.list')
    return asking('files.list', () => host.list(String(bucket), String(prefix), after)).map(objectFrom)
  },
}

/** Waits until the host has taken everything; that it broke off, `finish` tells better. */
function flush(stream) {
  try {
    stream.blockingFlush()
  } catch (error) {
    if (error.payload?.tag === undefined) throw error
  }
}

class File extends Body {
  constructor(object, stream) {
    super(chunksOf(stream))
    Object.assign(this, objectFrom(object))
  }
}

async function* chunksOf(stream) {
  try {
    for (;;) {
      if (!isIdle()) await wait(stream.subscribe())
      const chunk = read(stream)
      if (chunk === null) return
      if (chunk.length > 0) yield chunk
    }
  } finally {
    stream[Symbol.dispose]()
  }
}

function read(stream) {
  try {
    return isIdle() ? stream.blockingRead(READ_BYTES_MAX) : stream.read(READ_BYTES_MAX)
  } catch (error) {
    if (error.payload?.tag === 'closed') return null
    if (error.payload?.tag === undefined) throw error
    throw new PlatformError('files.get', { tag: 'other', val: 'the object broke off' })
  }
}

function objectFrom({ name, size, contentType, etag, updatedAt }) {
  return { name, size, contentType, etag, updatedAt: new Date(updatedAt * 1000) }
}
