// The export before-user-created-handler.

import { asked, objectText } from './hook.js'

/**
 * Makes a hook of `handler(user)`, which is asked before somebody becomes a user. It returns nothing, which allows
 * them, or `{ userMetadata, appMetadata }`, either of which may be left out; or it refuses with `reject`.
 */
export function defineBeforeUserCreated(handler) {
  if (typeof handler !== 'function') throw new TypeError('defineBeforeUserCreated needs a function')
  return { beforeUserCreatedHandler: { check: (user) => check(handler, user) } }
}

function check(handler, { id, email, phone, userMetadata, appMetadata, isAnonymous, provider, ip }) {
  const answer = asked(handler, () => ({
    id,
    email: email ?? null,
    phone: phone ?? null,
    userMetadata: JSON.parse(userMetadata),
    appMetadata: JSON.parse(appMetadata),
    isAnonymous,
    provider,
    ip: ip ?? null,
  }))
  if (answer === undefined) return { tag: 'allow' }
  const text = (value, given, name) => (value === undefined ? given : objectText(value, name))
  return {
    tag: 'replace',
    val: {
      userMetadata: text(answer?.userMetadata, userMetadata, 'userMetadata'),
      appMetadata: text(answer?.appMetadata, appMetadata, 'appMetadata'),
    },
  }
}
