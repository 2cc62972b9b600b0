// Stack traces in terms of the author's files. The engine knows only lines of the bundle; the build
// appends a table to it that says where each came from.

let table

/** `runs` holds `[first line in the bundle, file, first line in the file, how many]`, in order. */
export function $pumicePositions(files, runs) {
  table = { files, runs }
}

/** `stack` in the author's files and lines; frames of the SDK and of helpers are left out. */
export function originalPositions(stack) {
  if (table === undefined) return stack
  return stack.split('\n').flatMap(originalFrame).join('\n')
}

function originalFrame(frame) {
  if (/ (next|throw) \(native\)$/.test(frame)) return []
  const position = /\(?componentize-qjs:user\.js:(\d+)(?::\d+)?\)?/.exec(frame)
  if (position === null) return [frame]
  const line = Number(position[1])
  const run = table.runs.findLast(([start]) => start <= line)
  if (run === undefined || line >= run[0] + run[3]) return []
  return [frame.replace(position[0], `(${table.files[run[1]]}:${run[2] + line - run[0]})`)]
}
