// What the build puts around an author's module.

export { $pumicePositions } from './positions.js'
export { $pumiceAsync } from './promise.js'

/** The definition that `module` exports by default. */
export function definitionOf(module) {
  const definition = module.default
  if (definition?.incomingHandler === undefined) {
    throw new TypeError('the module has to `export default defineFunction(…)`')
  }
  return definition
}
