import { defineTrigger, reject } from '@pumice/sdk'

// Refuses rows whose `total_cents` is below zero.
export default defineTrigger(({ row, old }) => {
  if ((row ?? old).total_cents < 0) reject('negative_total', 'total_cents must not be negative')
})
