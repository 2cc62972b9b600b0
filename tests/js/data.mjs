// The official client against Pumice's tables: each check has a name, and what failed is printed as one JSON document.
import assert from 'node:assert/strict'
import { createClient } from '@supabase/supabase-js'

const { APP_URL, ANON_KEY, SERVICE_KEY } = process.env
// Realtime is not under test, and Node.js 20 has no WebSocket to give it.
const options = { auth: { persistSession: false }, realtime: { transport: class {} } }
const app = createClient(APP_URL, SERVICE_KEY, options)
const anon = createClient(APP_URL, ANON_KEY, options)

const passed = []
const failed = {}

async function check(name, run) {
  try {
    await run()
    passed.push(name)
  } catch (error) {
    failed[name] = String(error.message ?? error)
  }
}

/** The data of an answer that has to be there. */
async function data(request) {
  const answer = await request
  assert.equal(answer.error, null, JSON.stringify(answer.error))
  return answer.data
}

/** A check that a read finds these ids. */
const ids = (name, request, expect) =>
  check(name, async () => {
    const rows = await data(request)
    assert.deepEqual(rows.map((row) => row.id), expect)
  })

const refused = (name, request, status, code, message) =>
  check(name, async () => {
    const answer = await request
    assert.equal(answer.data, null)
    assert.equal(answer.status, status, JSON.stringify(answer))
    assert.equal(answer.error?.code, code)
    if (message) assert.equal(answer.error.message, message)
  })

const tasks = () => app.from('tasks').select('id').order('id')
const users = () => app.from('users').select('id').order('id')
const things = () => app.from('things')

// Filters.
await ids('eq', tasks().eq('id', 3), [3])
await ids('neq', tasks().neq('id', 3), [1, 2, 4, 5, 6, 7])
await ids('gt', tasks().gt('points', 3), [2, 5])
await ids('gte', tasks().gte('points', 3), [1, 2, 5])
await ids('lt', tasks().lt('points', 2), [6, 7])
await ids('lte', tasks().lte('points', 2), [3, 6, 7])
await ids('like', tasks().like('title', '%wall%'), [2, 3])
await ids('ilike', tasks().ilike('title', 'DRAW%'), [1, 4])
await ids('likeAllOf', tasks().likeAllOf('title', ['%a%', '%wall']), [2, 3])
await ids('likeAnyOf', tasks().likeAnyOf('title', ['draw%', 'ship%']), [1, 5])
await ids('ilikeAllOf', tasks().ilikeAllOf('title', ['DRAW%', '%MAP']), [4])
await ids('ilikeAnyOf', tasks().ilikeAnyOf('title', ['DRAW%', '%WOOL']), [1, 4, 6])
await ids('regexMatch', tasks().regexMatch('title', '^draw'), [1])
await ids('regexIMatch', tasks().regexIMatch('title', '^draw'), [1, 4])
await ids('is null', tasks().is('points', null), [4])
await ids('is true', users().is('active', true), [1, 2, 4])
await ids('isDistinct', tasks().isDistinct('points', 1), [1, 2, 3, 4, 5])
await ids('in', tasks().in('id', [1, 7, 99]), [1, 7])
await ids('in, nothing', tasks().in('id', []), [])
await ids('in, texts with commas', app.from('odd names').select('id:select').in('"x.y"', ['a,b', 'z']), [2])
await ids('notIn', tasks().notIn('id', [1, 2, 3, 4]), [5, 6, 7])
await ids('contains, an array', users().contains('tags', ['a', 'b']), [1])
await ids('contains, an object', users().contains('data', { lang: 'en' }), [1, 4])
await ids('containedBy', users().containedBy('tags', ['a', 'b']), [1, 2, 3])
await ids('overlaps', users().overlaps('scores', [1, 5]), [1, 5])
await ids('textSearch', app.from('notes').select('id').order('id').textSearch('body', 'bear', { config: 'english' }), [3])
await ids('textSearch, plain', app.from('notes').select('id').order('id').textSearch('body', 'brown foxes', { config: 'english', type: 'plain' }), [1, 3])
await ids('textSearch, phrase', app.from('notes').select('id').order('id').textSearch('body', 'brown fox', { config: 'english', type: 'phrase' }), [1])
await ids('textSearch, websearch', app.from('notes').select('id').order('id').textSearch('body', 'fox -bear', { config: 'english', type: 'websearch' }), [1, 2])
await ids('match', tasks().match({ status: 'todo', project_id: 11 }), [4])
await ids('not', tasks().not('points', 'is', null).not('id', 'in', '(1,2)'), [3, 5, 6, 7])
await ids('or', tasks().or('id.eq.1,and(points.eq.1,status.eq.doing)'), [1, 7])
await ids('filter', tasks().filter('id', 'in', '(1,2)'), [1, 2])
await ids('filter, a place in JSON', users().eq('data->>lang', 'de'), [2])
await ids('eq, quotes and signs', app.from('odd names').select('id:select').eq('"a b"', "o'clock"), [2])
await ids('several', tasks().gt('points', 1).lt('points', 5).eq('status', 'done'), [1])

