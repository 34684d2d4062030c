// Records: what is written is read back, and sections that lie are refused.
// Promises: a lying section is a MalformedRecords and nothing else, within its own bytes.
// Does not know: batch heads (batch.test.ts shows a real client's records), compression.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { batchCrcHolds, batchHeadBytes, readBatchHead } from './batch.ts'
import { encodeBatch, encodeRecords, MalformedRecords, RecordCursor, type NewRecord } from './records.ts'

const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((given) => Buffer.from(given))
const record: fc.Arbitrary<NewRecord> = fc.record({
  key: fc.option(bytes(300)),
  value: fc.option(bytes(300)),
  headers: fc.array(fc.record({ name: fc.string({ unit: 'binary', maxLength: 70 }), value: fc.option(bytes(100)) }), {
    maxLength: 5,
  }),
  timestampMs: fc.integer({ min: -(2 ** 45), max: 2 ** 45 }),
})

function readAll(section: Buffer, baseTimestampMs: number): (NewRecord & { delta: number })[] {
  const cursor = new RecordCursor(section)
  const found: (NewRecord & { delta: number })[] = []
  while (cursor.next()) {
    const headers = cursor.headers()
    expect(cursor.headers()).toEqual(headers)
    const { key, value, timestampDeltaMs, offsetDelta } = cursor
    found.push({ key, value, headers, timestampMs: baseTimestampMs + timestampDeltaMs, delta: offsetDelta })
  }
  expect(cursor.remaining).toBe(0)
  return found
}

test('what is written is read back, in a batch with a true head', () => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 70 }), (records) => {
      const batch = encodeBatch(records)
      const head = readBatchHead(batch)
      const times = records.map(({ timestampMs }) => timestampMs)
      expect(head).toMatchObject({
        bytes: batch.length,
        count: records.length,
        lastOffsetDelta: records.length - 1,
        baseTimestampMs: times[0],
        maxTimestampMs: Math.max(...times),
        producerId: -1,
        baseSequence: -1,
      })
      expect(batchCrcHolds(batch, 0, batch.length)).toBe(true)
      const read = readAll(batch.subarray(batchHeadBytes), times[0])
      expect(read).toEqual(
        records.map((one, delta) => ({
          ...one,
          headers: one.headers?.map(({ name, value }) => ({ name: Buffer.from(name).toString(), value })),
          delta,
        })),
      )
    }),
    { numRuns: 100 },
  )
})

test('headers may be asked for late or never; slices share the section', () => {
  const headers = [{ name: 'a', value: Buffer.from('1') }]
  const section = encodeRecords(
    [1, 2, 3].map((number) => ({ key: null, value: Buffer.from(`v${number}`), headers, timestampMs: number })),
    0,
  )
  const cursor = new RecordCursor(section)
  cursor.next()
  cursor.next()
  expect(cursor.headers()).toEqual(headers)
  expect(cursor.value?.buffer).toBe(section.buffer)
  cursor.next()
  expect([cursor.value?.toString(), cursor.headers(), cursor.next()]).toEqual(['v3', headers, false])
})

describe('sections that lie', () => {
  /** Deltas of all records before the first lie, and whether there is one. */
  const walked = (section: Buffer, step: (cursor: RecordCursor) => boolean): unknown[] => {
    const seen: unknown[] = []
    try {
      const cursor = new RecordCursor(section)
      while (step(cursor)) seen.push([cursor.offsetDelta, cursor.timestampDeltaMs, cursor.remaining])
    } catch (error) {
      expect(error).toBeInstanceOf(MalformedRecords)
      seen.push('lies')
    }
    return seen
  }
  const judge = (section: Buffer): void => {
    const opened = walked(section, (cursor) => cursor.next() && cursor.headers().length >= 0)
    // Passing by judges the same.
    expect(walked(section, (cursor) => cursor.pass(Infinity))).toEqual(opened)
  }

  test('arbitrary bytes, and true sections with a byte changed or cut off', () => {
    fc.assert(fc.property(bytes(400), judge), { numRuns: 500 })
    const valid = fc.array(record, { minLength: 1, maxLength: 5 }).map((records) => encodeRecords(records, 0))
    fc.assert(
      fc.property(valid, fc.nat(), fc.nat(255), fc.nat(), (section, at, value, cut) => {
        const changed = Buffer.from(section)
        changed[at % section.length] = value
        judge(changed)
        judge(section.subarray(0, cut % section.length))
      }),
      { numRuns: 500 },
    )
  })

  test.each([
    ['a length beyond the section', '7f00'],
    ['a negative length', '0100'],
    ['a record too short for its fields', '0200'],
    ['an empty record', '00'],
    ['a key beyond its record', '0c000000c80101'],
    ['a length below -1', '0c000000030101'],
    ['a varint of six bytes', 'ffffffffffff01'],
    ['a varlong of eleven bytes', '2000ffffffffffffffffffff0100010100'],
  ])('%s', (_name, hex) => {
    expect(() => new RecordCursor(Buffer.from(hex, 'hex')).next()).toThrow(MalformedRecords)
  })

  test.each([
    ['more headers than bytes', '0c00000001017e'],
    ['a negative count', '0c000000010101'],
    ['a header without a name', '10000000010102 0101'],
    ['a header beyond its record', '10000000010102 7e01'],
    ['no count at all', '0a0000000101'],
  ])('headers: %s', (_name, hex) => {
    const cursor = new RecordCursor(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
    expect(cursor.next()).toBe(true)
    expect(() => cursor.headers()).toThrow(MalformedRecords)
  })

  test('headers may not reach into the next record', () => {
    const [first, second] = [Buffer.from('0c000000010102', 'hex'), Buffer.from('0c000000010100', 'hex')]
    const cursor = new RecordCursor(Buffer.concat([first, second]))
    expect(cursor.next()).toBe(true)
    expect(() => cursor.headers()).toThrow(MalformedRecords)
    expect(cursor.next()).toBe(true)
  })
})
