import { Body, contentTypeOf } from './body.js'
import { Headers } from './headers.js'

const EMPTY = [101, 204, 205, 304]
const REDIRECTS = [301, 302, 303, 307, 308]

/**
 * Its body may be a string, bytes, `URLSearchParams`, a `ReadableStream`, or any plain or async iterable
 * of strings and bytes, which is sent as it is produced.
 */
export class Response extends Body {
  constructor(body = null, { status = 200, statusText = '', headers } = {}, type = contentTypeOf(body)) {
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      throw new RangeError(`status ${status} is not between 200 and 599`)
    }
    if (body !== null && EMPTY.includes(status)) throw new TypeError(`a response with status ${status} has no body`)
    super(body)
    this.status = status
    this.statusText = statusText
    this.headers = new Headers(headers)
    this.url = ''
    this.redirected = false
    this.type = 'default'
    if (type !== undefined) this.headers.setDefault('content-type', type)
  }

  static json(value, init = {}) {
    const text = JSON.stringify(value)
    if (text === undefined) throw new TypeError('the value has no JSON form')
    return new Response(text, init, 'application/json')
  }

  static redirect(url, status = 302) {
    if (!REDIRECTS.includes(status)) throw new RangeError(`status ${status} is no redirect`)
    return new Response(null, { status, headers: { location: String(url) } })
  }

  static error() {
    const response = new Response()
    response.status = 0
    response.type = 'error'
    return response
  }

  get ok() {
    return this.status >= 200 && this.status < 300
  }

  clone() {
    const { status, statusText, headers, url, redirected, type } = this
    const copy = new Response(this.shareContent(), { status, statusText, headers })
    return Object.assign(copy, { url, redirected, type })
  }

  get [Symbol.toStringTag]() {
    return 'Response'
  }
}
