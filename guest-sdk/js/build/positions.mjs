// Where the lines of the bundle come from, read from esbuild's source map
// (https://tc39.es/ecma426/): by line only, which is what the engine's stack traces are good for.

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

export class Positions {
  #files
  // `[first line in the bundle, file, first line in the file, how many]`, lines from 1.
  #runs = []

  /** `isAuthors` tells which of the map's files are of interest; lines of others have no position. */
  constructor(map, isAuthors) {
    const { sources, mappings } = JSON.parse(map)
    this.#files = sources.map((source) => (isAuthors(source) ? source : null))
    let file = 0
    let line = 0
    mappings.split(';').forEach((group, index) => {
      let first
      for (const segment of group.split(',')) {
        const [, fileStep, lineStep] = numbers(segment)
        if (fileStep === undefined) continue
        file += fileStep
        line += lineStep
        first ??= [index + 1, file, line + 1]
      }
      if (first !== undefined && this.#files[first[1]] !== null) this.#add(...first)
    })
  }

  /** JavaScript text of the two arguments of `$pumicePositions` in the SDK. */
  table() {
    return `${JSON.stringify(this.#files)}, ${JSON.stringify(this.#runs)}`
  }

  /** The file and line that `line` of the bundle was made from. */
  find(line) {
    const run = this.#runs.findLast(([start]) => start <= line)
    if (run === undefined || line >= run[0] + run[3]) return {}
    return { file: this.#files[run[1]], line: run[2] + line - run[0] }
  }

  #add(line, file, fileLine) {
    const last = this.#runs.at(-1)
    if (last !== undefined && last[1] === file && line - last[0] === last[3] && fileLine - last[2] === last[3]) last[3]++
    else this.#runs.push([line, file, fileLine, 1])
  }
}

/** The numbers of a segment: base 64, five bits at a time, the lowest bit of each number its sign. */
function numbers(segment) {
  const found = []
  let value = 0
  let shift = 0
  for (const character of segment) {
    const digit = DIGITS.indexOf(character)
    value |= (digit & 31) << shift
    shift += 5
    if (digit & 32) continue
    found.push(value & 1 ? -(value >> 1) : value >> 1)
    value = shift = 0
  }
  return found
}
