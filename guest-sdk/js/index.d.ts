// Types of '@pumice/sdk' and of the globals that a function has. Meant for `"lib": ["ES2023"]` without "DOM".

/** Makes an HTTP function of `handler`. Each call runs in a fresh instance: nothing is kept between calls. */
export function defineFunction(handler: (request: Request, ctx: Context) => Response | Promise<Response>): FunctionDefinition

export interface Context {
  /** Keeps the call alive after its response until `promise` is settled, within the function's limits. */
  waitUntil(promise: Promise<unknown>): void
}

type Row = Record<string, any>

/** What happens to one row, or has happened. */
export interface Change<T = Row> {
  /** The row as it will be, or has become; null on delete. */
  row: T | null
  /** The row as it was; null on insert. */
  old: T | null
  operation: 'insert' | 'update' | 'delete'
  /** The table, without its schema when that is `public`. */
  table: string
  caller: Caller
}

declare const skipped: unique symbol
/** Returned by a before-trigger, it leaves the row out; the others go on. */
export function skip(): typeof skipped

/**
 * Makes a trigger of `handler`, which is called for each row; the manifest says whether before or after the change.
 *
 * Before the change: nothing returned keeps the row, also one that the handler has changed in place; a row that is
 * returned replaces it, and its columns that are not mentioned stay as they were; `reject` refuses the whole
 * statement. It may read and not write.
 *
 * After the change: it is called at least once, in order for each row; what it throws is a wish to be called again.
 */
export function defineTrigger<T = Row>(
  handler: (change: Change<T>) => Verdict<T> | Promise<Verdict<T>>,
): TriggerDefinition
type Verdict<T> = Partial<T> | typeof skipped | undefined | void

/**
 * Makes a procedure of `handler`, which returns anything with a JSON form. All it does is one transaction; `reject`,
 * like any exception, rolls it back.
 */
export function defineProcedure<A = any, R = unknown>(
  handler: (args: A, context: { readonly caller: Caller }) => R | Promise<R>,
): ProcedureDefinition

/** One run of a script. */
export interface Job<P = any> {
  /** The same for every attempt: use it to do a thing once. */
  id: string
  /** From 1. */
  attempt: number
  /** When it was due. */
  scheduledFor: Date
  payload: P
}

/** Makes a script of `handler`, run as a job. What it throws counts as a failed attempt. */
export function defineScript<P = any>(handler: (job: Job<P>) => void | Promise<void>): ScriptDefinition

/** Somebody who is about to become a user of the app. */
export interface NewUser {
  /** The id that the user will have, a UUID. */
  id: string
  email: string | null
  /** Digits, without `+`. */
  phone: string | null
  /** What users say of themselves. */
  userMetadata: Record<string, any>
  /** What the app says of the user. Its `provider` and `providers` are the host's. */
  appMetadata: Record<string, any>
  isAnonymous: boolean
  /** What they come with: `email`, `phone`, `anonymous`, or a provider such as `google`. */
  provider: string
  /** The address that the request came from. */
  ip: string | null
}

/** What a user gets in place of the metadata they came with; what is left out stays. */
export interface NewMetadata {
  userMetadata?: Record<string, unknown>
  appMetadata?: Record<string, unknown>
}

/**
 * Makes a hook of `handler`, which is asked before somebody becomes a user. Nothing returned allows them; `reject`
 * refuses them, and its code and message reach the client. It may read and not write.
 */
export function defineBeforeUserCreated(
  handler: (user: NewUser) => NewMetadata | undefined | void | Promise<NewMetadata | undefined | void>,
): HookDefinition

/** An access token that is about to be made. */
export interface ClaimsRequest {
  /** The user's id, a UUID. */
  userId: string
  /** The claims that the token would have. */
  claims: Record<string, any>
  /** How the user has proved who they are: `password`, `otp`, `oauth`, `token_refresh` … */
  authenticationMethod: string
}

/**
 * Makes a hook of `handler`, which returns the claims of an access token, at each sign-in and refresh; nothing
 * returned leaves them as they are. Those that say who the user is and how they signed in stay in any case. It may
 * read and not write.
 */
export function defineCustomClaims(
  handler: (
    request: ClaimsRequest,
  ) => Record<string, unknown> | undefined | void | Promise<Record<string, unknown> | undefined | void>,
): HookDefinition

/** What a user is to be told. */
export interface Message {
  channel: 'email' | 'sms'
  /** An address, or a phone number's digits without `+`. */
  to: string
  /** What it is about. */
  kind:
    | 'confirmation'
    | 'invite'
    | 'magic_link'
    | 'recovery'
    | 'email_change'
    | 'phone_change'
    | 'reauthentication'
    | 'otp'
    | (string & {})
  /** The code that the user may type in. */
  token: string
  /** What a link of the app's own carries to `/auth/v1/verify` in place of the code. */
  tokenHash: string | null
  /** The link that does it in one step. */
  confirmationUrl: string | null
  /** The app's own address. */
  siteUrl: string
  /** Where the link leads in the end. */
  redirectTo: string | null
  /** The user as `/auth/v1/user` shows them. */
  user: Record<string, any>
  /** Of a change: the address or number that is to be theirs. */
  newAddress: string | null
}

