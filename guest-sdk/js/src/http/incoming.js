// The host's request as a `Request`. What the handler never looks at is never asked for.

import { Request } from '../web/request.js'
import { IncomingContent } from './body.js'

export function requestFrom(incoming) {
  const method = nameOf(incoming.method())
  return new Request(undefined, {
    host: {
      method: () => method,
      url: (headers) => {
        const authority = incoming.authority() ?? headers.get('host') ?? 'localhost'
        return `${nameOf(incoming.scheme() ?? { tag: 'HTTP' }).toLowerCase()}://${authority}${incoming.pathWithQuery() ?? '/'}`
      },
      headers: () => incoming.headers().entries(),
    },
    hostBody: method === 'GET' || method === 'HEAD' ? null : new IncomingContent(incoming),
  })
}

/** The name of a WIT method or scheme. */
function nameOf({ tag, val }) {
  return tag === 'other' ? val : tag.toUpperCase()
}
