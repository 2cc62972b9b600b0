import { Body, contentTypeOf } from './body.js'
import { Headers } from './headers.js'

const FORBIDDEN = /^(connect|trace|track)$/i
const NORMAL = /^(get|head|post|put|delete|options|patch)$/i

/** What a request from the host is made of: `content` and the methods `method`, `url`, `headers`. */
export class Received {}

export class Request extends Body {
  #method
  #url
  #headers
  // Where a request from the host reads what nobody has asked for yet.
  #host
  redirect = 'follow'
  signal = null

  constructor(input, init = {}) {
    if (input instanceof Received) {
      super(input.content)
      this.#host = input
      return
    }
    const from = input instanceof Request ? input : undefined
    const body = init.body ?? from?.takeContent()
    super(body)
    this.redirect = init.redirect ?? from?.redirect ?? 'follow'
    this.signal = init.signal ?? from?.signal ?? null
    this.#method = methodOf(init.method ?? from?.method ?? 'GET')
    if (body !== undefined && body !== null && (this.#method === 'GET' || this.#method === 'HEAD')) {
      throw new TypeError(`a ${this.#method} request has no body`)
    }
    this.#url = from?.url ?? String(input)
    this.#headers = new Headers(init.headers ?? from?.headers)
    const type = contentTypeOf(init.body)
    if (type !== undefined) this.#headers.setDefault('content-type', type)
  }

  get body() {
    // Only a request from the host has content with these methods, and that is empty.
    return this.method === 'GET' || this.method === 'HEAD' ? null : super.body
  }

  get method() {
    return (this.#method ??= this.#host.method())
  }

  get url() {
    return (this.#url ??= this.#host.url(this.headers))
  }

  get headers() {
    return (this.#headers ??= Headers.fromHost(this.#host.headers()))
  }

  clone() {
    const { method, url, headers, redirect, signal } = this
    return new Request(url, { method, headers, redirect, signal, body: this.shareContent() })
  }

  get [Symbol.toStringTag]() {
    return 'Request'
  }
}

function methodOf(name) {
  const method = String(name)
  if (FORBIDDEN.test(method)) throw new TypeError(`the method ${method} is not allowed`)
  return NORMAL.test(method) ? method.toUpperCase() : method
}
