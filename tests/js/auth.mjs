// The official client's `auth` against Pumice: each check has a name, and what failed is printed as one JSON document.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { createClient } from '@supabase/supabase-js'

const { APP_URL, ANON_KEY, SERVICE_KEY } = process.env
const PASSWORD = 'plover-xyzzy-42'
const passed = []
const failed = {}

async function check(name, run) {
  try {
    await run()
    passed.push(name)
  } catch (error) {
    failed[name] = String(error.stack ?? error)
  }
}

/** A client of its own, as each visitor of a page has one. */
function visitor(flowType = 'implicit') {
  const kept = new Map()
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  }
  return createClient(APP_URL, ANON_KEY, {
    auth: { storage, autoRefreshToken: false, detectSessionInUrl: false, flowType },
    realtime: { transport: class {} },
  })
}
const admin = createClient(APP_URL, SERVICE_KEY, {
  auth: { persistSession: false, autoRefreshToken: false },
  realtime: { transport: class {} },
})

async function ok(request) {
  const { data, error } = await request
  assert.equal(error, null, `${error?.status} ${error?.code}: ${error?.message}`)
  return data
}

async function refused(request, code) {
  const { error } = await request
  assert.equal(error?.code, code, JSON.stringify(error))
  return error
}

/** The newest mail to an address, when it has come. */
async function mail(to) {
  const until = Date.now() + 30_000
  while (Date.now() < until) {
    const answer = await fetch(`${APP_URL}/dev/mail.json?to=${encodeURIComponent(to)}`)
    const mails = await answer.json()
    if (mails.length > 0) {
      await fetch(`${APP_URL}/dev/mail.json?to=${encodeURIComponent(to)}`, { method: 'DELETE' })
      return mails[0]
    }
  }
  throw new Error(`no mail to ${to}`)
}

/** Where the link of a mail leads. */
async function follow(mail) {
  const link = mail.links.find((link) => link.includes('/auth/v1/verify'))
  const answer = await fetch(link, { redirect: 'manual' })
  assert.equal(answer.status, 303)
  return new URL(answer.headers.get('location'))
}

/** The parameters in the fragment of a URL. */
const fragment = (url) => new URLSearchParams(url.hash.slice(1))

function totp(secret, at = Date.now()) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  const bits = [...secret].map((c) => alphabet.indexOf(c).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)))
  const mac = createHmac('sha1', key).update(counter).digest()
  const offset = mac[19] & 15
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

let made = 0
const address = () => `user${++made}@example.com`

/** A visitor who has signed up and confirmed the address. */
async function user(flowType) {
  const email = address()
  const client = visitor(flowType)
  await ok(admin.auth.admin.createUser({ email, password: PASSWORD, email_confirm: true }))
  const { user, session } = await ok(client.auth.signInWithPassword({ email, password: PASSWORD }))
  return { client, email, user, session }
}

await check('sign up, confirm by link, sign in', async () => {
  const email = address()
  const client = visitor()
  const { user, session } = await ok(client.auth.signUp({ email, password: PASSWORD, options: { data: { n: 1 } } }))
  assert.equal(session, null)
  assert.equal(user.user_metadata.n, 1)
  assert.equal(user.identities.length, 1)
  await refused(client.auth.signInWithPassword({ email, password: PASSWORD }), 'email_not_confirmed')
  const letter = await mail(email)
  assert.equal(letter.template, 'confirmation')
  const tokens = fragment(await follow(letter))
  const { user: me } = await ok(
    client.auth.setSession({ access_token: tokens.get('access_token'), refresh_token: tokens.get('refresh_token') }),
  )
  assert.equal(me.email, email)
  assert.equal(me.user_metadata.email_verified, true)
  await ok(client.auth.signInWithPassword({ email, password: PASSWORD }))
})

await check('sign up with a known address looks the same, and mails a sign-in link', async () => {
  const { email } = await user()
  const stranger = visitor()
  const known = await ok(stranger.auth.signUp({ email, password: 'another-plover-43' }))
  const fresh = await ok(stranger.auth.signUp({ email: address(), password: 'another-plover-43' }))
  const keys = (data) => [Object.keys(data.user).sort(), Object.keys(data.user.identities[0]).sort()]
  assert.deepEqual(keys(known), keys(fresh))
  assert.equal((await mail(email)).template, 'magic_link')
  await refused(stranger.auth.signInWithPassword({ email, password: 'another-plover-43' }), 'invalid_credentials')
})

await check('sign up, confirm by code', async () => {
  const email = address()
  const client = visitor()
  await ok(client.auth.signUp({ email, password: PASSWORD }))
  const { token } = await mail(email)
  const { session } = await ok(client.auth.verifyOtp({ email, token, type: 'signup' }))
  assert.equal(session.user.email, email)
  await refused(client.auth.verifyOtp({ email, token, type: 'signup' }), 'otp_expired')
})

