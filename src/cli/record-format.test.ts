// How consumed records are written.
// Promises: each piece of a format, each escape, and bytes that are no text.
// Does not know: where records come from.

import { expect, test } from 'vitest'
import type { FetchedRecord } from './fetcher.ts'
import { compileFormat, jsonFormat, valueFormat } from './record-format.ts'

const record: FetchedRecord = {
  topic: 'orders',
  partition: 3,
  offset: 42,
  timestampMs: Date.UTC(2026, 10, 21, 12, 30),
  key: Buffer.from('k'),
  value: Buffer.from('väl'),
  headers: [
    { name: 'a', value: Buffer.from('1') },
    { name: 'b', value: null },
  ],
}

test.each([
  ['%t/%p@%o', 'orders/3@42'],
  ['%k=%s', 'k=väl'],
  ['%K %S', '1 4'],
  ['%T', '1795264200000'],
  ['%D', '2026-11-21T12:30:00.000Z'],
  ['%h', 'a=1,b=null'],
  ['100%%\\t\\n\\\\', '100%\t\n\\'],
  ['\\x', '\\x'],
])('%s', (format, text) => {
  expect(compileFormat(format)(record).toString()).toBe(text)
})

test('a tombstone: nothing, and -1 bytes', () => {
  const tombstone = { ...record, key: null, value: null }
  expect(compileFormat('%k|%s|%K|%S')(tombstone).toString()).toBe('||-1|-1')
  expect(valueFormat(tombstone).toString()).toBe('\n')
})

test('JSON loses nothing', () => {
  const bytes = Buffer.from([0xff, 0x00])
  const line = JSON.parse(jsonFormat({ ...record, key: null, value: bytes }).toString()) as unknown
  expect(line).toEqual({
    topic: 'orders',
    partition: 3,
    offset: 42,
    timestamp: '2026-11-21T12:30:00.000Z',
    key: null,
    value: { base64: '/wA=' },
    headers: [
      { name: 'a', value: '1' },
      { name: 'b', value: null },
    ],
  })
})