// Order and pages.
await ids('order', app.from('tasks').select('id').order('points', { ascending: false, nullsFirst: false }).order('id'), [5, 2, 1, 3, 6, 7, 4])
await ids('order, nulls first', app.from('tasks').select('id').order('points', { nullsFirst: true }).order('id').limit(2), [4, 6])
await ids('limit', tasks().limit(2), [1, 2])
await ids('range', tasks().range(2, 4), [3, 4, 5])
await ids('order by what is embedded', app.from('tasks').select('id, projects(name)').order('projects(name)', { ascending: false }).order('id').limit(2), [6, 7])

// Columns.
await check('select, all of it', async () => {
  const row = await data(app.from('teams').select().eq('id', 1).single())
  assert.deepEqual(row, { id: 1, name: 'red', city: 'Rome', budget: 1000.5, founded: '2001-05-06' })
})
await check('select, aliases, casts and places in JSON', async () => {
  const row = await data(app.from('users').select('label:name, id::text, data->addr->>city, first:scores->0').eq('id', 1).single())
  assert.deepEqual(row, { label: 'Ada', id: '1', city: 'Rome', first: 1 })
})
await check('aggregates', async () => {
  const rows = await data(app.from('tasks').select('project_id, points.sum(), count()').order('project_id'))
  assert.deepEqual(rows, [{ project_id: 10, sum: 10, count: 3 }, { project_id: 11, sum: 8, count: 2 }, { project_id: 12, sum: 2, count: 2 }])
})

// What belongs to a row.
const embed = (name, request, expect) => check(name, async () => assert.deepEqual(await data(request), expect))
await embed('embed, to one', app.from('tasks').select('id, projects(name, teams(name))').eq('id', 1), [{ id: 1, projects: { name: 'alpha', teams: { name: 'red' } } }])
await embed('embed, to many', app.from('teams').select('name, users(name)').eq('id', 1).order('id', { referencedTable: 'users' }), [{ name: 'red', users: [{ name: 'Ada' }, { name: 'Bob' }] }])
await embed('embed, limited', app.from('teams').select('name, users(name)').order('id').order('id', { referencedTable: 'users' }).limit(1, { referencedTable: 'users' }).limit(1), [{ name: 'red', users: [{ name: 'Ada' }] }])
await embed('embed, a range', app.from('teams').select('name, users(name)').eq('id', 1).order('id', { referencedTable: 'users' }).range(1, 1, { referencedTable: 'users' }), [{ name: 'red', users: [{ name: 'Bob' }] }])
await embed('embed, filtered', app.from('teams').select('name, users(name)').eq('users.age', 36).order('id').limit(1), [{ name: 'red', users: [{ name: 'Ada' }] }])
await embed('embed, or inside', app.from('teams').select('name, users(name)').eq('id', 1).or('age.gt.30,name.eq.nobody', { referencedTable: 'users' }), [{ name: 'red', users: [{ name: 'Ada' }] }])
await embed('embed, inner', app.from('teams').select('name, users!inner(name)').eq('users.name', 'Cyn'), [{ name: 'blue', users: [{ name: 'Cyn' }] }])
await embed('embed, many to many', app.from('projects').select('name, users!members(name)').eq('id', 11), [{ name: 'beta', users: [{ name: 'Bob' }] }])
await embed('embed, hints', app.from('projects').select('owner:users!projects_owner_id_fkey(name), reviewer:users!reviewer_id(name)').eq('id', 10), [{ owner: { name: 'Ada' }, reviewer: { name: 'Bob' } }])
await embed('embed, its own kind', app.from('users').select('name, boss:boss_id(name)').eq('id', 2), [{ name: 'Bob', boss: { name: 'Ada' } }])
await embed('embed, one to one', app.from('users').select('name, profiles(bio)').eq('id', 2), [{ name: 'Bob', profiles: { bio: 'builder' } }])
await embed('embed, spread', app.from('tasks').select('id, ...projects(project:name)').eq('id', 4), [{ id: 4, project: 'beta' }])
await embed('embed, none of it', app.from('teams').select('name, users()').is('users', null), [{ name: 'grün' }])
await embed('embed, a view', app.from('projects').select('name, open_tasks(id)').eq('id', 11), [{ name: 'beta', open_tasks: [{ id: 4 }] }])
await check('embed, ambiguous', async () => {
  const { error, status } = await app.from('projects').select('name, users(name)')
  assert.equal(status, 300)
  assert.equal(error.code, 'PGRST201')
  assert.equal(error.details.length, 3)
  assert.match(error.hint, /^Try changing 'users' to one of the following: /)
})
await refused('embed, nothing', app.from('users').select('name, rooms(seats)'), 400, 'PGRST200', "Could not find a relationship between 'users' and 'rooms' in the schema cache")

