/** Thrown by a handler, it becomes a response: `status` and the JSON `{code, message}`. */
export class HttpError extends Error {
  constructor(status, code, message, options) {
    super(message, options)
    this.name = 'HttpError'
    if (!Number.isInteger(status) || status < 400 || status > 599) {
      throw new RangeError(`status ${status} of an HttpError is not between 400 and 599`)
    }
    this.status = status
    this.code = code
  }
}

/** What `reject` throws. From an HTTP function it is a response with status 400. */
export class Rejection extends HttpError {
  constructor(code, message) {
    super(400, String(code), String(message))
    this.name = 'Rejection'
  }
}

/** Refuses what is being asked, in the app's own words: `code` and `message` reach the client. */
export function reject(code, message) {
  throw new Rejection(code, message)
}

/** A refusal by the platform; `code` is the name of the error's case in its WIT interface. */
export class PlatformError extends Error {
  constructor(call, { tag, val }) {
    super(`${call}: ${tag}${val === undefined ? '' : `: ${val}`}`)
    this.name = 'PlatformError'
    this.code = tag
  }
}

/**
 * Why a call on the app's tables failed. `code` is the database's: five characters in PostgreSQL's words, or
 * that of a rejection; or the name of the error's case in the WIT interface.
 */
export class DataError extends Error {
  constructor(code, message, { details = null, hint = null, refused = false } = {}) {
    super(message)
    this.name = 'DataError'
    Object.assign(this, { code, details, hint })
    // Whether it is the database's answer, and so one that a client may see.
    Object.defineProperty(this, 'refused', { value: refused })
  }
}

/** `{code, message}` of a refusal that a client may see, else undefined. */
export function refusalIn(error) {
  if (!(error instanceof HttpError) && !(error instanceof DataError && error.refused)) return undefined
  const { code, message } = error
  return { code: String(code), message }
}

/** What `run` returns; an error of the WIT call `call` is thrown as a `PlatformError`. */
export function asking(call, run) {
  try {
    return run()
  } catch (error) {
    if (error?.payload?.tag !== undefined) throw new PlatformError(call, error.payload)
    throw error
  }
}
