import { config, defineBeforeUserCreated, reject } from '@pumice/sdk'

// Refuses addresses of the domain that the manifest's `[config]` calls `blocked`; gives the others a plan.
export default defineBeforeUserCreated(async ({ email, appMetadata }) => {
  await null
  if (email?.endsWith(`@${config.get('blocked')}`)) reject('blocked_domain', 'this domain may not sign up')
  return { appMetadata: { ...appMetadata, plan: 'free' } }
})
