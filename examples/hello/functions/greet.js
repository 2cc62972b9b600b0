import { defineFunction } from '@pumice/sdk'

export default defineFunction(async (request) => {
  const { name } = await request.json()
  return Response.json({ message: `Hello ${name}` })
})
