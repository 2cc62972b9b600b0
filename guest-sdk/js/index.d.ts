// Types of '@pumice/sdk' and of the globals that a function has. Meant for `"lib": ["ES2023"]` without "DOM".

/** Makes an HTTP function of `handler`. Each call runs in a fresh instance: nothing is kept between calls. */
export function defineFunction(handler: (request: Request, ctx: Context) => Response | Promise<Response>): FunctionDefinition

export interface Context {
  /** Keeps the call alive after its response until `promise` is settled, within the function's limits. */
  waitUntil(promise: Promise<unknown>): void
}

declare const definition: unique symbol
/** What a function's file exports by default. */
export interface FunctionDefinition {
  readonly [definition]: 'function'
}

/** Thrown by a handler, it becomes a response with `status` (400 to 599) and the JSON `{code, message}`. */
export class HttpError extends Error {
  constructor(status: number, code: string, message: string, options?: { cause?: unknown })
  readonly status: number
  readonly code: string
}

/** A refusal by the platform. */
export class PlatformError extends Error {
  /** The case of the interface's error, for example `not-granted`, `too-large`, `unavailable`. */
  readonly code: string
}

type LogLine = (message: unknown, fields?: Record<string, unknown>) => void
/** Lines for the app's log. A message beyond 16 KiB is cut. */
export const log: { trace: LogLine; debug: LogLine; info: LogLine; warn: LogLine; error: LogLine }

/** The `[config]` table of the app's manifest. */
export const config: {
  get(key: string): string | null
  all(): Record<string, string>
}

/** Secrets that this entry's manifest lists. */
export const secrets: {
  /** The value. Throws a `PlatformError`: `not-granted`, `not-set`. */
  get(name: string): string
}

/** Values that may be gone at any time. Keys have at most 512 bytes, values at most 1 MiB; `ttlMs` is a day by default. */
export const cache: {
  get(key: string): string | null
  getBytes(key: string): Uint8Array | null
  set(key: string, value: string | ArrayBuffer | ArrayBufferView, options?: { ttlMs?: number }): void
  delete(key: string): void
  /** Adds `by` (1) in one step and returns the sum; a new counter starts at 0. */
  increment(key: string, by?: number, options?: { ttlMs?: number }): number
}

export interface Caller {
  /** `anon`, `authenticated`, `service_role`, or a role of the app's own. */
  role: string
  /** The signed-in user's id, a UUID. */
  userId: string | null
  /** The verified claims of the caller's token. */
  claims: Record<string, unknown>
}

/** Who calls, and what they may do. */
export const identity: {
  caller(): Caller
  /** The name of the app. */
  app(): string
  /** Whether the caller holds `permission`, written `namespace.action`. Throws a `PlatformError`: `unknown-permission`, `not-configured`. */
  hasPermission(permission: string): boolean
}

