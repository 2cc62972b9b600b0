import { defineTrigger } from '@pumice/sdk'

// Writes the caller's role into `stamped_by`, after a wait that shows that a trigger may be asynchronous.
export default defineTrigger(async ({ row, caller }) => {
  await null
  return { ...row, stamped_by: caller.role }
})
