// The official client against Pumice's functions: prints what it got as one JSON document.
import { createClient, FunctionsHttpError } from '@supabase/supabase-js'

const { APP_URL, ANON_KEY } = process.env
// Realtime is not under test, and Node.js 20 has no WebSocket to give it.
const options = { realtime: { transport: class {} } }
const app = createClient(APP_URL, ANON_KEY, options)

/** Data or error of one call, as far as a client can see it. */
async function invoke(name, options) {
  const { data, error } = await app.functions.invoke(name, options)
  if (!error) return { data }
  const answer = { error: error.name, http: error instanceof FunctionsHttpError }
  if (answer.http) {
    answer.status = error.context.status
    answer.body = await error.context.json()
  }
  return answer
}

const bytes = new Uint8Array([0, 1, 2, 250])
const echoed = await app.functions.invoke('echo', { body: bytes.buffer, headers: { 'content-type': 'application/octet-stream' } })

const seen = (await invoke('seen/deep/er?x=1', { body: { name: 'Ada' }, headers: { 'x-own': 'yes' } })).data
const got = (await invoke('seen', { method: 'GET', region: 'eu-west-3' })).data
const headers = (of) => Object.fromEntries(of.headers)
const cut = new AbortController()
const aborted = app.functions.invoke('park', { signal: cut.signal })
cut.abort()

console.log(JSON.stringify({
  seen: { method: seen.method, path: seen.path, query: seen.query },
  own: headers(seen)['x-own'],
  type: headers(seen)['content-type'],
  get: { method: got.method, query: got.query, region: headers(got)['x-region'] },
  echoed: echoed.error ? String(echoed.error) : [...new Uint8Array(await echoed.data.arrayBuffer())],
  unknown: await invoke('nope'),
  panics: await invoke('panic'),
  aborted: (await aborted).error.name,
  wrong_key: await createClient(APP_URL, 'nonsense', options).functions.invoke('seen').then(({ error }) => error.context.status),
}))
