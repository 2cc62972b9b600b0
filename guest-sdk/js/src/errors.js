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

/** A refusal by the platform; `code` is the name of the error's case in its WIT interface. */
export class PlatformError extends Error {
  constructor(call, { tag, val }) {
    super(`${call}: ${tag}${val === undefined ? '' : `: ${val}`}`)
    this.name = 'PlatformError'
    this.code = tag
  }
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
