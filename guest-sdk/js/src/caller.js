/** The host's record of a caller as authors see it. */
export function callerFrom({ role, userId, claims }) {
  return { role, userId, claims: JSON.parse(claims) }
}
