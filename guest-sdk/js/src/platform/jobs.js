import { enqueue } from 'pumice:platform/jobs'
import { asking } from '../errors.js'
import { needHost } from '../phase.js'

export const jobs = {
  /** Adds a job and returns its id; `runAt` is a Date or milliseconds since 1970. */
  enqueue(script, payload = null, { runAt = null, uniqueKey = null, attemptsMax = null } = {}) {
    needHost('jobs.enqueue')
    const options = { runAt: runAt === null ? null : Number(runAt), uniqueKey, attemptsMax }
    return asking('jobs.enqueue', () => enqueue(String(script), JSON.stringify(payload), options))
  },
}
