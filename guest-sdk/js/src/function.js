// HTTP functions: the export wasi:http/incoming-handler.

import { Fields, OutgoingResponse, ResponseOutparam } from 'wasi:http/types'
import { HttpError } from './errors.js'
import { requestFrom } from './http/incoming.js'
import { sendContent } from './http/body.js'
import { logError } from './log.js'
import { settle } from './loop.js'
import { beginServing } from './phase.js'
import { Response } from './web/response.js'
import { binaryBytes, encode } from './web/text.js'

/**
 * Makes an HTTP function of `handler(request, ctx)`, which returns a `Response` or a promise of one.
 * Every call runs in an instance of its own.
 */
export function defineFunction(handler) {
  if (typeof handler !== 'function') throw new TypeError('defineFunction needs a function')
  return { incomingHandler: { handle: (incoming, out) => serve(handler, incoming, out) } }
}

function serve(handler, incoming, out) {
  beginServing()
  const late = []
  let outgoing, content
  try {
    const response = respond(handler, requestFrom(incoming), contextOf(late))
    ;({ outgoing, content } = prepare(response))
  } catch (error) {
    // The host answers 500; what happened is for the author's eyes only.
    logError('uncaught exception', error)
    ResponseOutparam.set(out, { tag: 'err', val: { tag: 'internal-error', val: 'uncaught exception' } })
    return
  }
  send(outgoing, content, out)
  for (const promise of late) {
    try {
      settle(promise)
    } catch (error) {
      logError('uncaught exception in waitUntil', error)
    }
  }
}

function contextOf(late) {
  return {
    waitUntil(promise) {
      late.push(promise)
      // It is `serve` that reports a rejection.
      promise?.catch?.(() => {})
    },
  }
}

function respond(handler, request, ctx) {
  try {
    const response = settle(handler(request, ctx))
    if (!(response instanceof Response)) throw new TypeError('the handler did not return a Response')
    return response
  } catch (error) {
    if (!(error instanceof HttpError)) throw error
    const { status, code, message } = error
    return Response.json({ code, message }, { status })
  }
}

/** The head for the host, and the content: bytes or an iterable of chunks. */
function prepare(response) {
  let content = response.takeContent() ?? new Uint8Array(0)
  const headers = response.headers.toHost()
  if (typeof content === 'string') content = encode(content)
  if (content instanceof Uint8Array && !response.headers.has('content-length')) {
    headers.push(['content-length', binaryBytes(String(content.length))])
  }
  const outgoing = new OutgoingResponse(Fields.fromList(headers))
  if (response.status !== 200) outgoing.setStatusCode(response.status)
  return { outgoing, content }
}

function send(outgoing, content, out) {
  const body = outgoing.body()
  ResponseOutparam.set(out, { tag: 'ok', val: outgoing })
  try {
    settle(sendContent(body, content))
  } catch (error) {
    // The head is out. An unfinished body and a trap tell the host that the rest will not come.
    logError('uncaught exception in a response body', error)
    throw error
  }
}
