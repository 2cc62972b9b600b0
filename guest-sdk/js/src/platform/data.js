import * as host from 'pumice:platform/data'
import { DataError } from '../errors.js'
import { needHost } from '../phase.js'
import { Query } from './query.js'

const WORDS = {
  'not-configured': 'this server has no tables for this app',
  'not-in-before-trigger': 'a before-trigger cannot write',
  'transaction-open': 'a transaction is open: write through it, or end it first',
  'transaction-ended': 'the transaction is over',
  'too-large': 'too large for one call',
  unavailable: 'the database is unavailable',
}

/** The app's tables, as the caller of the invocation. */
export const data = client('caller')

function client(authority) {
  return {
    from(table) {
      return new Query(callsAs(authority), table)
    },

    /** The same as the app itself, which policies do not bind. */
    asApp() {
      return client('app')
    },

    async sql(statement, parameters = []) {
      return outcome(() => rowsOf(host.sql, String(statement), JSON.stringify(parameters)))
    },

    async transaction(work) {
      needHost('data.transaction')
      const transaction = asking(() => host.Transaction.begin(authority))
      let value
      try {
        value = await work(scopeOf(transaction))
      } catch (error) {
        host.Transaction.rollback(transaction)
        throw error
      }
      asking(() => host.Transaction.commit(transaction))
      return value
    },
  }
}

/** What the callback of a transaction gets: its calls throw, so that none that failed is passed over. */
function scopeOf(transaction) {
  const calls = {
    select: (query) => asking(() => transaction.select(query)),
    insert: (table, rows) => asking(() => transaction.insert(table, rows)),
    upsert: (table, rows, onConflict) => asking(() => transaction.upsert(table, rows, onConflict)),
    update: (query, values) => asking(() => transaction.update(query, values)),
    delete: (query) => asking(() => transaction['delete'](query)),
  }
  return {
    from: (table) => new Query(calls, table, true),
    async sql(statement, parameters = []) {
      const rows = asking(() => transaction.sql(String(statement), JSON.stringify(parameters)))
      return { data: JSON.parse(rows), error: null }
    },
  }
}

function callsAs(authority) {
  const calling =
    (name) =>
    (...args) => {
      needHost(`data.${name}`)
      return asking(() => host[name](authority, ...args))
    }
  return Object.fromEntries(['select', 'insert', 'upsert', 'update', 'delete'].map((name) => [name, calling(name)]))
}

function rowsOf(call, ...args) {
  needHost('data.sql')
  return JSON.parse(asking(() => call(...args)))
}

function outcome(run) {
  try {
    return { data: run(), error: null }
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    return { data: null, error }
  }
}

/** What `run` returns; the error of a WIT call is thrown as a `DataError`. */
function asking(run) {
  try {
    return run()
  } catch (error) {
    const { tag, val } = error?.payload ?? {}
    if (tag === undefined) throw error
    if (tag !== 'database') throw new DataError(tag, [WORDS[tag], val].filter((part) => part !== undefined && part !== null).join(': '))
    const { code, message, details, hint } = val
    throw new DataError(code, message, { details, hint, refused: true })
  }
}
