// What authors import from '@pumice/sdk'.

export { defineFunction } from './function.js'
export { HttpError, PlatformError } from './errors.js'
export { log } from './log.js'
export { config } from './platform/config.js'
export { secrets } from './platform/secrets.js'
export { cache } from './platform/cache.js'
export { identity } from './platform/identity.js'
