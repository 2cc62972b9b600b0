import { HttpError, cache, config, defineFunction, identity, log, secrets } from '@pumice/sdk'

// What the SDK promises, one path each.
const answers = {
  '/echo': async (request) => new Response(await request.text(), { status: 201, headers: { 'x-seen': request.method } }),
  '/json': async (request) => Response.json({ twice: (await request.json()).n * 2 }),
  '/url': (request) => {
    const url = new URL(request.url)
    return Response.json({ path: url.pathname, q: url.searchParams.getAll('q') })
  },
  '/bytes': () => new Response(new TextEncoder().encode('é€')),
  '/stream': () => {
    async function* parts() {
      yield 'one '
      await new Promise((resolve) => setTimeout(resolve, 1))
      yield 'two'
    }
    return new Response(parts())
  },
  '/platform': () =>
    Response.json({
      app: identity.app(),
      role: identity.caller().role,
      greeting: config.get('greeting'),
      secret: secrets.get('TOKEN'),
      visits: cache.increment('visits'),
    }),
  '/log': () => {
    console.log('from the console', { n: 1 })
    log.warn('from the log', { n: 2 })
    return new Response(null, { status: 204 })
  },
  '/refuse': () => {
    throw new HttpError(409, 'taken', 'it is taken')
  },
  '/throw': async () => {
    await null
    throw new Error('the cause')
  },
  '/spin': () => {
    for (;;);
  },
}

export default defineFunction((request) => {
  const path = new URL(request.url).pathname.replace(/^\/web/, '')
  return answers[path]?.(request) ?? new Response('nothing\n', { status: 404 })
})
