// One module of the author's file, what it imports, and the parts of the SDK that it uses.

import { access, readFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { BuildError } from './error.mjs'
import { Positions } from './positions.mjs'

const SDK = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const GLOBALS = path.join(SDK, 'src/globals.js')
// The module that the build itself writes.
const WRAPPER = 'pumice-entry'

/** `{file, code, positions, imports, modules}`: the entry's name, the text, where its lines come from, the interfaces it imports and the modules of the SDK in it. */
export async function bundle(esbuild, contract, entry) {
  const file = path.relative('.', entry)
  await access(entry).catch(() => {
    throw new BuildError([{ file, text: 'there is no such file' }])
  })
  const result = await esbuild
    .build({
      stdin: { contents: wrapper(entry), resolveDir: path.resolve('.'), sourcefile: WRAPPER },
      absWorkingDir: path.resolve('.'),
      bundle: true,
      write: false,
      outfile: 'bundle.js',
      format: 'esm',
      platform: 'browser',
      conditions: ['worker', 'module'],
      target: 'es2024',
      // `await` has to become a `yield` to our own Promise (src/promise.js).
      supported: { 'async-await': false, 'async-generator': false, 'for-await': false },
      define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis', ...(await globals()) },
      loader: { '.txt': 'text', '.html': 'text', '.sql': 'text', '.md': 'text' },
      inject: [GLOBALS],
      alias: { '@pumice/sdk': path.join(SDK, 'src/index.js') },
      plugins: [interfaces(contract)],
      charset: 'utf8',
      legalComments: 'none',
      sourcemap: 'external',
      sourcesContent: false,
      metafile: true,
      logLevel: 'silent',
    })
    .catch((error) => {
      if (!Array.isArray(error.errors)) throw error
      throw new BuildError(error.errors.map(located))
    })
  const [map, code] = ['.map', '.js'].map((ext) => result.outputFiles.find(({ path }) => path.endsWith(ext)).text)
  const positions = new Positions(map, (source) => source !== WRAPPER && !path.resolve(source).startsWith(SDK + path.sep))
  const { imports, inputs } = result.metafile.outputs['bundle.js']
  return {
    file,
    code: `${withOwnAsync(code)}\n$pumicePositions(${positions.table()});\n`,
    positions,
    imports: [...new Set(imports.filter(({ external }) => external).map(({ path }) => path))],
    modules: Object.keys(inputs).map((input) => path.relative(SDK, path.resolve(input)).replaceAll('\\', '/')),
  }
}

/** Puts the SDK's `$pumiceAsync` in the place of the helper that esbuild makes `async` functions with. */
function withOwnAsync(code) {
  return code.replace(/^var __async = [^]+?^};$/m, (helper) => {
    const lines = helper.split('\n').length
    return `var __async = (self, args, body) => $pumiceAsync(self, args, body);${'\n'.repeat(lines - 1)}`
  })
}

function wrapper(entry) {
  const from = (name) => JSON.stringify(path.join(SDK, name))
  return [
    `import ${from('src/start.js')}`,
    `import { $pumiceAsync, $pumicePositions, definitionOf } from ${from('src/entry.js')}`,
    `import * as module from ${JSON.stringify(path.resolve(entry))}`,
    'export const { incomingHandler, beforeTriggerHandler, afterTriggerHandler, procedureHandler, scriptHandler,',
    'beforeUserCreatedHandler, customClaimsHandler, sendMessageHandler } = definitionOf(module)',
    // Used by what `bundle` puts into the text.
    'export { $pumiceAsync, $pumicePositions }',
  ].join('\n')
}

/** Has `globalThis.<name>` read as `<name>`, for each name that `src/globals.js` exports. */
async function globals() {
  const [, names] = /^export \{([^}]*)\}/m.exec(await readFile(GLOBALS, 'utf8'))
  return Object.fromEntries(names.match(/\w+/g).map((name) => [`globalThis.${name}`, name]))
}

/** `wasi:…` and `pumice:…` are interfaces of the host; those that nothing uses fall away. */
function interfaces(contract) {
  return {
    name: 'interfaces',
    setup({ onResolve }) {
      onResolve({ filter: /^node:/ }, ({ path }) => ({ errors: [{ text: `"${path}" is a part of Node.js that Pumice does not have` }] }))
      onResolve({ filter: /^(wasi|pumice):/ }, ({ path }) => {
        const name = contract.resolve(path)
        if (name === undefined) return { errors: [{ text: `the host has no interface "${path}"` }] }
        return { path: name, external: true, sideEffects: false }
      })
    },
  }
}

function located({ text, location }) {
  const sdk = path.relative('.', path.join(SDK, 'src/index.js'))
  return {
    file: location?.file,
    line: location?.line,
    column: location === null ? undefined : location.column + 1,
    text: text.replace(`"${sdk}"`, '"@pumice/sdk"').replace(/ in the configured target environment.*/, ''),
  }
}
