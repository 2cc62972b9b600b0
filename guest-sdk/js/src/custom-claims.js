// The export custom-claims-handler.

import { asked, objectText } from './hook.js'

/**
 * Makes a hook of `handler({ userId, claims, authenticationMethod })`, which returns the claims of an access token.
 * Nothing returned leaves them as they are.
 */
export function defineCustomClaims(handler) {
  if (typeof handler !== 'function') throw new TypeError('defineCustomClaims needs a function')
  return { customClaimsHandler: { claims: (request) => claimsOf(handler, request) } }
}

function claimsOf(handler, { userId, claims, authenticationMethod }) {
  const answer = asked(handler, () => ({ userId, claims: JSON.parse(claims), authenticationMethod }))
  return answer === undefined ? claims : objectText(answer, 'the claims')
}
