import { data, DataError, defineFunction, HttpError } from '@pumice/sdk'

// The page's API: `GET /api/book`, `POST /api/entries`. It acts as the app itself, whoever calls.
export default defineFunction(async (request) => {
  const { pathname } = new URL(request.url)
  switch (`${request.method} ${pathname}`) {
    case 'GET /api/book':
      return Response.json(await book())
    case 'POST /api/entries':
      return Response.json(await sign(await request.json()), { status: 201 })
  }
  throw new HttpError(404, 'not_found', `there is no ${request.method} ${pathname}`)
})

async function book() {
  const rows = async (query) => (await query.throwOnError()).data
  const app = data.asApp()
  const members = await rows(app.from('members').select('id,name,points').order('points', { ascending: false }))
  const entries = await rows(app.from('entries').select().order('id', { ascending: false }).limit(20))
  const minutes = await rows(app.from('minutes').select().order('minute', { ascending: false }).limit(30))
  return { members, entries, minutes }
}

// Joins whoever is new and adds the entry: both or neither.
async function sign({ name, message }) {
  try {
    return await data.asApp().transaction(async (tx) => {
      const member = await tx.from('members').upsert({ name }, { onConflict: 'name' }).select('id').single()
      const entry = await tx.from('entries').insert({ member_id: member.data.id, message }).select().single()
      return entry.data
    })
  } catch (error) {
    // A broken constraint, or the code and message of a before-trigger.
    if (error instanceof DataError) throw new HttpError(400, error.code, error.message)
    throw error
  }
}
