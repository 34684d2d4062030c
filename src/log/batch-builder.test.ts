// Tests of the batch builder: what it writes is what the other writer of batches would, record for record.
// Promises: every batch is read back by the readers of strangers' batches.
// Does not know: messages.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BufferPool } from '../base/buffer-pool.ts'
import { batchCrcHolds, batchHeadBytes, hasUnknownAttributes, isOwnBatch, readBatchHead } from './batch.ts'
import { BatchBuilder, ownBatchBytesMax } from './batch-builder.ts'
import { encodeRecords, RecordCursor } from './records.ts'

const noHeaders = [Buffer.of(0)]

describe('the batch builder', () => {
  test('writes the records section that encodeRecords writes, and a whole head', () => {
    const record = fc.record({
      key: fc.option(fc.uint8Array({ maxLength: 80 })),
      body: fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 3 }),
      laterMs: fc.integer({ min: 0, max: 100_000 }),
    })
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 90 }), (records) => {
        const builder = new BatchBuilder(new BufferPool(1024 * 1024))
        const startMs = 1_700_000_000_000
        for (const [index, { key, body, laterMs }] of records.entries()) {
          const bytes = body.reduce((sum, chunk) => sum + chunk.length, 0)
          expect(builder.add(startMs + laterMs * Math.min(index, 1), key, body, bytes, noHeaders)).toBe(index)
        }
        const sealed = builder.seal()
        const head = readBatchHead(sealed.bytes)
        expect(head).toMatchObject({
          bytes: sealed.bytes.length,
          count: records.length,
          lastOffsetDelta: records.length - 1,
          baseTimestampMs: startMs,
          maxTimestampMs: sealed.maxTimestampMs,
          producerId: -1,
          producerEpoch: -1,
          baseSequence: -1,
        })
        expect(batchCrcHolds(sealed.bytes, 0, sealed.bytes.length)).toBe(true)
        const expected = encodeRecords(
          records.map(({ key, body, laterMs }, index) => ({
            key,
            value: Buffer.concat(body),
            timestampMs: startMs + laterMs * Math.min(index, 1),
          })),
          startMs,
        )
        expect(sealed.bytes.subarray(batchHeadBytes).equals(expected)).toBe(true)
        expect(builder.count).toBe(0)
      }),
      { numRuns: 60 },
    )
  })

  test('marks the batch as ours, by a bit that no producer may set', () => {
    const builder = new BatchBuilder(new BufferPool(0))
    builder.add(1, null, [Buffer.from('x')], 1, noHeaders)
    const { attributes } = readBatchHead(builder.seal().bytes)!
    expect(isOwnBatch(attributes)).toBe(true)
    expect(hasUnknownAttributes(attributes)).toBe(true)
  })

  test('has room up to its bound; one larger record is a batch of its own', () => {
    const builder = new BatchBuilder(new BufferPool(0))
    const large = Buffer.alloc(ownBatchBytesMax + 1, 7)
    expect(builder.hasRoom(large.length)).toBe(true)
    builder.add(1, null, [large], large.length, noHeaders)
    expect(builder.hasRoom(1)).toBe(false)
    const cursor = new RecordCursor(builder.seal().bytes.subarray(batchHeadBytes))
    expect(cursor.next()).toBe(true)
    expect(cursor.value!.equals(large)).toBe(true)
    expect(cursor.next()).toBe(false)
  })

  test('a clock set back within a batch gives the time of the batch', () => {
    const builder = new BatchBuilder(new BufferPool(0))
    builder.add(100, null, [], 0, noHeaders)
    builder.add(90, null, [], 0, noHeaders)
    const sealed = builder.seal()
    expect(sealed.maxTimestampMs).toBe(100)
    const cursor = new RecordCursor(sealed.bytes.subarray(batchHeadBytes))
    expect([cursor.next(), cursor.next(), cursor.timestampDeltaMs]).toEqual([true, true, 0])
  })

  test('uses the buffers again that were given back', () => {
    const pool = new BufferPool(1024 * 1024)
    const builder = new BatchBuilder(pool)
    builder.add(1, null, [], 0, noHeaders)
    const first = builder.seal()
    pool.giveBack(first.buffer)
    builder.add(1, null, [], 0, noHeaders)
    expect(builder.seal().buffer.buffer).toBe(first.buffer.buffer)
  })
})