// Counts.
await check('count', async () => {
  const { count, data, status } = await app.from('tasks').select('id', { count: 'exact' }).order('id').limit(2)
  assert.deepEqual([count, data.length, status], [7, 2, 206])
})
await check('count, head', async () => {
  const { count, data, status } = await app.from('tasks').select('*', { count: 'exact', head: true }).eq('status', 'todo')
  assert.deepEqual([count, data, status], [3, null, 200])
})
for (const count of ['planned', 'estimated']) {
  await check(`count, ${count}`, async () => {
    const answer = await app.from('tasks').select('*', { count, head: true })
    assert.equal(typeof answer.count, 'number')
  })
}
await check('count of a write', async () => {
  const { count, status } = await things().update({ n: 1 }, { count: 'exact' }).lt('id', 3).rollback()
  assert.deepEqual([count, status], [2, 204])
})

// One row.
await check('single', async () => assert.deepEqual(await data(tasks().eq('id', 2).single()), { id: 2 }))
await refused('single of many', tasks().single(), 406, 'PGRST116', 'Cannot coerce the result to a single JSON object')
await refused('single of none', tasks().eq('id', 99).single(), 406, 'PGRST116')
await check('maybeSingle', async () => assert.deepEqual(await data(tasks().eq('id', 2).maybeSingle()), { id: 2 }))
await check('maybeSingle of none', async () => assert.equal(await data(tasks().eq('id', 99).maybeSingle()), null))
await check('maybeSingle of many', async () => assert.equal((await tasks().maybeSingle()).error?.code, 'PGRST116'))

// Other forms.
await check('csv', async () => {
  assert.equal(await data(app.from('teams').select('id, name, city').order('id').csv()), 'id,name,city\n1,red,Rome\n2,blue,Oslo\n3,grün,')
})
await check('stripNulls', async () => {
  assert.deepEqual(await data(app.from('teams').select('id, city').eq('id', 3).stripNulls()), [{ id: 3 }])
})
await check('explain', async () => assert.ok((await data(tasks().explain())).length > 0))
await check('explain, JSON', async () => assert.ok(Array.isArray(await data(tasks().explain({ format: 'json' })))))

