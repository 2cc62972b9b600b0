// The bundle, evaluated in the engine, and the state of that engine as a component.

import { DISGUISE, WASI } from './contract.mjs'
import { BuildError } from './error.mjs'

// A program that is not done with its top level by then never will be.
const EVALUATION_SECONDS_MAX = 60

// Sections of a component, https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md
const IMPORT_SECTION = 10
const EXPORT_SECTION = 11
const PREAMBLE_BYTES = 8

/** The bytes of the component. Throws a `BuildError` if the program throws while it is evaluated. */
export async function componentOf(componentize, contract, { file, code, positions, imports, modules }) {
  const exports = contract.exportsOf(modules)
  if (exports.length === 0) throw new BuildError([{ file, text: 'the module has to `export default defineFunction(…)`, or a trigger, a procedure, a script or a hook' }])
  return contract.withWorld(imports, exports, async (witPath, world) => {
    try {
      // `stubWasi`: of WASI the component imports what the SDK uses, and nothing that the engine might.
      const making = componentize({ witPath, world, jsSource: code, sync: true, stubWasi: true })
      const { component } = await Promise.race([making, timeOver()])
      return undisguise(component)
    } catch (error) {
      throw new BuildError([evaluationError(error, file, positions)])
    }
  })
}

/** Gives the component's own imports and exports their names back; they are as long as the disguise. */
function undisguise(component) {
  for (let at = PREAMBLE_BYTES; at < component.length; ) {
    const id = component[at++]
    let size = 0
    for (let shift = 0, more = true; more; shift += 7) {
      const byte = component[at++]
      size |= (byte & 0x7f) << shift
      more = byte >= 0x80
    }
    if (id === IMPORT_SECTION || id === EXPORT_SECTION) {
      const section = component.subarray(at, at + size)
      for (let name = section.indexOf(DISGUISE); name >= 0; name = section.indexOf(DISGUISE, name)) {
        section.write(WASI, name)
      }
    }
    at += size
  }
  return component
}

function timeOver() {
  const text = `the top level of the program has run for ${EVALUATION_SECONDS_MAX} s`
  return new Promise((_, reject) => setTimeout(() => reject(new Error(text)), EVALUATION_SECONDS_MAX * 1000).unref())
}

function evaluationError(error, file, positions) {
  const text = error.message.replace(/^.*Failed to (finish|evaluate|declare) JavaScript module( evaluation)?: /s, '').trim()
  const frames = [...text.matchAll(/componentize-qjs:user\.js:(\d+)/g)].map(([, line]) => positions.find(Number(line)))
  const own = frames.find(({ file }) => file !== undefined) ?? {}
  return { file, ...own, text: text.split(/\n\s+at /)[0].replace(/^.*(wasm trap: )/s, '$1') }
}