await check('sign up with PKCE: only who asked gets a session', async () => {
  const email = address()
  const client = visitor('pkce')
  await ok(client.auth.signUp({ email, password: PASSWORD }))
  const url = await follow(await mail(email))
  const code = url.searchParams.get('code')
  assert.ok(code, url.href)
  const other = visitor('pkce')
  await other.auth.signInWithOtp({ email: address() })
  const { error } = await other.auth.exchangeCodeForSession(code)
  assert.ok(error)
})

await check('PKCE: a code is exchanged once', async () => {
  const email = address()
  const client = visitor('pkce')
  await ok(client.auth.signInWithOtp({ email }))
  const url = await follow(await mail(email))
  const { session } = await ok(client.auth.exchangeCodeForSession(url.searchParams.get('code')))
  assert.equal(session.user.email, email)
  const again = await client.auth.exchangeCodeForSession(url.searchParams.get('code'))
  assert.ok(again.error)
})

await check('magic link of a user', async () => {
  const { email } = await user()
  const client = visitor()
  await ok(client.auth.signInWithOtp({ email, options: { shouldCreateUser: false } }))
  const letter = await mail(email)
  assert.equal(letter.template, 'magic_link')
  const tokens = fragment(await follow(letter))
  assert.equal(tokens.get('type'), 'magiclink')
  assert.ok(tokens.get('access_token'))
})

await check('a code for nobody is answered as one for somebody', async () => {
  const client = visitor()
  const email = address()
  await ok(client.auth.signInWithOtp({ email, options: { shouldCreateUser: false } }))
  await ok(client.auth.resetPasswordForEmail(email))
  const { users } = await ok(admin.auth.admin.listUsers({ page: 1, perPage: 1000 }))
  assert.equal(users.find((user) => user.email === email), undefined)
})

await check('recover a password', async () => {
  const { email } = await user()
  const client = visitor()
  await ok(client.auth.resetPasswordForEmail(email, { redirectTo: 'https://app.example/reset' }))
  const letter = await mail(email)
  assert.equal(letter.template, 'recovery')
  const url = await follow(letter)
  assert.equal(url.origin + url.pathname, 'https://app.example/reset')
  const tokens = fragment(url)
  await ok(client.auth.setSession({ access_token: tokens.get('access_token'), refresh_token: tokens.get('refresh_token') }))
  await ok(client.auth.updateUser({ password: 'another-plover-43' }))
  await ok(visitor().auth.signInWithPassword({ email, password: 'another-plover-43' }))
  await refused(visitor().auth.signInWithPassword({ email, password: PASSWORD }), 'invalid_credentials')
})

await check('change of an address, both sides confirm', async () => {
  const { client, email } = await user()
  const next = address()
  const { user: changing } = await ok(client.auth.updateUser({ email: next }))
  assert.equal(changing.new_email, next)
  assert.equal(changing.email, email)
  const first = fragment(await follow(await mail(email)))
  assert.match(first.get('message'), /Confirmation link accepted/)
  const second = fragment(await follow(await mail(next)))
  assert.equal(second.get('type'), 'email_change')
  const { user: me } = await ok(client.auth.getUser())
  assert.equal(me.email, next)
})

await check('reauthentication for a new password', async () => {
  const { client, email } = await user()
  await ok(client.auth.reauthenticate())
  const letter = await mail(email)
  assert.equal(letter.template, 'reauthentication')
  await ok(client.auth.updateUser({ password: 'another-plover-43', nonce: letter.token }))
})

await check('resend', async () => {
  const email = address()
  const client = visitor()
  await ok(client.auth.signUp({ email, password: PASSWORD }))
  await mail(email)
  await ok(client.auth.resend({ type: 'signup', email }))
  const { token } = await mail(email)
  await ok(client.auth.verifyOtp({ email, token, type: 'email' }))
})

await check('anonymous users, and their promotion', async () => {
  const client = visitor()
  const { user: nobody } = await ok(client.auth.signInAnonymously({ options: { data: { cart: 1 } } }))
  assert.equal(nobody.is_anonymous, true)
  const email = address()
  await ok(client.auth.updateUser({ email }))
  const tokens = fragment(await follow(await mail(email)))
  assert.ok(tokens.get('access_token'), tokens.toString())
  const { user: me } = await ok(client.auth.getUser())
  assert.deepEqual([me.id, me.email, me.is_anonymous], [nobody.id, email, false])
})

await check('sessions are refreshed, and claims checked without the server', async () => {
  const { client, session } = await user()
  const { session: next } = await ok(client.auth.refreshSession())
  assert.notEqual(next.refresh_token, session.refresh_token)
  const { claims, header } = await ok(client.auth.getClaims())
  assert.deepEqual([claims.sub, claims.role, header.alg], [next.user.id, 'authenticated', 'ES256'])
})

