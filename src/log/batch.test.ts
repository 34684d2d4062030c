// Batch heads: against a batch the Java client wrote, field by field, and against arbitrary bytes.
// Promises: no input makes a reader of heads throw or look outside its buffer.
// Does not know: records inside (records.test.ts).

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32c } from '../base/crc32c.ts'
import {
  assembleBatch,
  batchCrcHolds,
  batchHeadBytes,
  compressionBits,
  compressionOf,
  forEachBatch,
  hasDeleteHorizon,
  hasLogAppendTime,
  hasUnknownAttributes,
  isControl,
  isTransactional,
  maxTimestampAt,
  patchBatch,
  readBatchHead,
  readInt64,
  sealBatch,
  stampLogAppendTime,
  writeInt64,
  type CompressionName,
  type NewBatch,
} from './batch.ts'
import { RecordCursor } from './records.ts'

/** MemoryRecords.withRecords(baseOffset 42, uncompressed, two records) of kafka-clients 4.3.1. */
const javaBatch = Buffer.from(
  '000000000000002a0000004e0000000702bc69d9870000000000010000018bcfe568000000018bcfe568050000000000000fa0000300000011000000021c000000066b65790a76616c7565001a000a0201010402680231026801',
  'hex',
)

describe('a batch of the Java client', () => {
  test('its head, field by field', () => {
    expect(readBatchHead(javaBatch)).toEqual({
      baseOffset: 42,
      bytes: javaBatch.length,
      leaderEpoch: 7,
      attributes: 0,
      lastOffsetDelta: 1,
      baseTimestampMs: 1_700_000_000_000,
      maxTimestampMs: 1_700_000_000_005,
      producerId: 4000,
      producerEpoch: 3,
      baseSequence: 17,
      count: 2,
    })
    expect(batchCrcHolds(javaBatch, 0, javaBatch.length)).toBe(true)
  })

  test('its records', () => {
    const cursor = new RecordCursor(javaBatch.subarray(batchHeadBytes))
    expect(cursor.next()).toBe(true)
    expect([cursor.key?.toString(), cursor.value?.toString(), cursor.headers()]).toEqual(['key', 'value', []])
    expect(cursor.next()).toBe(true)
    expect([cursor.key, cursor.value, cursor.offsetDelta, cursor.timestampDeltaMs]).toEqual([null, null, 1, 5])
    expect(cursor.headers()).toEqual([
      { name: 'h', value: Buffer.from('1') },
      { name: 'h', value: null },
    ])
    expect(cursor.next()).toBe(false)
  })

  test('assembled again from its parts it is the same bytes', () => {
    const head = readBatchHead(javaBatch)
    const again = assembleBatch(head as NewBatch, javaBatch.subarray(batchHeadBytes))
    patchBatch(again, 42, 7)
    expect(again.toString('hex')).toBe(javaBatch.toString('hex'))
  })
})

describe('a head in place', () => {
  test('a place in a log leaves the CRC valid; a stamp writes it again', () => {
    const batch = Buffer.from(javaBatch)
    patchBatch(batch, 2 ** 40 + 1, 9)
    expect(batchCrcHolds(batch, 0, batch.length)).toBe(true)
    expect(readBatchHead(batch)).toMatchObject({ baseOffset: 2 ** 40 + 1, leaderEpoch: 9 })
    stampLogAppendTime(batch, 1_800_000_000_000)
    expect(batchCrcHolds(batch, 0, batch.length)).toBe(true)
    expect(maxTimestampAt(batch, 0)).toBe(1_800_000_000_000)
    expect(hasLogAppendTime(readBatchHead(batch)?.attributes ?? 0)).toBe(true)
  })

  test('every flipped bit from the attributes on breaks the CRC', () => {
    for (let at = 17; at < javaBatch.length; at++) {
      const batch = Buffer.from(javaBatch)
      batch[at] ^= 1 << (at % 8)
      expect(batchCrcHolds(batch, 0, batch.length), `byte ${at}`).toBe(false)
    }
  })

  test('sealing is the CRC-32C of byte 21 on', () => {
    const batch = Buffer.from(javaBatch)
    batch.fill(0, 17, 21)
    sealBatch(batch)
    expect(batch.readUInt32BE(17)).toBe(crc32c(javaBatch.subarray(21)))
  })

  test('attributes say what they say', () => {
    const names: CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
    expect(names.map((name) => compressionOf(compressionBits(name)))).toEqual(names)
    expect([5, 6, 7].map(compressionOf)).toEqual([undefined, undefined, undefined])
    const of = (bits: number): boolean[] =>
      [hasLogAppendTime, isTransactional, isControl, hasDeleteHorizon, hasUnknownAttributes].map((ask) => ask(bits))
    expect(of(0x07)).toEqual([false, false, false, false, false])
    for (let bit = 0; bit < 4; bit++) expect(of(0x08 << bit).indexOf(true)).toBe(bit)
    for (const bits of [0x80, 0x100, 0x4000, -0x8000]) expect(hasUnknownAttributes(bits), String(bits)).toBe(true)
  })
})

describe('heads of strangers', () => {
  test('arbitrary bytes and places are read or declined, never thrown on', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.nat(javaBatch.length - 1), fc.nat(255)).map(([at, value]) => {
        const batch = Buffer.from(javaBatch)
        batch[at] = value
        return batch
      }),
    )
    fc.assert(
      fc.property(bytes, fc.integer({ min: -5, max: 250 }), (given, at) => {
        const buffer = Buffer.from(given)
        const head = readBatchHead(buffer, at)
        if (head === undefined) return
        expect(at >= 0 && at + batchHeadBytes <= buffer.length && head.bytes >= batchHeadBytes).toBe(true)
        expect(batchCrcHolds(buffer, at, head.bytes)).toBeTypeOf('boolean')
      }),
      { numRuns: 500 },
    )
  })

  test.each([
    ['another magic', 16, 1],
    ['a length below a head', 11, 48],
    ['a negative length', 8, 0x80],
    ['a negative last offset', 23, 0xff],
    ['a negative count', 57, 0x80],
  ])('%s is no head', (_name, at, value) => {
    const batch = Buffer.from(javaBatch)
    if (at === 11) batch.fill(0, 8, 12)
    batch[at] = value
    expect(readBatchHead(batch)).toBeUndefined()
  })

  test('walking stops at the first batch that is not whole, and where the visitor says', () => {
    const two = Buffer.concat([javaBatch, javaBatch])
    const seen: number[] = []
    expect(forEachBatch(Buffer.concat([two, javaBatch.subarray(0, 70)]), (_head, at) => void seen.push(at))).toBe(
      two.length,
    )
    expect(seen).toEqual([0, javaBatch.length])
    expect(forEachBatch(two, () => false)).toBe(0)
    expect(forEachBatch(Buffer.alloc(0), () => undefined)).toBe(0)
  })
})

test('64-bit numbers are exact to 2^53 both ways and saturate beyond', () => {
  const buffer = Buffer.alloc(8)
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      writeInt64(buffer, value, 0)
      expect(readInt64(buffer, 0)).toBe(value)
      expect(buffer.readBigInt64BE(0)).toBe(BigInt(value))
    }),
  )
  buffer.writeBigInt64BE(2n ** 62n)
  expect(readInt64(buffer, 0)).toBe(Number.MAX_SAFE_INTEGER)
  buffer.writeBigInt64BE(-(2n ** 63n))
  expect(readInt64(buffer, 0)).toBe(Number.MIN_SAFE_INTEGER)
  expect(() => writeInt64(buffer, 2 ** 53, 0)).toThrow('exactly')
})
