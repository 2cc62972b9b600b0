// What is asked of one table, in the words of supabase-js; where it runs is given.

import { DataError } from '../errors.js'

const PLAIN_COLUMNS = /^\s*[\w$]+(\s*,\s*[\w$]+)*\s*$/

const TEXT_SEARCH = { plain: 'plfts', phrase: 'phfts', websearch: 'wfts' }

/**
 * A query, to be awaited: `{ data, error }`. `calls` has the functions `select`, `insert`, `upsert`, `update` and
 * `delete` of the data interface, without authority; with `throws` an error is thrown instead.
 */
export class Query {
  #calls
  #throws
  #query
  #verb = 'select'
  #values
  #onConflict = []
  // Whether a write answers with its rows, and how many rows there have to be.
  #returns = true
  #rows = 'many'

  constructor(calls, table, throws = false) {
    this.#calls = calls
    this.#throws = throws
    this.#query = { table: String(table), select: null, filters: [], order: null, limit: null, offset: null }
  }

  select(columns = '*') {
    const text = String(columns)
    this.#query.select = text === '*' ? null : text
    this.#returns = true
    return this
  }

  insert(values) {
    return this.#write('insert', values)
  }

  upsert(values, { onConflict = '' } = {}) {
    this.#onConflict = onConflict.split(',').map((name) => name.trim()).filter((name) => name !== '')
    return this.#write('upsert', values)
  }

  update(values) {
    return this.#write('update', values)
  }

  delete() {
    return this.#write('delete')
  }

  /** Any condition in the dialect's words; `operator` may begin with `not.`. */
  filter(column, operator, value) {
    this.#query.filters.push({ column: String(column), operator: String(operator), value: String(value) })
    return this
  }

  eq(column, value) {
    return this.filter(column, 'eq', value)
  }

  neq(column, value) {
    return this.filter(column, 'neq', value)
  }

  gt(column, value) {
    return this.filter(column, 'gt', value)
  }

  gte(column, value) {
    return this.filter(column, 'gte', value)
  }

  lt(column, value) {
    return this.filter(column, 'lt', value)
  }

  lte(column, value) {
    return this.filter(column, 'lte', value)
  }

  like(column, pattern) {
    return this.filter(column, 'like', pattern)
  }

  ilike(column, pattern) {
    return this.filter(column, 'ilike', pattern)
  }

  regexMatch(column, pattern) {
    return this.filter(column, 'match', pattern)
  }

  regexIMatch(column, pattern) {
    return this.filter(column, 'imatch', pattern)
  }

  is(column, value) {
    return this.filter(column, 'is', value)
  }

  isDistinct(column, value) {
    return this.filter(column, 'isdistinct', value)
  }

  in(column, values) {
    return this.filter(column, 'in', list(values))
  }

  notIn(column, values) {
    return this.filter(column, 'not.in', list(values))
  }

  contains(column, value) {
    return this.filter(column, 'cs', collection(value))
  }

  containedBy(column, value) {
    return this.filter(column, 'cd', collection(value))
  }

  overlaps(column, value) {
    return this.filter(column, 'ov', collection(value))
  }

  rangeGt(column, range) {
    return this.filter(column, 'sr', range)
  }

  rangeGte(column, range) {
    return this.filter(column, 'nxl', range)
  }

  rangeLt(column, range) {
    return this.filter(column, 'sl', range)
  }

  rangeLte(column, range) {
    return this.filter(column, 'nxr', range)
  }

  rangeAdjacent(column, range) {
    return this.filter(column, 'adj', range)
  }

  textSearch(column, query, { type, config } = {}) {
    const operator = TEXT_SEARCH[type] ?? 'fts'
    return this.filter(column, config === undefined ? operator : `${operator}(${config})`, query)
  }

  match(values) {
    for (const [column, value] of Object.entries(values)) this.eq(column, value)
    return this
  }

  not(column, operator, value) {
    return this.filter(column, `not.${operator}`, operator === 'in' && Array.isArray(value) ? list(value) : value)
  }

  or(conditions) {
    return this.filter('or', '', `(${conditions})`)
  }