await check('sign out', async () => {
  const { client, email, session } = await user()
  const { client: other } = { client: visitor() }
  await ok(other.auth.signInWithPassword({ email, password: PASSWORD }))
  await ok(client.auth.signOut({ scope: 'others' }))
  await refused(other.auth.getUser(), 'session_not_found').catch(async () => {
    const { error } = await other.auth.getUser()
    assert.equal(error.name, 'AuthSessionMissingError')
  })
  const { error } = await client.auth.signOut()
  assert.equal(error, null)
  const gone = await visitor().auth.getUser(session.access_token)
  assert.ok(gone.error)
})

await check('metadata', async () => {
  const { client } = await user()
  const { user: me } = await ok(client.auth.updateUser({ data: { theme: 'dark' } }))
  assert.equal(me.user_metadata.theme, 'dark')
})

await check('second factors', async () => {
  const { client } = await user()
  const factor = await ok(client.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'phone' }))
  assert.match(factor.totp.qr_code, /^data:image\/svg\+xml;utf-8,<svg/)
  const challenge = await ok(client.auth.mfa.challenge({ factorId: factor.id }))
  const verified = await ok(
    client.auth.mfa.verify({ factorId: factor.id, challengeId: challenge.id, code: totp(factor.totp.secret) }),
  )
  assert.ok(verified.access_token)
  const level = await ok(client.auth.mfa.getAuthenticatorAssuranceLevel())
  assert.deepEqual([level.currentLevel, level.nextLevel], ['aal2', 'aal2'])
  const { totp: factors } = await ok(client.auth.mfa.listFactors())
  assert.equal(factors.length, 1)
  await ok(client.auth.mfa.unenroll({ factorId: factor.id }))
})

await check('a wrong code', async () => {
  const { client } = await user()
  const factor = await ok(client.auth.mfa.enroll({ factorType: 'totp' }))
  const challenge = await ok(client.auth.mfa.challenge({ factorId: factor.id }))
  const wrong = client.auth.mfa.verify({ factorId: factor.id, challengeId: challenge.id, code: totp(factor.totp.secret, 0) })
  await refused(wrong, 'mfa_verification_failed')
})

await check('the admin API', async () => {
  const email = address()
  const { user: made } = await ok(
    admin.auth.admin.createUser({ email, password: PASSWORD, user_metadata: { a: 1 }, app_metadata: { b: 2 } }),
  )
  assert.deepEqual(made.user_metadata, { a: 1 })
  const { user: found } = await ok(admin.auth.admin.getUserById(made.id))
  assert.equal(found.email, email)
  const { user: changed } = await ok(admin.auth.admin.updateUserById(made.id, { user_metadata: { c: 3 } }))
  assert.deepEqual(changed.user_metadata, { a: 1, c: 3 })
  const { users, total, lastPage } = await ok(admin.auth.admin.listUsers({ page: 1, perPage: 10 }))
  assert.equal(users.length, 10)
  assert.ok(total > 10 && lastPage > 1)
  const { properties } = await ok(admin.auth.admin.generateLink({ type: 'magiclink', email }))
  const { session } = await ok(visitor().auth.verifyOtp({ token_hash: properties.hashed_token, type: 'magiclink' }))
  assert.equal(session.user.id, made.id)
  await ok(admin.auth.admin.deleteUser(made.id))
  await refused(admin.auth.admin.getUserById(made.id), 'user_not_found')
})

await check('invitations', async () => {
  const email = address()
  const { user: invited } = await ok(admin.auth.admin.inviteUserByEmail(email, { data: { team: 'red' } }))
  assert.ok(invited.invited_at)
  const letter = await mail(email)
  assert.equal(letter.template, 'invite')
  assert.ok(fragment(await follow(letter)).get('access_token'))
  await refused(admin.auth.admin.inviteUserByEmail(email), 'email_exists')
})

await check('what is wrong is told as the client knows it', async () => {
  const client = visitor()
  await refused(client.auth.signInWithPassword({ email: 'nobody@example.com', password: 'x' }), 'invalid_credentials')
  const weak = await refused(client.auth.signUp({ email: address(), password: 'x1!q' }), 'weak_password')
  assert.deepEqual(weak.reasons, ['length'])
  await refused(client.auth.signUp({ email: 'nobody', password: PASSWORD }), 'validation_failed')
  await refused(visitor().auth.admin.listUsers(), 'not_admin')
})

await check('a user reads their own rows', async () => {
  const { client, user: me } = await user()
  await ok(client.from('note').insert({ text: 'mine' }))
  const rows = await ok(client.from('note').select('text, owner'))
  assert.deepEqual(rows, [{ text: 'mine', owner: me.id }])
  assert.deepEqual(await ok(visitor().from('note').select()), [])
})

console.log(JSON.stringify({ passed, failed }))
