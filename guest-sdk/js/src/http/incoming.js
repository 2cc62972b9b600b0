// The host's request as a `Request`. What the handler never looks at is never asked for.

import { Received, Request } from '../web/request.js'
import { IncomingContent } from './body.js'

export function requestFrom(incoming) {
  return new Request(new IncomingRequest(incoming))
}

class IncomingRequest extends Received {
  #incoming

  constructor(incoming) {
    super()
    this.#incoming = incoming
    this.content = new IncomingContent(incoming, false)
  }

  method() {
    return nameOf(this.#incoming.method())
  }

  url(headers) {
    const scheme = nameOf(this.#incoming.scheme() ?? { tag: 'HTTP' }).toLowerCase()
    const authority = this.#incoming.authority() ?? headers.get('host') ?? 'localhost'
    return `${scheme}://${authority}${this.#incoming.pathWithQuery() ?? '/'}`
  }

  headers() {
    return this.#incoming.headers().entries()
  }
}

/** The name of a WIT method or scheme. */
function nameOf({ tag, val }) {
  return tag === 'other' ? val : tag.toUpperCase()
}
