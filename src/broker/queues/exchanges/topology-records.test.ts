// Tests of the topology's records: what older programs wrote is read as it was meant.
// Promises: bytes, not functions that might have changed with the code.
// Does not know: what is done with records.

import { expect, test } from 'vitest'
import { bindingRecord, readRecord } from './topology-records.ts'

const facts = {
  vhost: '/',
  source: 's',
  destination: 'd',
  destinationKind: 'queue' as const,
  routingKey: 'k',
  arguments: [],
}

test('a binding of version 0 copies nothing; one of version 1 says by which ledgers it does', () => {
  const { key, value } = bindingRecord(facts, 2 ** 20)
  expect(readRecord(Buffer.from(key), Buffer.from([0]))).toEqual({ kind: 'binding', vhost: '/', facts, cursor: 0 })
  expect(readRecord(Buffer.from(key), Buffer.from(value ?? []))).toMatchObject({ cursor: 2 ** 20 })
  expect(Buffer.from(value ?? []).toString('hex')).toBe('010000000000100000')
  expect(readRecord(Buffer.from(key), null)).toEqual({ kind: 'binding', vhost: '/', facts })
})