/**
 * Makes a hook of `handler`, which sends mails and text messages to the app's users: the host then sends none. What
 * `reject` says reaches the client. It may write, and call the hosts in its `egress`.
 */
export function defineSendMessage(handler: (message: Message) => void | Promise<void>): HookDefinition

declare const definition: unique symbol
/** What a function's file exports by default. */
export interface FunctionDefinition {
  readonly [definition]: 'function'
}
export interface TriggerDefinition {
  readonly [definition]: 'trigger'
}
export interface ProcedureDefinition {
  readonly [definition]: 'procedure'
}
export interface ScriptDefinition {
  readonly [definition]: 'script'
}
export interface HookDefinition {
  readonly [definition]: 'hook'
}

/**
 * Refuses what is being asked: `code`, a short stable word, and `message` reach the client. From a function it is a
 * response with status 400.
 */
export function reject(code: string, message: string): never
/** What `reject` throws. */
export class Rejection extends HttpError {
  constructor(code: string, message: string)
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

/** Why a call on the app's tables failed. */
export class DataError extends Error {
  /**
   * PostgreSQL's five characters, for example `23505` for a broken unique constraint; the code of a trigger's
   * rejection; `PGRST116` where one row was asked for; `no-filter`, `invalid`; or the name of the error's case in
   * the interface: `not-in-before-trigger`, `transaction-open`, `transaction-ended`, `too-large` …
   */
  readonly code: string
  readonly details: string | null
  readonly hint: string | null
}

export type Result<T> = { data: T; error: null } | { data: null; error: DataError }

/** The form of generated types: `{ public: { Tables: { members: { Row: …, Insert: …, Update: … } } } }`. */
export interface AnyDatabase {
  public: { Tables: Record<string, AnyTable>; Views?: Record<string, { Row: Row }> }
}
interface AnyTable {
  Row: Row
  Insert: Row
  Update: Row
}
type Tables<D extends AnyDatabase> = D['public']['Tables']

/** The app's tables, in the words of supabase-js. */
export interface Data<D extends AnyDatabase = AnyDatabase> {
  from<N extends keyof Tables<D> & string>(table: N): Table<Tables<D>[N]>
  /** As the app itself, which policies do not bind. */
  asApp(): Data<D>
  /** One SQL statement as the app itself, with `$1 …` bound to `parameters`. */
  sql<T = Row>(statement: string, parameters?: unknown[]): Promise<Result<T[]>>
  /**
   * Calls that happen together or not at all: kept if `work` ends well, undone if it throws. Inside, calls throw a
   * `DataError` where they would answer with an error. One at a time, open for at most 500 ms.
   */
  transaction<T>(work: (transaction: Transaction<D>) => T | Promise<T>): Promise<T>
}

/** What `work` gets: its calls throw, so `error` is always null. */
export interface Transaction<D extends AnyDatabase = AnyDatabase> {
  from<N extends keyof Tables<D> & string>(table: N): Table<Tables<D>[N], true>
  sql<T = Row>(statement: string, parameters?: unknown[]): Promise<{ data: T[]; error: null }>
}

/**
 * Calls run as the caller of the invocation, under the same grants, policies and triggers as a request from outside.
 * With types of the tables: `const db: Data<Database> = data`.
 */
export const data: Data<any>

export interface Table<T extends AnyTable, Throws extends boolean = false> {
  /** Columns in the dialect's grammar, `id,total` or `*,customer(name)`; all by default. */
  select<R = T['Row']>(columns?: string): Query<T['Row'], R[], Throws>
  /** Writes a row, or several; answers with them only after `select`, which takes names of columns here. */
  insert(values: T['Insert'] | T['Insert'][]): Query<T['Row'], null, Throws>
  /** As `insert`, but a row that meets an existing one by the columns `onConflict` (the primary key) updates it. */
  upsert(values: T['Insert'] | T['Insert'][], options?: { onConflict?: string }): Query<T['Row'], null, Throws>
  /** Needs a filter. Answers with the rows only after `select`. */
  update(values: T['Update']): Query<T['Row'], null, Throws>
  /** Needs a filter. Answers with the rows only after `select`. */
  delete(): Query<T['Row'], null, Throws>
}

type Answer<T, Throws extends boolean> = Throws extends true ? { data: T; error: null } : Result<T>
type Column<T> = (keyof T & string) | (string & {})
type Value<T, C> = C extends keyof T ? T[C] : unknown

/** Does nothing until it is awaited. */
export interface Query<T, R, Throws extends boolean = false> extends PromiseLike<Answer<R, Throws>> {
  /** After a write: answers with the rows. */
  select<S = T>(columns?: string): Query<T, S[], Throws>

