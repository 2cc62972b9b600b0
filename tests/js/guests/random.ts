import { defineFunction } from '@pumice/sdk'

interface Chance {
  bytes: string
  uuid: string
  math: number
}

// Two instances that agree in any of these were started from a snapshot of a seed.
export default defineFunction((): Response => {
  const bytes: Uint8Array = crypto.getRandomValues(new Uint8Array(16))
  const chance: Chance = {
    bytes: Array.from(bytes).join(' '),
    uuid: crypto.randomUUID(),
    math: Math.random(),
  }
  return Response.json(chance)
})
