import { data, defineSendMessage } from '@pumice/sdk'

// Writes each message into the table `sent` in place of sending it.
export default defineSendMessage(async ({ channel, to, kind, token }) => {
  await data.asApp().from('sent').insert({ channel, recipient: to, kind, token }).throwOnError()
})