// Writes.
await check('insert', async () => {
  const answer = await things().insert({ id: 10, word: 'ten' })
  assert.deepEqual([answer.error, answer.data, answer.status, answer.statusText], [null, null, 201, 'Created'])
})
await embed('insert, and see', things().insert([{ id: 11, n: 1 }, { id: 12, n: 2 }]).select('id, n, word'), [{ id: 11, n: 1, word: 'none' }, { id: 12, n: 2, word: 'none' }])
await embed('insert, one of it', things().insert({ id: 13, note: 'x' }).select('number:id').single(), { number: 13 })
await embed('insert, defaults', things().insert([{ id: 14, word: 'w' }, { id: 15 }], { defaultToNull: false }).select('id, word'), [{ id: 14, word: 'w' }, { id: 15, word: 'none' }])
await embed('insert, ragged', things().insert([{ id: 16, n: 1 }, { id: 17, word: 'w' }]).select('id, n, word'), [{ id: 16, n: 1, word: null }, { id: 17, n: null, word: 'w' }])
await embed('insert, all kinds', app.from('kinds').insert({ id: 50, tags: ['a', 'b'], numbers: [1], extra: { a: [1] }, flag: true, exact: '1.50', at: '2024-01-01T00:00:00Z' }).select('tags, numbers, extra, flag, exact, at').single(), { tags: ['a', 'b'], numbers: [1], extra: { a: [1] }, flag: true, exact: 1.5, at: '2024-01-01T00:00:00+00:00' })
await check('update', async () => {
  const answer = await things().update({ word: 'changed' }).eq('id', 10)
  assert.deepEqual([answer.error, answer.data, answer.status], [null, null, 204])
})
await embed('update, and see', things().update({ n: 9 }).eq('id', 10).select('id, word, n'), [{ id: 10, word: 'changed', n: 9 }])
await embed('update, of nothing', things().update({ n: 9 }).eq('id', 999).select(), [])
await embed('upsert, merges', things().upsert({ id: 10, word: 'merged' }).select('id, word, n'), [{ id: 10, word: 'merged', n: 9 }])
await embed('upsert, inserts', things().upsert({ id: 20, note: 'key' }).select('id, note'), [{ id: 20, note: 'key' }])
await embed('upsert, by another key', things().upsert({ id: 20, note: 'key', word: 'by note' }, { onConflict: 'note' }).select('id, word'), [{ id: 20, word: 'by note' }])
await embed('upsert, leaves', things().upsert([{ id: 10, word: 'no' }, { id: 21, word: 'yes' }], { ignoreDuplicates: true }).select('id, word'), [{ id: 21, word: 'yes' }])
await embed('upsert, several', app.from('pairs').upsert([{ a: 1, b: 'x', note: 'merged' }, { a: 7, b: 'x', note: 'new' }]).select('a, note'), [{ a: 1, note: 'merged' }, { a: 7, note: 'new' }])
await embed('delete, and see', things().delete().eq('id', 21).select('word'), [{ word: 'yes' }])
await check('delete', async () => {
  const answer = await things().delete().gte('id', 11)
  assert.deepEqual([answer.error, answer.data, answer.status, answer.statusText], [null, null, 204, 'No Content'])
})
await check('rollback', async () => {
  await data(things().insert({ id: 30 }).select().rollback())
  assert.deepEqual(await data(things().select('id').eq('id', 30)), [])
})
await refused('maxAffected', things().update({ n: 1 }).lt('id', 3).maxAffected(1), 400, 'PGRST124', 'Query result exceeds max-affected preference constraint')

// What is refused.
await refused('a key that is there', things().insert({ id: 1 }), 409, '23505', 'duplicate key value violates unique constraint "things_pkey"')
await refused('a constraint', things().insert({ id: 40, n: 100 }), 400, '23514')
await refused('a missing value', app.from('tasks').insert({ id: 40, project_id: 10 }), 400, '23502')
await refused('a key of nothing', app.from('tasks').insert({ id: 40, project_id: 99, title: 'x' }), 409, '23503')
await refused('another type', things().insert({ id: 'many' }), 400, '22P02', 'invalid input syntax for type integer: "many"')
await refused('no such column to read', things().select('nothing'), 400, '42703', 'column things.nothing does not exist')
await refused('no such column to write', things().insert({ nothing: 1 }), 400, 'PGRST204', "Could not find the 'nothing' column of 'things' in the schema cache")
await refused('no such table', app.from('thing').select(), 404, 'PGRST205', "Could not find the table 'public.thing' in the schema cache")
await refused('no such schema', app.schema('nothing').from('things').select(), 406, 'PGRST106')
await refused('nothing granted', anon.from('tasks').select(), 401, '42501', 'permission denied for table tasks')
await refused('a policy', anon.from('things').insert({ id: 41 }), 401, '42501', 'new row violates row-level security policy for table "things"')
await refused('no key at all', createClient(APP_URL, 'nonsense', options).from('tasks').select(), 401, 'PGRST301')
await embed('granted and allowed', anon.from('teams').select('name').eq('id', 1), [{ name: 'red' }])

// Procedures.
await check('rpc', async () => {
  const answer = await data(app.rpc('proc-echo', { a: 1, b: ['x', null] }))
  assert.deepEqual(answer, { arguments: { a: 1, b: ['x', null] }, role: 'service_role', user_id: null })
})
await check('rpc, no arguments', async () => assert.deepEqual((await data(app.rpc('proc-echo'))).arguments, {}))
await refused('rpc, unknown', app.rpc('nothing'), 404, 'PGRST202')
await refused('rpc, not allowed', anon.rpc('proc-echo'), 401, '42501')

// The client itself.
await check('abort', async () => {
  const cut = new AbortController()
  const answer = tasks().abortSignal(cut.signal)
  cut.abort()
  assert.notEqual((await answer).error, null)
})
await check('throwOnError', async () => {
  await assert.rejects(async () => await things().select('nothing').throwOnError(), { code: '42703' })
})
await check('many at once', async () => {
  const all = await Promise.all(Array.from({ length: 50 }, (_, n) => data(tasks().eq('id', 1 + (n % 7)).single())))
  assert.deepEqual(all.map((row) => row.id), Array.from({ length: 50 }, (_, n) => 1 + (n % 7)))
})

console.log(JSON.stringify({ passed, failed }))