  eq<C extends Column<T>>(column: C, value: NonNullable<Value<T, C>>): this
  neq<C extends Column<T>>(column: C, value: NonNullable<Value<T, C>>): this
  gt(column: Column<T>, value: unknown): this
  gte(column: Column<T>, value: unknown): this
  lt(column: Column<T>, value: unknown): this
  lte(column: Column<T>, value: unknown): this
  /** By a pattern with `%` and `_`. */
  like(column: Column<T>, pattern: string): this
  ilike(column: Column<T>, pattern: string): this
  /** By a regular expression. */
  regexMatch(column: Column<T>, pattern: string): this
  regexIMatch(column: Column<T>, pattern: string): this
  is(column: Column<T>, value: boolean | null): this
  /** Unlike `neq`, a null is distinct from every value. */
  isDistinct(column: Column<T>, value: unknown): this
  in<C extends Column<T>>(column: C, values: Iterable<Value<T, C>>): this
  notIn<C extends Column<T>>(column: C, values: Iterable<Value<T, C>>): this
  /** A list for an array, a string such as `[1,5)` for a range, an object for JSON. */
  contains(column: Column<T>, value: string | readonly unknown[] | Row): this
  containedBy(column: Column<T>, value: string | readonly unknown[] | Row): this
  overlaps(column: Column<T>, value: string | readonly unknown[]): this
  rangeGt(column: Column<T>, range: string): this
  rangeGte(column: Column<T>, range: string): this
  rangeLt(column: Column<T>, range: string): this
  rangeLte(column: Column<T>, range: string): this
  rangeAdjacent(column: Column<T>, range: string): this
  textSearch(column: Column<T>, query: string, options?: { type?: 'plain' | 'phrase' | 'websearch'; config?: string }): this
  /** `eq` for each column. */
  match(values: Partial<T> | Row): this
  not(column: Column<T>, operator: string, value: unknown): this
  /** At least one of several conditions, in the dialect's grammar: `age.lt.18,vip.is.true`. */
  or(conditions: string): this
  /** Any condition in the dialect's words. */
  filter(column: Column<T>, operator: string, value: unknown): this

  order(column: Column<T>, options?: { ascending?: boolean; nullsFirst?: boolean }): this
  limit(rows: number): this
  /** The rows from number `first` to number `last`, both included, counted from 0. */
  range(first: number, last: number): this

  /** `data` is the only row; none or several are an error. */
  single(): Query<T, R extends (infer S)[] ? S : R, Throws>
  /** `data` is the only row, or null; several are an error. */
  maybeSingle(): Query<T, (R extends (infer S)[] ? S : R) | null, Throws>
  /** Has errors thrown. */
  throwOnError(): Query<T, R, true>
}

/** Runs of the app's scripts, later. */
export const jobs: {
  /**
   * Adds a job and returns its id. Inside a transaction it exists once that commits. Throws a `PlatformError`:
   * `no-script`, `invalid`, `not-in-before-trigger` …
   */
  enqueue(
    script: string,
    payload?: unknown,
    options?: {
      /** Not before this instant; a number is milliseconds since 1970. */
      runAt?: Date | number
      /** While a job with this key is waiting, another with the same key is not added. */
      uniqueKey?: string
      /** 1 to 25; the script's own setting by default. */
      attemptsMax?: number
    },
  ): string
}

/** An object of a bucket, without its content. */
export interface FileObject {
  readonly name: string
  readonly size: number
  readonly contentType: string
  readonly etag: string
  readonly updatedAt: Date
}

/** The app's buckets. All throw a `PlatformError`: `no-bucket`, `no-object`, `invalid-name`, `denied`, `too-large` … */
export const files: {
  /** An object with its content, to be read once, as it comes. */
  get(bucket: string, name: string): Promise<FileObject & Body>
  /** Writes an object in place of any with its name; chunks of an iterable go out as they are produced. */
  put(bucket: string, name: string, content: BodyInit, options?: { contentType?: string }): Promise<FileObject>
  delete(bucket: string, name: string): Promise<void>
  /** Objects whose name begins with `prefix`, in order of name, at most 1,000 after the name `after`. */
  list(bucket: string, prefix?: string, options?: { after?: string }): Promise<FileObject[]>
}

/** Messages to the app's connected clients. Throws a `PlatformError`: `too-large`, `not-in-before-trigger` … */
export const messaging: {
  /** Sends `payload` under the name `event`: to everybody on a channel, to every socket of a user, or to everyone. */
  publish(target: { channel: string } | { user: string } | 'everyone', event: string, payload?: unknown): void
  /** Who is on `channel` now: from presence key to what each has told of itself. */
  presence(channel: string): Record<string, any>
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
