import { defineTrigger, reject } from '@pumice/sdk'

/** @typedef {import('../database.types').Tables<'entries'>} Entry `pumice gen types > database.types.ts` */

const MOODS = { curious: /\?/, happy: /!|\b(love|great|happy|thanks?)\b/i }

// Before an entry is written: keeps it short and reads its mood.
export default defineTrigger((/** @type {import('@pumice/sdk').Change<Entry>} */ { row }) => {
  if (row.message.length > 280) reject('too_long', 'a message has at most 280 characters')
  const [mood] = Object.entries(MOODS).find(([, words]) => words.test(row.message)) ?? ['calm']
  // Laid over the row: the columns that are not mentioned stay as they are.
  return { mood }
})
