// `URL` and `URLSearchParams` after the URL Standard, https://url.spec.whatwg.org, in a small form: names
// of hosts beyond ASCII are folded by Unicode's NFKC instead of the IDNA tables, and `file:` has no rules
// for drive letters.

const PORTS = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443', 'ftp:': '21', 'file:': '' }

// Which characters each part escapes.
const CONTROL = /[^\x20-\x7e]/gu
const FRAGMENT = /[^\x21\x23-\x3b\x3d\x3f-\x5f\x61-\x7e]/gu
const QUERY = /[^\x21\x24-\x3b\x3d\x3f-\x7e]/gu
const SPECIAL_QUERY = /[^\x21\x24-\x26\x28-\x3b\x3d\x3f-\x7e]/gu
const PATH = /[^\x21\x24-\x3b\x3d\x40-\x5d\x5f\x61-\x7a\x7c\x7e]/gu
const USER = /[^\x21\x24-\x2e\x30-\x39\x41-\x5a\x5f\x61-\x7a\x7e]/gu
const NOT_IN_A_HOST = /[\0\t\n\r #/:<>?@[\\\]^|]/
const NOT_IN_A_DOMAIN = /[\0-\x20"#%/:<>?@[\\\]^`{|}\x7f]/

function escapeAll(text, set) {
  return text.toWellFormed().replace(set, (character) =>
    character <= '\x7f'
      ? `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
      : encodeURIComponent(character),
  )
}

export class URL {
  #protocol
  #username = ''
  #password = ''
  #host = null
  #port = ''
  // A string if the path is opaque, else its segments.
  #path = []
  #query = null
  #hash = null
  #params

  constructor(address, base) {
    const from = base === undefined ? undefined : base instanceof URL ? base : new URL(base)
    this.#parse(String(address), from)
  }

  static canParse(address, base) {
    return URL.parse(address, base) !== null
  }

  static parse(address, base) {
    try {
      return new URL(address, base)
    } catch {
      return null
    }
  }

  get href() {
    const user = this.#username || this.#password ? `${this.#username}${this.#password && `:${this.#password}`}@` : ''
    const authority = this.#host === null ? (this.pathname.startsWith('//') ? '/.' : '') : `//${user}${this.host}`
    const query = this.#query === null ? '' : `?${this.#query}`
    const hash = this.#hash === null ? '' : `#${this.#hash}`
    return `${this.#protocol}${authority}${this.pathname}${query}${hash}`
  }

  set href(address) {
    const parsed = new URL(address)
    this.#protocol = parsed.#protocol
    this.#username = parsed.#username
    this.#password = parsed.#password
    this.#host = parsed.#host
    this.#port = parsed.#port
    this.#path = parsed.#path
    this.#hash = parsed.#hash
    this.#setQuery(parsed.#query)
  }

  get origin() {
    return this.#isSpecial() && this.#protocol !== 'file:' ? `${this.#protocol}//${this.host}` : 'null'
  }

  get protocol() {
    return this.#protocol
  }

  set protocol(value) {
    const protocol = /^[a-z][a-z0-9+.-]*(?=:|$)/i.exec(value)?.[0].toLowerCase()
    if (protocol === undefined || `${protocol}:` in PORTS !== this.#isSpecial()) return
    this.#protocol = `${protocol}:`
    if (this.#port === PORTS[this.#protocol]) this.#port = ''
  }

  get username() {
    return this.#username
  }

  set username(value) {
    if (this.#host) this.#username = escapeAll(String(value), USER)
  }

  get password() {
    return this.#password
  }

  set password(value) {
    if (this.#host) this.#password = escapeAll(String(value), USER)
  }

  get host() {
    return this.hostname + (this.#port && `:${this.#port}`)
  }

  set host(value) {
    this.#attempt(() => this.#setHost(cut(value, this.#isSpecial())))
  }

  get hostname() {
    return this.#host ?? ''
  }

  set hostname(value) {
    this.#attempt(() => {
      const { host, port } = splitPort(cut(value, this.#isSpecial()))
      if (port === undefined) this.#setHost(host)
    })
  }

  get port() {
    return this.#port
  }

  set port(value) {
    this.#attempt(() => this.#setPort(/^\d*/.exec(value)[0]))
  }

  get pathname() {
    if (typeof this.#path === 'string') return this.#path
    return this.#path.length === 0 ? '' : `/${this.#path.join('/')}`
  }

  set pathname(value) {
    if (typeof this.#path !== 'string') this.#path = this.#segments(String(value).replace(/^[\\/]/, ''), [])
  }

  get search() {
    return this.#query ? `?${this.#query}` : ''
  }

  set search(value) {
    const text = String(value).replace(/^\?/, '')
    this.#setQuery(text === '' ? null : escapeAll(text, this.#isSpecial() ? SPECIAL_QUERY : QUERY))
  }

  get searchParams() {
    this.#params ??= new URLSearchParams(this.#query ?? '', (query) => (this.#query = query === '' ? null : query))
    return this.#params
  }

  get hash() {
    return this.#hash ? `#${this.#hash}` : ''
  }

  set hash(value) {
    const text = String(value).replace(/^#/, '')
    this.#hash = text === '' ? null : escapeAll(text, FRAGMENT)
  }

  toString() {
    return this.href
  }

  toJSON() {
    return this.href
  }

  get [Symbol.toStringTag]() {
    return 'URL'
  }

  #isSpecial() {
    return this.#protocol in PORTS
  }

  #parse(given, base) {
    let rest = given.replace(/^[\0-\x20]+|[\0-\x20]+$/g, '').replace(/[\t\n\r]/g, '')
    const invalid = () => new TypeError(`not a URL: ${JSON.stringify(given)}`)
    const hashAt = rest.indexOf('#')
    if (hashAt >= 0) {
      this.#hash = escapeAll(rest.slice(hashAt + 1), FRAGMENT)
      rest = rest.slice(0, hashAt)
    }
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(rest)
    if (scheme === null && base === undefined) throw invalid()
    this.#protocol = scheme === null ? base.#protocol : scheme[0].toLowerCase()
    const special = this.#isSpecial()
    let relative = scheme === null
    if (scheme !== null) {
      rest = rest.slice(scheme[0].length)
      // "https:path" is relative to a base of the same scheme.
      if (special && base?.#protocol === this.#protocol && !/^[\\/]{2}/.test(rest)) relative = true
    }
    const queryAt = rest.indexOf('?')
    if (queryAt >= 0) {
      this.#query = escapeAll(rest.slice(queryAt + 1), special ? SPECIAL_QUERY : QUERY)
      rest = rest.slice(0, queryAt)
    }
    if (special) rest = rest.replaceAll('\\', '/')
    const web = special && this.#protocol !== 'file:'
    try {
      if (relative && typeof base.#path === 'string') this.#resolve(rest, base, queryAt >= 0)
      else if (rest.startsWith('//') || (web && !relative)) {
        rest = rest.replace(web ? /^\/*/ : '//', '')
        const end = rest.indexOf('/')
        this.#setAuthority(end < 0 ? rest : rest.slice(0, end))
        rest = end < 0 ? '' : rest.slice(end)
        this.#path = rest === '' && !special ? [] : this.#segments(rest.replace(/^\//, ''), [])
      } else if (relative) this.#resolve(rest, base, queryAt >= 0)
      else if (special || rest.startsWith('/')) {
        this.#host = special ? '' : null
        this.#path = this.#segments(rest.replace(/^\//, ''), [])
      } else this.#path = escapeAll(rest, CONTROL)
    } catch {
      throw invalid()
    }
  }

  #resolve(rest, base, hasQuery) {
    if (typeof base.#path === 'string') {
      if (rest !== '' || hasQuery || this.#hash === null) throw new TypeError('no path to start from')
    }
    this.#username = base.#username
    this.#password = base.#password
    this.#host = base.#host
    this.#port = base.#port
    if (rest === '') {
      this.#path = typeof base.#path === 'string' ? base.#path : [...base.#path]
      if (!hasQuery) this.#query = base.#query
    } else if (rest.startsWith('/')) this.#path = this.#segments(rest.slice(1), [])
    else this.#path = this.#segments(rest, base.#path.slice(0, -1))
  }

  #segments(text, path) {
    const segments = (this.#isSpecial() ? text.replaceAll('\\', '/') : text).split('/')
    segments.forEach((segment, index) => {
      const last = index === segments.length - 1
      const plain = segment.replace(/%2e/gi, '.')
      if (plain === '..') path.pop()
      if (plain !== '..' && plain !== '.') path.push(escapeAll(segment, PATH))
      else if (last) path.push('')
    })
    return path
  }

  #setAuthority(text) {
    const at = text.lastIndexOf('@')
    if (at >= 0) {
      const colon = text.slice(0, at).indexOf(':')
      this.#username = escapeAll(text.slice(0, colon < 0 ? at : colon), USER)
      this.#password = colon < 0 ? '' : escapeAll(text.slice(colon + 1, at), USER)
    }
    this.#setHost(text.slice(at + 1))
    if (at >= 0 && this.#host === '') throw new TypeError('a user without a host')
  }

  #setHost(text) {
    const { host, port } = splitPort(text)
    if (host === '' && this.#isSpecial() && this.#protocol !== 'file:') throw new TypeError('no host')
    if (host === '' && port !== undefined) throw new TypeError('a port without a host')
    this.#host = parseHost(host, this.#isSpecial())
    if (this.#protocol === 'file:' && this.#host === 'localhost') this.#host = ''
    if (port) this.#setPort(port)
  }

  #setPort(text) {
    if (!/^\d*$/.test(text) || Number(text) > 65535) throw new TypeError('not a port')
    const port = text === '' ? '' : String(Number(text))
    this.#port = port === PORTS[this.#protocol] ? '' : port
  }

  #setQuery(query) {
    this.#query = query
    this.#params?.[REPLACE](query ?? '')
  }

  // A setter that is given nonsense changes nothing.
  #attempt(change) {
    if (typeof this.#path === 'string') return
    const { host, port } = { host: this.#host, port: this.#port }
    try {
      change()
    } catch {
      this.#host = host
      this.#port = port
    }
  }
}

function cut(value, special) {
  return String(value).split(special ? /[/\\?#]/ : /[/?#]/)[0]
}

function splitPort(text) {
  const colon = text.lastIndexOf(':')
  if (colon < 0 || text.indexOf(']', colon) >= 0) return { host: text }
  return { host: text.slice(0, colon), port: text.slice(colon + 1) }
}

function parseHost(text, special) {
  if (text.startsWith('[')) {
    if (!text.endsWith(']')) throw new TypeError('an address without an end')
    return `[${formatIpv6(parseIpv6(text.slice(1, -1)))}]`
  }
  if (!special) {
    if (NOT_IN_A_HOST.test(text)) throw new TypeError('not a host')
    return escapeAll(text, CONTROL)
  }
  const domain = decodeURIComponent(text).normalize('NFKC').toLowerCase().replace(/[。．｡]/g, '.').replace(/\xad/g, '')
  const ascii = domain.split('.').map((label) => (/[^\0-\x7f]/.test(label) ? `xn--${punycode(label)}` : label)).join('.')
  if (NOT_IN_A_DOMAIN.test(ascii)) throw new TypeError('not a host')
  const labels = ascii.replace(/\.$/, '').split('.')
  return /^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1)) ? parseIpv4(labels) : ascii
}

function parseIpv4(labels) {
  if (labels.length > 4) throw new TypeError('not an IPv4 address')
  const numbers = labels.map((label) => {
    const radix = /^0x/.test(label) ? 16 : label.length > 1 && label[0] === '0' ? 8 : 10
    const digits = radix === 16 ? label.slice(2) : label
    if (label === '' || !{ 8: /^[0-7]+$/, 10: /^\d+$/, 16: /^[0-9a-f]*$/ }[radix].test(digits)) {
      throw new TypeError('not an IPv4 address')
    }
    return digits === '' ? 0 : parseInt(digits, radix)
  })
  const last = numbers.pop()
  if (numbers.some((number) => number > 255) || last >= 256 ** (4 - numbers.length)) {
    throw new TypeError('not an IPv4 address')
  }
  const address = numbers.reduce((sum, number, index) => sum + number * 256 ** (3 - index), last)
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.')
}

function parseIpv6(text) {
  const fail = () => new TypeError('not an IPv6 address')
  const ipv4 = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  let groups = text
  if (ipv4 !== null) {
    const bytes = ipv4[2].split('.').map(Number)
    if (bytes.some((byte) => byte > 255) || /(^|\.)0\d/.test(ipv4[2])) throw fail()
    groups = `${ipv4[1]}${((bytes[0] << 8) | bytes[1]).toString(16)}:${((bytes[2] << 8) | bytes[3]).toString(16)}`
  }
  const halves = groups.split('::')
  if (halves.length > 2) throw fail()
  const [head, tail] = halves.map((half) => (half === '' ? [] : half.split(':')))
  if ([...head, ...(tail ?? [])].some((group) => !/^[0-9a-f]{1,4}$/i.test(group))) throw fail()
  const missing = 8 - head.length - (tail?.length ?? 0)
  if (tail === undefined ? missing !== 0 : missing < 1) throw fail()
  return [...head, ...new Array(missing).fill('0'), ...(tail ?? [])].map((group) => parseInt(group, 16))
}

function formatIpv6(groups) {
  const text = groups.map((group) => group.toString(16)).join(':')
  const runs = text.match(/(?<![^:])0(:0)+(?![^:])/g) ?? []
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '')
  if (longest === '') return text
  const at = text.search(new RegExp(`(?<![^:])${longest}(?![^:])`))
  return `${text.slice(0, at).replace(/:$/, '')}::${text.slice(at + longest.length).replace(/^:/, '')}`
}

// RFC 3492.
function punycode(label) {
  const points = [...label].map((character) => character.codePointAt(0))
  const basic = points.filter((point) => point < 128)
  let out = String.fromCharCode(...basic) + (basic.length > 0 ? '-' : '')
  let n = 128
  let delta = 0
  let bias = 72
  let done = basic.length
  while (done < points.length) {
    const next = Math.min(...points.filter((point) => point >= n))
    delta += (next - n) * (done + 1)
    n = next
    for (const point of points) {
      if (point < n) delta++
      if (point !== n) continue
      let q = delta
      for (let k = 36; ; k += 36) {
        const threshold = Math.min(Math.max(k - bias, 1), 26)
        if (q < threshold) break
        out += digit(threshold + ((q - threshold) % (36 - threshold)))
        q = Math.floor((q - threshold) / (36 - threshold))
      }
      out += digit(q)
      delta = Math.floor(delta / (done === basic.length ? 700 : 2))
      delta += Math.floor(delta / (done + 1))
      let k = 0
      for (; delta > 455; k += 36) delta = Math.floor(delta / 35)
      bias = k + Math.floor((36 * delta) / (delta + 38))
      delta = 0
      done++
    }
    delta++
    n++
  }
  return out
}

function digit(value) {
  return String.fromCharCode(value < 26 ? value + 97 : value + 22)
}

const REPLACE = Symbol('replace')

export class URLSearchParams {
  #pairs = []
  #changed

  /** `changed` is the URL's own: it is told the new query. */
  constructor(init = '', changed = () => {}) {
    this.#changed = changed
    if (typeof init === 'object' && init !== null) {
      const pairs = typeof init[Symbol.iterator] === 'function' ? init : Object.entries(init)
      for (const [name, value] of pairs) this.#pairs.push([String(name), String(value)])
    } else this[REPLACE](String(init).replace(/^\?/, ''))
  }

  [REPLACE](query) {
    this.#pairs = query
      .split('&')
      .filter((part) => part !== '')
      .map((part) => {
        const at = part.indexOf('=')
        return at < 0 ? [unescapeForm(part), ''] : [unescapeForm(part.slice(0, at)), unescapeForm(part.slice(at + 1))]
      })
  }

  get size() {
    return this.#pairs.length
  }

  append(name, value) {
    this.#pairs.push([String(name), String(value)])
    this.#tell()
  }

  delete(name, value) {
    this.#pairs = this.#pairs.filter((pair) => pair[0] !== String(name) || (value !== undefined && pair[1] !== String(value)))
    this.#tell()
  }

  get(name) {
    return this.#pairs.find((pair) => pair[0] === String(name))?.[1] ?? null
  }

  getAll(name) {
    return this.#pairs.filter((pair) => pair[0] === String(name)).map((pair) => pair[1])
  }

  has(name, value) {
    return this.#pairs.some((pair) => pair[0] === String(name) && (value === undefined || pair[1] === String(value)))
  }

  set(name, value) {
    const first = this.#pairs.find((pair) => pair[0] === String(name))
    if (first === undefined) return this.append(name, value)
    first[1] = String(value)
    this.#pairs = this.#pairs.filter((pair) => pair === first || pair[0] !== String(name))
    this.#tell()
  }

  sort() {
    this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    this.#tell()
  }

  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this)
  }

  *entries() {
    for (const [name, value] of this.#pairs) yield [name, value]
  }

  *keys() {
    for (const [name] of this.#pairs) yield name
  }

  *values() {
    for (const [, value] of this.#pairs) yield value
  }

  [Symbol.iterator]() {
    return this.entries()
  }

  toString() {
    return this.#pairs.map(([name, value]) => `${escapeForm(name)}=${escapeForm(value)}`).join('&')
  }

  get [Symbol.toStringTag]() {
    return 'URLSearchParams'
  }

  #tell() {
    this.#changed(this.toString())
  }
}

function escapeForm(text) {
  return encodeURIComponent(text.toWellFormed())
    .replace(/[!'()~]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+')
}

// A "%" that starts no escape stands for itself.
function unescapeForm(text) {
  const spaced = text.replaceAll('+', ' ')
  try {
    return decodeURIComponent(spaced)
  } catch {
    return spaced.replace(/(%[0-9a-f]{2})+/gi, (run) => {
      try {
        return decodeURIComponent(run)
      } catch {
        return '\ufffd'
      }
    })
  }
}
