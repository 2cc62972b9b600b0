import assert from 'node:assert/strict'
import { test } from 'node:test'
import { replaced } from '../src/rows.js'

test('a replacement changes what was changed and nothing else', () => {
  const check = (before, change, expected) => assert.equal(replaced(before, change(JSON.parse(before))), expected)
  const exact = '{"id": 12345678901234567890123, "price":1.50,"tags":["a,b:\\"]",{"n":1e3}],"note":null}'
  const plain = '{"id":1,"note":"é"}'
  check(plain, (row) => row, plain)
  check(plain, (row) => ({ ...row, note: 'x' }), '{"id":1,"note":"x"}')
  check(plain, () => ({ more: [1] }), '{"id":1,"note":"é","more":[1]}')
  check(plain, (row) => ({ ...row, note: undefined }), plain)
  check(plain, () => ({ note: null }), '{"id":1,"note":null}')
  check('{}', () => ({ a: 1 }), '{"a":1}')
  check(exact, (row) => row, '{"id":12345678901234567890123,"price":1.50,"tags":["a,b:\\"]",{"n":1e3}],"note":null}')
  check(exact, () => ({ price: 2, 'a"b': 1 }), '{"id":12345678901234567890123,"price":2,"tags":["a,b:\\"]",{"n":1e3}],"note":null,"a\\"b":1}')
  check('{"a\\"b":1.0,"c":{}}', () => ({ c: 1 }), '{"a\\"b":1.0,"c":1}')
})
