// What the build puts around an author's module.

export { $pumicePositions } from './positions.js'
export { $pumiceAsync } from './promise.js'

/** The definition that `module` exports by default. */
export function definitionOf(module, file) {
  const definition = module.default
  if (definition?.incomingHandler === undefined) {
    throw new TypeError(`${file} has to end in \`export default defineFunction(…)\``)
  }
  return definition
}
