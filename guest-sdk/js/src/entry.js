// What the build puts around an author's module.

export { $pumicePositions } from './positions.js'
export { $pumiceAsync } from './promise.js'

const HANDLERS = [
  'incomingHandler',
  'beforeTriggerHandler',
  'afterTriggerHandler',
  'procedureHandler',
  'scriptHandler',
  'beforeUserCreatedHandler',
  'customClaimsHandler',
  'sendMessageHandler',
]

/** The definition that `module` exports by default. */
export function definitionOf(module) {
  const definition = module.default
  if (!HANDLERS.some((name) => definition?.[name] !== undefined)) {
    throw new TypeError('the module has to `export default defineFunction(…)`, or a trigger, a procedure, a script or a hook')
  }
  return definition
}
