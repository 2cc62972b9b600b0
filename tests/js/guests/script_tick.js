import { data, defineScript } from '@pumice/sdk'

// Inserts a row into `tick` that tells what the job was.
export default defineScript(async ({ id, attempt, scheduledFor, payload }) => {
  await data
    .asApp()
    .from('tick')
    .insert({ job_id: id, attempt, scheduled_for: scheduledFor.getTime(), payload })
    .throwOnError()
})
