import { get } from 'pumice:platform/secrets'
import { asking } from '../errors.js'
import { needHost } from '../phase.js'

export const secrets = {
  get(name) {
    needHost('secrets.get')
    return asking(`secrets.get("${name}")`, () => {
      const secret = get(String(name))
      try {
        return secret.reveal()
      } finally {
        secret[Symbol.dispose]()
      }
    })
  },
}
