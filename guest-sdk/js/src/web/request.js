import { Body, contentTypeOf } from './body.js'
import { Headers } from './headers.js'

const FORBIDDEN = /^(connect|trace|track)$/i
const NORMAL = /^(get|head|post|put|delete|options|patch)$/i

export class Request extends Body {
  #method
  #url
  #headers
  // Where a request from the host reads what nobody has asked for yet.
  #host

  constructor(input, init = {}) {
    const from = input instanceof Request ? input : undefined
    const body = init.body ?? (from === undefined ? init.hostBody : from.takeContent())
    super(body)
    this.#host = init.host
    this.redirect = init.redirect ?? from?.redirect ?? 'follow'
    this.signal = init.signal ?? from?.signal ?? null
    if (this.#host !== undefined) return
    this.#method = methodOf(init.method ?? from?.method ?? 'GET')
    if (body !== undefined && body !== null && (this.#method === 'GET' || this.#method === 'HEAD')) {
      throw new TypeError(`a ${this.#method} request has no body`)
    }
    this.#url = from?.url ?? String(input)
    this.#headers = new Headers(init.headers ?? from?.headers)
    const type = contentTypeOf(init.body)
    if (type !== undefined && !this.#headers.has('content-type')) this.#headers.set('content-type', type)
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
