// The official client against Pumice's tables: prints what it got as one JSON document.
import { createClient } from '@supabase/supabase-js'

const { APP_URL, ANON_KEY, SERVICE_KEY } = process.env
// Realtime is not under test, and Node.js 20 has no WebSocket to give it.
const options = { auth: { persistSession: false }, realtime: { transport: class {} } }
const app = createClient(APP_URL, SERVICE_KEY, options)
const anon = createClient(APP_URL, ANON_KEY, options)

/** Of an answer what an app looks at. */
function seen({ data, error, status, statusText, count }) {
  const answer = { data, status, statusText }
  if (error) answer.error = { code: error.code, message: error.message, details: error.details, hint: error.hint }
  if (count !== null) answer.count = count
  return answer
}

const answers = {}
async function step(name, request) {
  answers[name] = seen(await request)
}

const task = () => app.from('task')
await step('insert', task().insert({ title: 'one', stars: 3 }))
await step('insert_select', task().insert([{ title: 'two', stars: 5 }, { title: 'three', stars: 4 }]).select())
await step('insert_columns', task().insert({ title: 'four' }).select('id, name:title').single())
await step('select', task().select())
await step('filters', task().select('title').eq('stars', 5))
await step('ordered', task().select('title').order('stars', { ascending: false, nullsFirst: false }).limit(2))
await step('range', task().select('id').order('id').range(1, 2))
await step('several', task().select('id').gt('stars', 3).lt('stars', 5).neq('title', 'x').in('id', [1, 2, 3]).is('done', false))
await step('not', task().select('id').not('stars', 'is', null).order('id'))
await step('single', task().select('title').eq('id', 2).single())
await step('single_of_many', task().select('title').single())
await step('maybe_single', task().select('title').eq('id', 99).maybeSingle())
await step('head', task().select('*', { head: true }))
await step('update', task().update({ done: true }).eq('id', 1))
await step('update_select', task().update({ stars: 1 }).eq('id', 1).select('id,stars,done'))
await step('upsert', task().upsert({ id: 1, title: 'uno' }).select('id,title,stars'))
await step('upsert_on', task().upsert([{ title: 'two', stars: 9 }], { onConflict: 'title' }).select('id,stars'))
await step('upsert_ignore', task().upsert([{ title: 'two', stars: 0 }], { onConflict: 'title', ignoreDuplicates: true }).select())
await step('delete', task().delete().eq('id', 4))
await step('delete_select', task().delete().eq('id', 3).select('title'))
await step('duplicate', task().insert({ title: 'two' }))
await step('check', task().insert({ title: 'five', stars: -1 }))
await step('missing', task().insert({ stars: 1 }).select())
await step('wrong_type', task().insert({ title: 'five', stars: 'many' }))
await step('no_column', task().select('nothing'))
await step('no_such_key', task().insert({ nothing: 1 }))
await step('no_table', app.from('tasks').select())
await step('rpc', app.rpc('proc-echo', { a: 1, b: ['x', null] }))
await step('rpc_refused', app.rpc('proc-transfer', { from: 1, to: 2, amount: -1 }))
await step('rpc_unknown', app.rpc('nothing'))
await step('anon', anon.from('task').select())
await step('anon_insert', anon.from('task').insert({ title: 'mine' }))
await step('wrong_key', createClient(APP_URL, 'nonsense', options).from('task').select())

const cut = new AbortController()
const aborted = task().select().abortSignal(cut.signal)
cut.abort()
answers.aborted = (await aborted).error !== null

let thrown = null
try {
  await task().select('nothing').throwOnError()
} catch (error) {
  thrown = error.code
}
answers.thrown = thrown

console.log(JSON.stringify(answers))
