import * as host from 'pumice:platform/identity'
import { asking } from '../errors.js'
import { callerFrom } from '../caller.js'
import { needHost } from '../phase.js'

export const identity = {
  caller() {
    needHost('identity.caller')
    return callerFrom(host.caller())
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
