// UTF-8, done by the engine's native functions as far as they reach. A loop in JavaScript costs seven times
// as much for each character, and a regular expression that looks for one beyond ASCII more than all of this.

/** The UTF-8 bytes of `string`; a lone surrogate becomes U+FFFD. */
export function encode(string) {
  return binaryBytes(utf8(string.toWellFormed()))
}

/** The UTF-8 bytes of `string`, each as the character of that number. */
function utf8(string) {
  return unescape(encodeURIComponent(string))
}

/** One byte for each character of `string`, all of which are below U+0100. */
export function binaryBytes(string) {
  return Uint8Array.fromBase64(btoa(string))
}

/** The text of UTF-8 `bytes`; what is not UTF-8 becomes U+FFFD, or throws if `fatal`. */
export function decode(bytes, fatal = false) {
  const binary = atob(bytes.toBase64())
  // Only ASCII has as many bytes as characters.
  if (utf8(binary).length === binary.length) return binary
  try {
    return decodeURIComponent(escape(binary))
  } catch {
    if (fatal) throw new TypeError('not valid UTF-8')
    return decodeBroken(bytes)
  }
}

// The "maximal subpart" rule of the Encoding Standard, https://encoding.spec.whatwg.org/#utf-8-decoder
function decodeBroken(bytes) {
  let out = ''
  let point = 0
  let needed = 0
  let lower = 0x80
  let upper = 0xbf
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (needed === 0) {
      if (byte < 0x80) out += String.fromCharCode(byte)
      else if (byte >= 0xc2 && byte <= 0xdf) [needed, point] = [1, byte & 0x1f]
      else if (byte >= 0xe0 && byte <= 0xef) {
        if (byte === 0xe0) lower = 0xa0
        if (byte === 0xed) upper = 0x9f
        ;[needed, point] = [2, byte & 0xf]
      } else if (byte >= 0xf0 && byte <= 0xf4) {
        if (byte === 0xf0) lower = 0x90
        if (byte === 0xf4) upper = 0x8f
        ;[needed, point] = [3, byte & 0x7]
      } else out += '\ufffd'
      continue
    }
    const fits = byte >= lower && byte <= upper
    lower = 0x80
    upper = 0xbf
    if (!fits) {
      needed = 0
      out += '\ufffd'
      at--
      continue
    }
    point = (point << 6) | (byte & 0x3f)
    if (--needed === 0) out += String.fromCodePoint(point)
  }
  return needed === 0 ? out : out + '\ufffd'
}

/** Bytes of a buffer, a view or nothing. */
export function bytesOf(source) {
  if (source === undefined) return new Uint8Array(0)
  if (source instanceof Uint8Array) return source
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
  if (source instanceof ArrayBuffer) return new Uint8Array(source)
  throw new TypeError('not a buffer or a view of one')
}

/** `chunks` in one array. */
export function join(chunks) {
  if (chunks.length === 1) return chunks[0]
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}

export class TextEncoder {
  get encoding() {
    return 'utf-8'
  }

  encode(string = '') {
    return encode(String(string))
  }

  encodeInto(string, target) {
    let read = 0
    let written = 0
    for (const character of String(string)) {
      const bytes = encode(character)
      if (written + bytes.length > target.length) break
      target.set(bytes, written)
      written += bytes.length
      read += character.length
    }
    return { read, written }
  }
}

export class TextDecoder {
  #held = new Uint8Array(0)
  #started = false

  constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
    if (!/^\s*(utf-?8|unicode-1-1-utf-8)\s*$/i.test(label)) throw new RangeError(`only UTF-8, not "${label}"`)
    this.fatal = fatal
    this.ignoreBOM = ignoreBOM
  }

  get encoding() {
    return 'utf-8'
  }

  decode(source, { stream = false } = {}) {
    let bytes = bytesOf(source)
    if (this.#held.length > 0) bytes = join([this.#held, bytes])
    const end = stream ? wholeCharacters(bytes) : bytes.length
    this.#held = bytes.slice(end)
    let string = decode(bytes.subarray(0, end), this.fatal)
    if (!this.#started && string.length > 0) {
      if (!this.ignoreBOM && string[0] === '\ufeff') string = string.slice(1)
      this.#started = true
    }
    if (!stream) this.#started = false
    return string
  }
}

/** How many of `bytes` there are before a character that is cut off at the end. */
function wholeCharacters(bytes) {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return back < length ? bytes.length - back : bytes.length
    }
    if (byte < 0x80) break
  }
  return bytes.length
}
