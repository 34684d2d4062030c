// The machine log's own way to write a batch against the general one.
// Promises: seeded.
// Does not know: machines.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { machineBatch } from './machine-batch.ts'
import { encodeBatch } from './records.ts'

test('it writes the very bytes of encodeBatch', () => {
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 100 }), fc.constantFrom(new Uint8Array(8200), new Uint8Array(70)))
  const record = fc.record({ key: bytes, value: fc.option(bytes) })
  const decisions = fc.array(
    fc.record({ kind: fc.integer({ min: 1, max: 255 }), records: fc.array(record, { minLength: 1, maxLength: 70 }) }),
    { minLength: 1, maxLength: 3 },
  )
  fc.assert(
    fc.property(decisions, (given) => {
      const machines = given.map(({ kind, records }) => ({
        machine: { kind, apply() {}, entries: () => [], reset() {} },
        records,
      }))
      const expected = given.flatMap(({ kind, records }) =>
        records.map(({ key, value }) => ({
          key: Buffer.concat([Buffer.of(kind), key]),
          value,
          timestampMs: 1_700_000,
        })),
      )
      const { batch, count } = machineBatch(machines, 1_700_000)
      expect(count).toBe(expected.length)
      expect(batch.equals(encodeBatch(expected))).toBe(true)
    }),
    { numRuns: 100, seed: 3 },
  )
})
