// `fetch` over wasi:http/outgoing-handler. Redirects are followed here, each as a request of its own, so
// that the host judges every address.

import { handle } from 'wasi:http/outgoing-handler'
import { Fields, OutgoingRequest } from 'wasi:http/types'
import { IncomingContent, sendContent } from '../http/body.js'
import { wait } from '../loop.js'
import { needHost } from '../phase.js'
import { Headers } from './headers.js'
import { Request } from './request.js'
import { Response } from './response.js'
import { encode } from './text.js'
import { URL } from './url.js'

const REDIRECTS_MAX = 20
const REDIRECT = [301, 302, 303, 307, 308]
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']
// The host writes these itself.
const HOST_HEADERS = ['host', 'connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'content-length']
// Not to be shown to a host they were not meant for.
const PRIVATE_HEADERS = ['authorization', 'cookie', 'proxy-authorization']

export async function fetch(input, init) {
  needHost('fetch')
  const request = new Request(input, init)
  const headers = new Headers(request.headers)
  for (const name of HOST_HEADERS) headers.delete(name)
  let { method } = request
  let url = parse(request.url)
  let content = request.takeContent()
  for (let hops = 0; ; hops++) {
    const response = await exchange(method, url, headers, content, request.signal)
    const location = response.headers.get('location')
    if (!REDIRECT.includes(response.status) || location === null || request.redirect === 'manual') {
      return Object.assign(response, { url: withoutHash(url), redirected: hops > 0 })
    }
    if (request.redirect === 'error') throw new TypeError(`${url} redirects`)
    if (hops === REDIRECTS_MAX) throw new TypeError(`more than ${REDIRECTS_MAX} redirects`)
    await response.takeContent()?.return()
    const next = parse(location, url)
    const { status } = response
    if ((status === 303 && method !== 'HEAD') || (status < 303 && method === 'POST')) {
      method = 'GET'
      content = null
      for (const name of [...headers.keys()]) if (name.startsWith('content-')) headers.delete(name)
    } else if (content !== null && typeof content !== 'string' && !(content instanceof Uint8Array)) {
      throw new TypeError('a request whose body is a stream cannot be redirected')
    }
    if (next.origin !== url.origin) for (const name of PRIVATE_HEADERS) headers.delete(name)
    url = next
  }
}

function parse(address, base) {
  const url = new URL(address, base)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new TypeError(`cannot fetch ${url.protocol}`)
  if (url.username || url.password) throw new TypeError('an address to fetch has no user and password in it')
  return url
}

function withoutHash(url) {
  return url.href.slice(0, url.href.length - url.hash.length)
}

/** One request, one response. */
async function exchange(method, url, headers, content, signal) {
  signal?.throwIfAborted()
  const fields = headers.toHost()
  if (typeof content === 'string') content = encode(content)
  if (content instanceof Uint8Array) fields.push(['content-length', encode(String(content.length))])
  const outgoing = new OutgoingRequest(Fields.fromList(fields))
  outgoing.setMethod(METHODS.includes(method) ? { tag: method.toLowerCase() } : { tag: 'other', val: method })
  outgoing.setScheme({ tag: url.protocol === 'https:' ? 'HTTPS' : 'HTTP' })
  outgoing.setAuthority(url.host)
  outgoing.setPathWithQuery(url.pathname + url.search)
  const body = content === null ? undefined : outgoing.body()
  let future
  try {
    future = handle(outgoing, null)
  } catch (error) {
    throw failure(url, error.payload ?? error)
  }
  const interruption = Promise.withResolvers()
  const onAbort = () => interruption.reject(signal.reason)
  signal?.addEventListener('abort', onAbort)
  const answered = wait(future.subscribe())
  if (body !== undefined) Promise.resolve(sendContent(body, content)).catch(interruption.reject)
  try {
    await Promise.race([answered, interruption.promise])
  } catch (error) {
    answered.cancel()
    future[Symbol.dispose]()
    throw error
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
  const outcome = future.get().val
  future[Symbol.dispose]()
  if (outcome.tag === 'err') throw failure(url, outcome.val)
  return responseFrom(outcome.val, method)
}

function responseFrom(incoming, method) {
  const fields = incoming.headers()
  const headers = Headers.fromHost(fields.entries())
  fields[Symbol.dispose]()
  const status = incoming.status()
  if (method !== 'HEAD' && ![204, 205, 304].includes(status)) {
    return new Response(new IncomingContent(incoming, true), { status, headers })
  }
  incoming[Symbol.dispose]()
  return new Response(null, { status, headers })
}

/** As browsers do it, a `TypeError`; `cause` is the error-code of wasi:http. */
function failure(url, cause) {
  const detail = cause.val === undefined || cause.val === null ? '' : ` ${JSON.stringify(cause.val)}`
  return new TypeError(`fetch of ${url.origin} failed: ${cause.tag ?? cause}${detail}`, { cause })
}
