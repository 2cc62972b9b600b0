/** Faults of the author's code: each has a `text` and, where known, `file`, `line` and `column` (from 1). */
export class BuildError extends Error {
  constructor(errors) {
    super(errors.map(BuildError.line).join('\n'))
    this.errors = errors.map(({ file = null, line = null, column = null, text }) => ({ file, line, column, text }))
  }

  static line({ file, line, column, text }) {
    return `${[file, line, column].filter((part) => part !== null && part !== undefined).join(':')}${file ? ': ' : ''}${text}`
  }
}
