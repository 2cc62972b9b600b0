// The WIT that a component is built against: everything the host offers, and of it one world per component
// with nothing but what that component uses.

import { cp, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

// While the component is put together, componentize-qjs gives it WASI imports of its own and links them to a
// WASI of its own, which knows no wasi:http; resources of the two would not match. Ours go by another
// name of the same length meanwhile, and `component.mjs` gives them theirs back.
export const WASI = 'wasi:'
export const DISGUISE = 'wizr:'

/** Which module of the SDK stands for which exports. */
const EXPORTS = {
  'src/function.js': ['wasi:http/incoming-handler'],
  // The manifest says which of the two a trigger is.
  'src/trigger.js': ['pumice:platform/before-trigger-handler', 'pumice:platform/after-trigger-handler'],
  'src/procedure.js': ['pumice:platform/procedure-handler'],
  'src/script.js': ['pumice:platform/script-handler'],
  'src/before-user-created.js': ['pumice:platform/before-user-created-handler'],
  'src/custom-claims.js': ['pumice:platform/custom-claims-handler'],
  'src/send-message.js': ['pumice:platform/send-message-handler'],
}

export class Contract {
  #directory
  // From "wasi:io/poll" to "wasi:io/poll@0.2.12".
  #interfaces

  static async read(directory) {
    const contract = new Contract()
    contract.#directory = directory
    contract.#interfaces = new Map()
    for (const file of await witFiles(directory)) {
      const text = await readFile(file, 'utf8')
      const [, name, version] = /^package ([\w:-]+)@([\w.]+);/m.exec(text) ?? []
      for (const [, id] of text.matchAll(/^\s*interface ([\w-]+) \{/gm)) {
        contract.#interfaces.set(`${name}/${id}`, `${name}/${id}@${version}`)
      }
    }
    return contract
  }

  /** The full name, in disguise, of the interface that a module imports as `specifier`; else undefined. */
  resolve(specifier) {
    return this.#interfaces.get(specifier.replace(/@[\w.]+$/, ''))?.replace(WASI, DISGUISE)
  }

  /** The full names, in disguise, of what a program with the modules `modules` of the SDK exports. */
  exportsOf(modules) {
    return modules.flatMap((name) => EXPORTS[name] ?? []).map((name) => this.resolve(name))
  }

  /**
   * Writes the WIT with a world `component` that has these `imports` and `exports`; calls `use` with its
   * directory, which is gone afterwards.
   */
  async withWorld(imports, exports, use) {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'pumice-wit-'))
    try {
      await cp(this.#directory, directory, { recursive: true })
      for (const file of await witFiles(directory)) {
        await writeFile(file, (await readFile(file, 'utf8')).replaceAll(WASI, DISGUISE))
      }
      const items = [...imports.map((name) => `import ${name};`), ...exports.map((name) => `export ${name};`)]
      // A package of its own: the platform's cannot name its own interfaces in full.
      const world = `package pumice:component;\n\nworld component {\n${items.join('\n')}\n}\n`
      const dependency = path.join(directory, 'deps', 'platform')
      await mkdir(dependency)
      for (const entry of await readdir(directory, { withFileTypes: true })) {
        const from = path.join(directory, entry.name)
        if (entry.name.endsWith('.wit')) await rename(from, path.join(dependency, entry.name))
        // A later version of the platform, which stands in a folder of its own.
        else if (entry.isDirectory() && entry.name !== 'deps') await rename(from, path.join(directory, 'deps', entry.name))
      }
      await writeFile(path.join(directory, 'component.wit'), world)
      return await use(directory, 'component')
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }
}

async function witFiles(directory) {
  const entries = await readdir(directory, { recursive: true })
  return entries.filter((name) => name.endsWith('.wit')).map((name) => path.join(directory, name))
}
