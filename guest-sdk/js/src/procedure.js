// Procedures: the export procedure-handler.

import { refusalIn } from './errors.js'
import { uncaught } from './failure.js'
import { settle } from './loop.js'
import { beginServing } from './phase.js'
import { identity } from './platform/identity.js'

/**
 * Makes a procedure of `handler(args, { caller })`, which returns anything with a JSON form or a promise of it.
 * All it does is one transaction; `reject`, like any exception, rolls it back.
 */
export function defineProcedure(handler) {
  if (typeof handler !== 'function') throw new TypeError('defineProcedure needs a function')
  return { procedureHandler: { call: (args) => call(handler, args) } }
}

const context = {
  get caller() {
    return identity.caller()
  },
}

function call(handler, args) {
  beginServing()
  try {
    return JSON.stringify(settle(handler(JSON.parse(args), context)) ?? null)
  } catch (error) {
    throw refusalIn(error) ?? uncaught(error)
  }
}
