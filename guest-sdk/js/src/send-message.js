// The export send-message-handler.

import { asked } from './hook.js'

/**
 * Makes a hook of `handler(message)`, which sends a mail or a text message to a user. What it throws says that it is
 * not sent.
 */
export function defineSendMessage(handler) {
  if (typeof handler !== 'function') throw new TypeError('defineSendMessage needs a function')
  return { sendMessageHandler: { send: (message) => send(handler, message) } }
}

function send(handler, message) {
  const { channel, to, kind, token, tokenHash, confirmationUrl, siteUrl, redirectTo, user, newAddress } = message
  asked(handler, () => ({
    channel,
    to,
    kind,
    token,
    tokenHash: tokenHash ?? null,
    confirmationUrl: confirmationUrl ?? null,
    siteUrl,
    redirectTo: redirectTo ?? null,
    user: JSON.parse(user),
    newAddress: newAddress ?? null,
  }))
}
