// Writing to the host's streams.

import { wait } from './loop.js'
import { chunkBytes } from './web/body.js'

/**
 * Writes `content`, bytes or an iterable of chunks, to `stream`. Of an iterable each chunk goes out before the
 * next is asked for. Returns whether the other side is still there, or a promise of that if it has to wait.
 */
export function pour(stream, content) {
  if (content instanceof Uint8Array) return content.length === 0 || write(stream, content, 0)
  return pourChunks(stream, content)
}

async function pourChunks(stream, chunks) {
  for await (const chunk of chunks) {
    if (!(await write(stream, chunkBytes(chunk), 0)) || !flush(stream)) return false
  }
  return true
}

/** Writes `bytes` from `at` on. */
function write(stream, bytes, at) {
  try {
    while (at < bytes.length) {
      const permit = stream.checkWrite()
      if (permit === 0) return wait(stream.subscribe()).then(() => write(stream, bytes, at))
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
