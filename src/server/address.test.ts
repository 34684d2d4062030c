// Addresses as people write them.
// Promises: what parses prints the same again.
// Does not know: sockets.

import { expect, test } from 'vitest'
import { isLoopback, parseAddress, printAddress } from './address.ts'

test.each(['127.0.0.1:9092', 'broker.example:1', '[::1]:65535', '[fe80::1%eth0]:9092', 'localhost:9092'])(
  '%s',
  (text) => {
    const address = parseAddress(text)
    expect(address).toBeDefined()
    if (address !== undefined) expect(printAddress(address)).toBe(text)
  },
)

test.each(['', 'a', 'a:', ':1', 'a:0', 'a:65536', 'a:-1', '::1:9092', 'a b:1', 'a:1x', 'http://a:1'])(
  'not %s',
  (text) => {
    expect(parseAddress(text)).toBeUndefined()
  },
)

test('port 0 where it may be', () => {
  expect(parseAddress('127.0.0.1:0', 0)).toEqual({ host: '127.0.0.1', port: 0 })
})

test('loopback', () => {
  for (const host of ['127.0.0.1', '127.8.8.8', '::1', 'localhost']) expect(isLoopback(host)).toBe(true)
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'broker.example']) expect(isLoopback(host)).toBe(false)
})
