import { data, defineScript } from '@pumice/sdk'

// Each minute: writes down what is in the book. A run that is repeated writes the same row again.
export default defineScript(async ({ scheduledFor }) => {
  const minute = new Date(Math.floor(scheduledFor.getTime() / 60_000) * 60_000)
  const { data: sums, error } = await data.sql(
    `select (select count(*) from entries) as entries, (select coalesce(sum(points), 0) from members) as points`,
  )
  if (error) throw error
  await data.asApp().from('minutes').upsert({ minute, ...sums[0] }).throwOnError()
})
