#!/usr/bin/env node
// Makes a component of an author's file:
//
//   node build.mjs --wit <dir> --modules <dir> --entry <file.js|ts> --out <file.wasm> [--json]
//
// `--wit` is the directory with the WIT package `pumice:platform` and its `deps`, `--modules` the one where
// the packages of package-lock.json are installed. Files are named relative to the current directory. With
// `--json` the outcome is one object on standard output, `{ok, errors: [{file, line, column, text}], bytes, ms}`;
// without it errors go to standard error as `file:line:column: text`. The exit status is 1 if there were any.

import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { bundle } from './build/bundle.mjs'
import { componentOf } from './build/component.mjs'
import { BuildError } from './build/error.mjs'
import { Contract } from './build/contract.mjs'

const { values: options } = parseArgs({
  options: {
    wit: { type: 'string' },
    modules: { type: 'string' },
    entry: { type: 'string' },
    out: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
for (const name of ['wit', 'modules', 'entry', 'out']) {
  if (options[name] === undefined) {
    console.error(`--${name} is missing`)
    process.exit(2)
  }
}

const started = performance.now()
const outcome = await build(options).then(
  (bytes) => ({ ok: true, errors: [], bytes }),
  (error) => {
    if (!(error instanceof BuildError)) throw error
    return { ok: false, errors: error.errors, bytes: 0 }
  },
)
outcome.ms = Math.round(performance.now() - started)

if (options.json) console.log(JSON.stringify(outcome))
else for (const error of outcome.errors) console.error(BuildError.line(error))
// Not `exitCode`: an evaluation that did not end goes on in a thread.
process.exit(outcome.ok ? 0 : 1)

/** Writes the component and returns its size. */
async function build({ wit, modules, entry, out }) {
  const { esbuild, componentize } = tools(modules)
  const contract = await Contract.read(wit)
  const program = await bundle(esbuild, contract, entry)
  const component = await componentOf(componentize, contract, program)
  await writeFile(out, component)
  return component.length
}

function tools(modules) {
  const require = createRequire(path.resolve(modules, 'build.mjs'))
  try {
    return { esbuild: require('esbuild'), componentize: require('componentize-qjs').componentize }
  } catch (error) {
    throw new BuildError([{ text: `the packages of package-lock.json are not installed in ${modules}: ${error.message}` }])
  }
}