  order(column, { ascending = true, nullsFirst } = {}) {
    const nulls = nullsFirst === undefined ? '' : nullsFirst ? '.nullsfirst' : '.nullslast'
    const term = `${column}.${ascending ? 'asc' : 'desc'}${nulls}`
    this.#query.order = this.#query.order === null ? term : `${this.#query.order},${term}`
    return this
  }

  limit(rows) {
    this.#query.limit = rows
    return this
  }

  /** The rows from number `first` to number `last`, both included, counted from 0. */
  range(first, last) {
    this.#query.offset = first
    this.#query.limit = last - first + 1
    return this
  }

  /** `data` is the only row; none or several are an error. */
  single() {
    this.#rows = 'one'
    return this
  }

  /** `data` is the only row, or null; several are an error. */
  maybeSingle() {
    this.#rows = 'one or none'
    return this
  }

  /** Has errors thrown; `error` is null then. */
  throwOnError() {
    this.#throws = true
    return this
  }

  then(onFulfilled, onRejected) {
    return new Promise((resolve) => resolve(this.#outcome())).then(onFulfilled, onRejected)
  }

  #write(verb, values) {
    this.#verb = verb
    this.#values = values
    this.#returns = false
    return this
  }

  #outcome() {
    try {
      return { data: this.#run(), error: null }
    } catch (error) {
      if (this.#throws || !(error instanceof DataError)) throw error
      return { data: null, error }
    }
  }

  #run() {
    let rows = JSON.parse(this.#call())
    if (!this.#returns) return null
    // The interface answers an insert with whole rows.
    if (this.#verb === 'insert' || this.#verb === 'upsert') rows = rows.map((row) => this.#picked(row))
    if (this.#rows === 'many') return rows
    if (rows.length === 1) return rows[0]
    if (rows.length === 0 && this.#rows === 'one or none') return null
    throw new DataError('PGRST116', 'Cannot coerce the result to a single JSON object', {
      details: `The result contains ${rows.length === 0 ? 0 : 'several'} rows`,
    })
  }

  #call() {
    const query = this.#query
    switch (this.#verb) {
      case 'insert':
      case 'upsert':
        return this.#insert()
      case 'update':
        this.#needFilter()
        return this.#calls.update(query, JSON.stringify(this.#values))
      case 'delete':
        this.#needFilter()
        return this.#calls.delete(query)
      default:
        // Two rows are enough to know that there is more than one.
        return this.#calls.select(this.#rows === 'many' ? query : { ...query, limit: Math.min(query.limit ?? 2, 2) })
    }
  }

  #insert() {
    const { table, select, filters, order, limit, offset } = this.#query
    if (filters.length > 0 || order !== null || limit !== null || offset !== null) {
      throw new DataError('invalid', 'an insert or upsert takes no filter, order, limit or range')
    }
    if (select !== null && !PLAIN_COLUMNS.test(select)) {
      throw new DataError('invalid', 'after an insert or upsert, select takes names of columns and nothing else')
    }
    const rows = JSON.stringify([this.#values].flat())
    return this.#verb === 'insert' ? this.#calls.insert(table, rows) : this.#calls.upsert(table, rows, this.#onConflict)
  }

  #picked(row) {
    const { select } = this.#query
    if (select === null) return row
    return Object.fromEntries(select.split(',').map((name) => [name.trim(), row[name.trim()]]))
  }

  #needFilter() {
    if (this.#query.filters.length > 0) return
    throw new DataError(
      'no-filter',
      'an update or delete needs a filter; one that holds for every row, such as not("id", "is", null), says that all are meant',
    )
  }
}

function list(values) {
  return `(${Array.from(values, (value) => quoted(String(value))).join(',')})`
}

/** A list in PostgreSQL's form of an array, a string as it stands (a range), anything else as JSON. */
function collection(value) {
  if (Array.isArray(value)) return array(value)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function array(items) {
  const texts = items.map((item) => {
    if (Array.isArray(item)) return array(item)
    if (item === null || item === undefined) return 'NULL'
    if (typeof item === 'object') return quoted(JSON.stringify(item))
    return typeof item === 'string' ? quoted(item) : String(item)
  })
  return `{${texts.join(',')}}`
}

function quoted(text) {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}
