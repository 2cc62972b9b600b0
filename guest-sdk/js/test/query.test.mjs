import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DataError } from '../src/errors.js'
import { Query } from '../src/platform/query.js'

/** Answers with `rows` and keeps what it was asked. */
function table(rows = [], throws = false) {
  const asked = []
  const answer =
    (name) =>
    (...args) => {
      asked.push([name, ...args])
      if (rows instanceof Error) throw rows
      return JSON.stringify(rows)
    }
  const verbs = ['select', 'insert', 'upsert', 'update', 'delete']
  const calls = Object.fromEntries(verbs.map((name) => [name, answer(name)]))
  return { asked, from: () => new Query(calls, 't', throws) }
}

test('a query asks for what it says', async () => {
  const { asked, from } = table([{ id: 1 }])
  const { data, error } = await from()
    .select('id,points')
    .eq('id', 5)
    .order('points', { ascending: false })
    .order('id', { nullsFirst: true })
    .range(20, 29)
  assert.deepEqual([data, error], [[{ id: 1 }], null])
  const query = {
    table: 't',
    select: 'id,points',
    filters: [{ column: 'id', operator: 'eq', value: '5' }],
    order: 'points.desc,id.asc.nullsfirst',
    limit: 10,
    offset: 20,
  }
  assert.deepEqual(asked, [['select', query]])
})

test('every filter has its form', async () => {
  const check = async (filter, expected) => {
    const { asked, from } = table()
    await filter(from())
    assert.deepEqual(
      asked[0][1].filters.map(({ column, operator, value }) => `${column}=${operator}.${value}`),
      expected,
    )
  }
  await check((q) => q.neq('a', 'x,y'), ['a=neq.x,y'])
  await check((q) => q.gt('a', 1.5).gte('a', -1).lt('a', 'z').lte('a', 0), ['a=gt.1.5', 'a=gte.-1', 'a=lt.z', 'a=lte.0'])
  await check((q) => q.like('a', '%b').ilike('a', 'b*'), ['a=like.%b', 'a=ilike.b*'])
  await check((q) => q.regexMatch('a', '^b').regexIMatch('a', '^b'), ['a=match.^b', 'a=imatch.^b'])
  await check((q) => q.is('a', null).is('b', true), ['a=is.null', 'b=is.true'])
  await check((q) => q.isDistinct('a', 1), ['a=isdistinct.1'])
  await check((q) => q.in('a', [1, 'b,c', 'say "x\\"']), ['a=in.("1","b,c","say \\"x\\\\\\"")'])
  await check((q) => q.in('a', []).notIn('a', [1]), ['a=in.()', 'a=not.in.("1")'])
  await check((q) => q.contains('a', [1, 'b c', null, [true]]), ['a=cs.{1,"b c",NULL,{true}}'])
  await check((q) => q.contains('a', { b: 1 }).containedBy('a', '[1,5)'), ['a=cs.{"b":1}', 'a=cd.[1,5)'])
  await check((q) => q.overlaps('a', []), ['a=ov.{}'])
  await check((q) => q.rangeGt('a', '[1,5)').rangeGte('a', '[1,5)'), ['a=sr.[1,5)', 'a=nxl.[1,5)'])
  await check((q) => q.rangeLt('a', '[1,5)').rangeLte('a', '[1,5)'), ['a=sl.[1,5)', 'a=nxr.[1,5)'])
  await check((q) => q.rangeAdjacent('a', '[1,5)'), ['a=adj.[1,5)'])
  await check((q) => q.textSearch('a', "'x' & 'y'").textSearch('a', 'x', { type: 'websearch', config: 'english' }), [
    "a=fts.'x' & 'y'",
    'a=wfts(english).x',
  ])
  await check((q) => q.match({ a: 1, b: 'c' }), ['a=eq.1', 'b=eq.c'])
  await check((q) => q.not('a', 'is', null).not('a', 'in', ['b']), ['a=not.is.null', 'a=not.in.("b")'])
  await check((q) => q.or('a.eq.1,b.gt.2'), ['or=.(a.eq.1,b.gt.2)'])
})

test('writes answer with rows only when asked to', async () => {
  const { asked, from } = table([{ a: 1, b: 2 }])
  assert.deepEqual(await from().insert({ a: 1 }), { data: null, error: null })
  assert.deepEqual((await from().insert([{ a: 1 }]).select('b').single()).data, { b: 2 })
  assert.deepEqual((await from().upsert({ a: 1 }, { onConflict: 'a, b' }).select()).data, [{ a: 1, b: 2 }])
  assert.deepEqual((await from().update({ a: 1 }).eq('b', 2).select('a')).data, [{ a: 1, b: 2 }])
  assert.deepEqual((await from().delete().eq('b', 2)).data, null)
  assert.deepEqual(asked.slice(0, 3), [
    ['insert', 't', '[{"a":1}]'],
    ['insert', 't', '[{"a":1}]'],
    ['upsert', 't', '[{"a":1}]', ['a', 'b']],
  ])
  assert.deepEqual([asked[3][0], asked[3][1].select, asked[3][2], asked[4][0]], ['update', 'a', '{"a":1}', 'delete'])
})

test('one row, or one or none', async () => {
  const check = async (rows, single, maybeSingle) => {
    const outcome = async (query) => {
      const { data, error } = await query
      return error?.code ?? data
    }
    assert.deepEqual(await outcome(table(rows).from().select().single()), single)
    assert.deepEqual(await outcome(table(rows).from().select().maybeSingle()), maybeSingle)
  }
  await check([], 'PGRST116', null)
  await check([{ a: 1 }], { a: 1 }, { a: 1 })
  await check([{}, {}], 'PGRST116', 'PGRST116')
})

test('what makes no sense is not asked', async () => {
  const { asked, from } = table()
  const code = async (query) => (await query).error?.code
  assert.equal(await code(from().update({ a: 1 })), 'no-filter')
  assert.equal(await code(from().delete().limit(1)), 'no-filter')
  assert.equal(await code(from().insert({}).eq('a', 1)), 'invalid')
  assert.equal(await code(from().insert({}).select('a,b(c)')), 'invalid')
  assert.deepEqual(asked, [])
})

test('an error is told or thrown', async () => {
  const refused = new DataError('23505', 'there is one already', { details: 'd' })
  assert.deepEqual(await table(refused).from().select(), { data: null, error: refused })
  await assert.rejects(async () => table(refused).from().select().throwOnError(), refused)
  await assert.rejects(async () => table(refused, true).from().select(), refused)
  // A fault of the SDK or of the author is none of the database's.
  await assert.rejects(async () => table(new TypeError('no')).from().select(), TypeError)
})
