import { getRandomBytes } from 'wasi:random/random'
import { needHost } from '../phase.js'

const QUOTA_BYTES = 65536

/** `getRandomValues` and `randomUUID`. There is no `subtle`. */
export const crypto = {
  getRandomValues(array) {
    needHost('crypto.getRandomValues')
    if (!ArrayBuffer.isView(array) || array instanceof DataView || /Float/.test(array.constructor.name)) {
      throw new DOMException('getRandomValues needs an array of integers', 'TypeMismatchError')
    }
    if (array.byteLength > QUOTA_BYTES) {
      throw new DOMException(`more than ${QUOTA_BYTES} bytes`, 'QuotaExceededError')
    }
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(getRandomBytes(array.byteLength))
    return array
  },

  randomUUID() {
    needHost('crypto.randomUUID')
    const bytes = getRandomBytes(16)
    bytes[6] = (bytes[6] & 0x0f) | 0x40
    bytes[8] = (bytes[8] & 0x3f) | 0x80
    return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  },
}
