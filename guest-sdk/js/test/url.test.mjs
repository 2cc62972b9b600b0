// Compares the SDK's URL with that of Node.js.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { URL as Ours, URLSearchParams as OurParams } from '../src/web/url.js'

const BASES = [undefined, 'http://base.com/a/b/c?q#h', 'mailto:x', 'foo://bh/p/q', 'file:///d/e']
const ADDRESSES = [
  ...['http://example.com', 'HTTP://EXAMPLE.com:80/', 'https://a.b:443/x/../y/./z?q=1#f', '//x.y/z', '///x', '/abs?x'],
  ...['rel/../path', '?only=q', '#frag', '', 'http:foo', 'http:/foo', 'http:\\\\h\\p', '../../x', './', '..', 'a b'],
  ...['http://user:pa%20ss@h:8080/p a?q "x"#<f>', 'https://a@b@c/', 'http://@h/', 'http://:p@h/', 'http://h/a/%2e'],
  ...['http://1.2.3', 'http://0x7f.1/', 'http://256.1.1.1/', 'http://4294967295', 'http://08.1.1.1', 'http://1..2'],
  ...['http://[::1]:3000/', 'http://[1:0:0:2:0:0:0:3]/', 'http://[::ffff:1.2.3.4]', 'http://[2001:db8::1', 'http://[1::8]'],
  ...['http://münchen.de/ä?ö#ü', 'http://日本語.jp/', 'http://ａ.com', 'http://EXAMPLE。com', 'http://a%41.com/', 'http://%zz/'],
  ...['http://h:99999', 'http://h:', 'http://h:a', 'http://a b/', 'http://a<b', 'ws://h', 'foo://h:80/p', 'foo:/p//q'],
  ...['mailto:a@b.c', 'data:text/plain,hello world', 'file:///etc/passwd', 'web+demo:/.//not-a-host/', '  http://h/\t\nx '],
]
const PARTS = ['href', 'origin', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search', 'hash']

function parts(URL, address, base) {
  if (!URL.canParse(address, base)) return 'not a URL'
  const url = new URL(address, base)
  return Object.fromEntries(PARTS.map((part) => [part, url[part]]))
}

test('parses as Node.js does', () => {
  for (const base of BASES) {
    for (const address of ADDRESSES) {
      assert.deepEqual(parts(Ours, address, base), parts(URL, address, base), `${address} from ${base}`)
    }
  }
})

test('setters change what they change in Node.js', () => {
  const changes = { host: ['x.y:81', 'a/b'], hostname: ['q:9', ''], port: ['81abc', '', '99999'], pathname: ['a b?#', '/../x'] }
  Object.assign(changes, { search: ['?a b', ''], hash: ['#x y', ''], protocol: ['https', 'foo'], username: ['a:b'] })
  for (const address of ['http://u@h:80/p?q#f', 'https://h:444/', 'foo://h/p', 'mailto:x']) {
    for (const [part, values] of Object.entries(changes)) {
      for (const value of values) {
        const [ours, theirs] = [new Ours(address), new URL(address)]
        ours[part] = theirs[part] = value
        assert.equal(ours.href, theirs.href, `${part} = ${value} in ${address}`)
      }
    }
  }
})

test('searchParams and the URL stay one', () => {
  const url = new Ours('http://h/?a=1')
  url.searchParams.append('b', 'c d')
  url.searchParams.delete('a')
  assert.equal(url.href, 'http://h/?b=c+d')
  url.search = '?z=1'
  assert.equal(url.searchParams.get('z'), '1')
  for (const query of ['a=b&c=d', '?a=1&a=2', '=b', 'a=b=c', 'a+b=%20', '%zz=%41', 'é=ü', '&&a', "x=*-._~!'()"]) {
    assert.deepEqual([...new OurParams(query)], [...new URLSearchParams(query)])
    assert.equal(String(new OurParams(query)), String(new URLSearchParams(query)))
  }
})
