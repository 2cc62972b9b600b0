import { defineCustomClaims } from '@pumice/sdk'

// Puts the user's plan beside the other claims.
export default defineCustomClaims(({ claims }) => ({ ...claims, plan: claims.app_metadata.plan ?? 'none' }))
