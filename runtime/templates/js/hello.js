import { defineFunction } from '@pumice/sdk'

export default defineFunction((request) => {
  const name = new URL(request.url).searchParams.get('name') ?? 'world'
  return new Response(`Hello, ${name}!\n`)
})