declare global {
  type BodyChunk = string | ArrayBuffer | ArrayBufferView
  type BodyInit = BodyChunk | URLSearchParams | ReadableStream | Iterable<BodyChunk> | AsyncIterable<BodyChunk>
  type HeadersInit = Headers | Iterable<readonly [string, string]> | Record<string, string>

  class Headers implements Iterable<[string, string]> {
    constructor(init?: HeadersInit)
    append(name: string, value: string): void
    delete(name: string): void
    get(name: string): string | null
    getSetCookie(): string[]
    has(name: string): boolean
    set(name: string, value: string): void
    forEach(callback: (value: string, name: string, headers: Headers) => void, self?: unknown): void
    entries(): IterableIterator<[string, string]>
    keys(): IterableIterator<string>
    values(): IterableIterator<string>
    [Symbol.iterator](): IterableIterator<[string, string]>
  }

  interface Body {
    readonly body: ReadableStream<Uint8Array> | null
    readonly bodyUsed: boolean
    text(): Promise<string>
    json<T = any>(): Promise<T>
    bytes(): Promise<Uint8Array>
    arrayBuffer(): Promise<ArrayBuffer>
  }

  interface RequestInit {
    method?: string
    headers?: HeadersInit
    body?: BodyInit | null
    redirect?: 'follow' | 'manual' | 'error'
    signal?: AbortSignal | null
  }

  interface Request extends Body {}
  class Request {
    constructor(input: string | URL | Request, init?: RequestInit)
    readonly method: string
    readonly url: string
    readonly headers: Headers
    readonly redirect: 'follow' | 'manual' | 'error'
    readonly signal: AbortSignal | null
    clone(): Request
  }

  interface ResponseInit {
    status?: number
    statusText?: string
    headers?: HeadersInit
  }

  interface Response extends Body {}
  class Response {
    /** Chunks of an iterable or a stream are sent as they are produced. */
    constructor(body?: BodyInit | null, init?: ResponseInit)
    static json(value: unknown, init?: ResponseInit): Response
    static redirect(url: string | URL, status?: 301 | 302 | 303 | 307 | 308): Response
    static error(): Response
    readonly status: number
    readonly statusText: string
    readonly ok: boolean
    readonly headers: Headers
    readonly url: string
    readonly redirected: boolean
    readonly type: 'default' | 'error'
    clone(): Response
  }

  /** Only to the hosts that the entry's `egress` lists; follows up to 20 redirects, each judged like a new request. */
  function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>

  class URL {
    constructor(url: string | URL, base?: string | URL)
    static canParse(url: string | URL, base?: string | URL): boolean
    static parse(url: string | URL, base?: string | URL): URL | null
    href: string
    readonly origin: string
    protocol: string
    username: string
    password: string
    host: string
    hostname: string
    port: string
    pathname: string
    search: string
    readonly searchParams: URLSearchParams
    hash: string
    toString(): string
    toJSON(): string
  }

  class URLSearchParams implements Iterable<[string, string]> {
    constructor(init?: string | Iterable<readonly [string, string]> | Record<string, string>)
    readonly size: number
    append(name: string, value: string): void
    delete(name: string, value?: string): void
    get(name: string): string | null
    getAll(name: string): string[]
    has(name: string, value?: string): boolean
    set(name: string, value: string): void
    sort(): void
    forEach(callback: (value: string, name: string, params: URLSearchParams) => void, self?: unknown): void
    entries(): IterableIterator<[string, string]>
    keys(): IterableIterator<string>
    values(): IterableIterator<string>
    [Symbol.iterator](): IterableIterator<[string, string]>
    toString(): string
  }

  interface ReadableStreamController<T> {
    readonly desiredSize: number | null
    enqueue(chunk: T): void
    close(): void
    error(reason?: unknown): void
  }

  interface ReadableStreamReader<T> {
    readonly closed: Promise<void>
    read(): Promise<{ done: false; value: T } | { done: true; value: undefined }>
    cancel(reason?: unknown): Promise<void>
    releaseLock(): void
  }

  class ReadableStream<T = any> implements AsyncIterable<T> {
    constructor(
      source?: {
        start?(controller: ReadableStreamController<T>): void | Promise<void>
        pull?(controller: ReadableStreamController<T>): void | Promise<void>
        cancel?(reason?: unknown): void | Promise<void>
      },
      strategy?: { highWaterMark?: number },
    )
    static from<T>(iterable: Iterable<T> | AsyncIterable<T>): ReadableStream<T>
    readonly locked: boolean
    getReader(): ReadableStreamReader<T>
    cancel(reason?: unknown): Promise<void>
    tee(): [ReadableStream<T>, ReadableStream<T>]
    values(options?: { preventCancel?: boolean }): AsyncIterableIterator<T>
    [Symbol.asyncIterator](options?: { preventCancel?: boolean }): AsyncIterableIterator<T>
  }

  class TextEncoder {
    readonly encoding: 'utf-8'
    encode(text?: string): Uint8Array
    encodeInto(text: string, target: Uint8Array): { read: number; written: number }
  }

  /** UTF-8 only. */
  class TextDecoder {
    constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean })
    readonly encoding: 'utf-8'
    readonly fatal: boolean
    readonly ignoreBOM: boolean
    decode(bytes?: ArrayBuffer | ArrayBufferView, options?: { stream?: boolean }): string
  }

  class AbortSignal {
    static abort(reason?: unknown): AbortSignal
    static timeout(milliseconds: number): AbortSignal
    static any(signals: Iterable<AbortSignal>): AbortSignal
    readonly aborted: boolean
    readonly reason: any
    onabort: ((event: { type: 'abort'; target: AbortSignal }) => void) | null
    addEventListener(type: 'abort', listener: (event: { type: 'abort'; target: AbortSignal }) => void): void
    removeEventListener(type: 'abort', listener: (event: { type: 'abort'; target: AbortSignal }) => void): void
    throwIfAborted(): void
  }

  class AbortController {
    readonly signal: AbortSignal
    abort(reason?: unknown): void
  }

  class DOMException extends Error {
    constructor(message?: string, name?: string)
    readonly code: number
  }

  type Print = (...values: unknown[]) => void
  /** Into the app's log; `log` and `dir` at level info. */
  const console: {
    trace: Print
    debug: Print
    log: Print
    info: Print
    warn: Print
    error: Print
    dir: Print
    assert(condition: unknown, ...values: unknown[]): void
  }

  const crypto: {
    getRandomValues<T extends ArrayBufferView>(array: T): T
    randomUUID(): string
  }

  /** Milliseconds since the first call of `now` in this invocation. */
  const performance: { now(): number }

  function setTimeout<A extends unknown[]>(callback: (...args: A) => void, milliseconds?: number, ...args: A): number
  function setInterval<A extends unknown[]>(callback: (...args: A) => void, milliseconds?: number, ...args: A): number
  function clearTimeout(id: number | undefined): void
  function clearInterval(id: number | undefined): void
  function queueMicrotask(callback: () => void): void
  function structuredClone<T>(value: T): T
  function atob(base64: string): string
  function btoa(binary: string): string
}
