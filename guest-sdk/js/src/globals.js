// The globals that authors may use by name. The build puts an import in place of each free name, and of
// `globalThis.<name>` where it is read, so that a component carries only those its code mentions.

import { AbortController, AbortSignal } from './web/abort.js'
import { crypto } from './web/crypto.js'
import { fetch } from './web/fetch.js'
import { Headers } from './web/headers.js'
import { performance } from './web/performance.js'
import { ReadableStream } from './web/streams.js'
import { Request } from './web/request.js'
import { Response } from './web/response.js'
import { structuredClone } from './web/clone.js'
import { TextDecoder, TextEncoder } from './web/text.js'
import { clearInterval, clearTimeout, setInterval, setTimeout } from './web/timers.js'
import { URL, URLSearchParams } from './web/url.js'

export {
  AbortController,
  AbortSignal,
  ReadableStream,
  Headers,
  Request,
  Response,
  TextDecoder,
  TextEncoder,
  URL,
  URLSearchParams,
  clearInterval,
  clearTimeout,
  crypto,
  fetch,
  performance,
  setInterval,
  setTimeout,
  structuredClone,
}
