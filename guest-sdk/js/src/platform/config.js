import { all, get } from 'pumice:platform/config'
import { needHost } from '../phase.js'

export const config = {
  get(key) {
    needHost('config.get')
    return get(String(key))
  },

  all() {
    needHost('config.all')
    return Object.fromEntries(all())
  },
}
