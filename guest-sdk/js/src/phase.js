// User modules are evaluated while the component is built; what they leave behind is its snapshot. The
// host can be asked only later, when it calls an export.

let serving = false

/** Said by each export, first of all. */
export function beginServing() {
  serving = true
}

export function isServing() {
  return serving
}

/** Throws while the component is being built: `what` needs the host. */
export function needHost(what) {
  if (!serving) throw new Error(`${what} works only while a call is handled, not at the top level of a module`)
}
