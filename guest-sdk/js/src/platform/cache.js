import * as host from 'pumice:platform/cache'
import { asking } from '../errors.js'
import { needHost } from '../phase.js'
import { chunkBytes } from '../web/body.js'
import { decode } from '../web/text.js'

export const cache = {
  get(key) {
    const bytes = cache.getBytes(key)
    return bytes === null ? null : decode(bytes)
  },

  getBytes(key) {
    needHost('cache.get')
    return asking('cache.get', () => host.get(String(key)))
  },

  set(key, value, { ttlMs = null } = {}) {
    needHost('cache.set')
    asking('cache.set', () => host.set(String(key), chunkBytes(value), ttlMs))
  },

  delete(key) {
    needHost('cache.delete')
    asking('cache.delete', () => host['delete'](String(key)))
  },

  increment(key, by = 1, { ttlMs = null } = {}) {
    needHost('cache.increment')
    return asking('cache.increment', () => host.increment(String(key), by, ttlMs))
  },
}
