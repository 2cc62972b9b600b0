import * as host from 'pumice:platform/messaging'
import { asking } from '../errors.js'
import { needHost } from '../phase.js'

export const messaging = {
  /** Sends `payload` under the name `event` to `{ channel }`, `{ user }` or `'everyone'`. */
  publish(target, event, payload = null) {
    needHost('messaging.publish')
    asking('messaging.publish', () => host.publish(targetOf(target), String(event), JSON.stringify(payload)))
  },

  /** Who is on `channel` now: from presence key to what each has told of itself. */
  presence(channel) {
    needHost('messaging.presence')
    return JSON.parse(asking('messaging.presence', () => host.presence(String(channel))))
  },
}

function targetOf(target) {
  if (target === 'everyone') return { tag: 'everyone' }
  if (target?.channel !== undefined) return { tag: 'channel', val: String(target.channel) }
  if (target?.user !== undefined) return { tag: 'user', val: String(target.user) }
  throw new TypeError("a message goes to { channel }, { user } or 'everyone'")
}
