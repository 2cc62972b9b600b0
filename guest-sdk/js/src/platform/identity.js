import * as host from 'pumice:platform/identity'
import { asking } from '../errors.js'
import { needHost } from '../phase.js'

export const identity = {
  caller() {
    needHost('identity.caller')
    const { role, userId, claims } = host.caller()
    return { role, userId, claims: JSON.parse(claims) }
  },

  app() {
    needHost('identity.app')
    return host.app()
  },

  hasPermission(permission) {
    needHost('identity.hasPermission')
    return asking('identity.hasPermission', () => host.hasPermission(String(permission)))
  },
}
