// Batches that are much larger opened than stored, and records of millions of headers.
// Promises: a reading that is let go while a batch is being opened reads it again; what is opened is counted; a long
// batch is walked over several turns, and lies are found wherever they are.
// Does not know: queues, logs' files.

import { expect, test } from 'vitest'
import { KiB, MiB } from '../../../base/limits.ts'
import { readProperties } from '../../../base/properties.ts'
import { findField } from '../../../base/fields.ts'
import { assembleBatch, compressionBits, type CompressionName } from '../../../log/batch.ts'
import { deflate } from '../../../log/compression.ts'
import { encodeRecords, type NewRecord } from '../../../log/records.ts'
import { offset, type Log } from '../../../log/store.ts'
import { testWorld } from '../../broker-world.contract.ts'
import type { LanePart } from '../parts.ts'
import { blankMessage } from './message.ts'
import { headersReadMax } from './message-foreign.ts'
import { Reading, ReadingBudget, windowsBytesMax } from './reading.ts'

const from = { name: 'q', partition: 0, tellsPlace: true }

function batchOf(section: Buffer, count: number, codec: CompressionName = 'none'): Buffer {
  const head = { lastOffsetDelta: count - 1, baseTimestampMs: 0, maxTimestampMs: 0, count }
  return assembleBatch({ ...head, attributes: compressionBits(codec) }, deflate(codec, section))
}

const recordsOf = (count: number, bytes: number): Buffer => {
  const records = Array.from({ length: count }, (_, index): NewRecord => {
    const value = Buffer.alloc(bytes)
    value.writeUInt32BE(index)
    return { key: null, value, timestampMs: 0 }
  })
  return encodeRecords(records, 0)
}

/** A log of one batch. */
const logOf = (batch: Buffer, count: number): Log =>
  ({
    start: offset(0),
    committed: offset(count),
    read: () => ({ chunks: [batch], bytes: batch.length, next: offset(count) }),
  }) as unknown as Log

function open(log: Log, budget = new ReadingBudget(), world = testWorld()): Reading {
  return new Reading(world, budget, log, from)
}

async function bodyAt(reading: Reading, at: number): Promise<Buffer> {
  let missing = reading.seek(at)
  while (missing instanceof Promise) {
    await missing
    missing = reading.seek(at)
  }
  expect(missing).toBeUndefined()
  const message = blankMessage({} as LanePart)
  reading.fill(at, message)
  return message.body
}

const packed = (): Log => logOf(batchOf(recordsOf(100, 2 * KiB), 100, 'gzip'), 100)

test('let go while its batch is being opened: read again, and nothing fails', async () => {
  const reading = open(packed())
  const opening = reading.seek(7)
  expect(opening).toBeInstanceOf(Promise)
  reading.release()
  await opening
  expect((await bodyAt(reading, 7)).readUInt32BE()).toBe(7)
})

test('what others read while its batch is being opened takes nothing from it', async () => {
  const budget = new ReadingBudget()
  const reading = open(packed(), budget)
  const opening = reading.seek(7)
  expect(opening).toBeInstanceOf(Promise)
  const large = batchOf(recordsOf(1, windowsBytesMax), 1)
  for (let other = 0; other < 3; other++) expect(open(logOf(large, 1), budget).seek(0)).not.toBe('gap')
  await opening
  expect((await bodyAt(reading, 7)).readUInt32BE()).toBe(7)
})

test('what is opened counts as held: those unused for longest are let go', async () => {
  const budget = new ReadingBudget()
  const batch = batchOf(recordsOf(1, windowsBytesMax * 0.4), 1, 'gzip')
  const readings = Array.from({ length: 10 }, () => open(logOf(batch, 1), budget))
  await Promise.all(readings.map((reading) => bodyAt(reading, 0)))
  expect(budget.bytes).toBeGreaterThan(windowsBytesMax / 2)
  expect(budget.bytes).toBeLessThanOrEqual(windowsBytesMax)
  for (const reading of readings) reading.release()
  expect(budget.bytes).toBe(0)
})

test('a long batch is walked over several turns; a lie at its end is found', async () => {
  const count = 60_000
  const section = recordsOf(count, 100)
  const world = testWorld()
  let turns = 0
  const { endOfTurn } = world.clock
  world.clock.endOfTurn = (task) => (turns++, endOfTurn(task))
  const reading = open(logOf(batchOf(section, count), count), new ReadingBudget(), world)
  for (const at of [0, count - 1, 12_345]) expect((await bodyAt(reading, at)).readUInt32BE()).toBe(at)
  expect(turns).toBe(Math.ceil(section.length / MiB) - 1)
  for (const lying of [
    batchOf(section, count + 1),
    batchOf(section, count - 1),
    batchOf(section.subarray(0, -1), count),
  ]) {
    const lied = open(logOf(lying, count + 1))
    await lied.seek(0)
    expect(lied.seek(0)).toBe('malformed')
  }
})

test('of millions of headers the first are looked at, and the first that is not is named', async () => {
  const name = Buffer.from('amqp')
  const headers = Array.from({ length: headersReadMax + 10 }, () => ({ name: 'amqp', value: name }))
  headers[headersReadMax - 2] = { name: 'last', value: name }
  headers[headersReadMax - 1] = { name: 'first not', value: name }
  headers[headersReadMax] = { name: 'behind', value: name }
  const section = encodeRecords([{ key: null, value: name, headers, timestampMs: 0 }], 0)
  const reading = open(logOf(batchOf(section, 1), 1))
  await bodyAt(reading, 0)
  const message = blankMessage({} as LanePart)
  reading.fill(0, message)
  const { headers: given = [] } = readProperties(message.properties)
  expect(given.map((header) => header.name)).toEqual(['last', 'x-headers-omitted', 'x-partition', 'x-stream-offset'])
  expect(findField(given, 'x-headers-omitted')).toMatchObject({ value: [{ value: Buffer.from('first not') }] })
})
