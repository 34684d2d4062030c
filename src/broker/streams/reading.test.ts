// Reading through the door: bounds, leader epochs, offsets by time, deleted records.
// Promises: answers are those of Kafka for a log of one leader; exact records are found inside batches, compressed too.
// Does not know: protocols, real engines.

import { expect, test } from 'vitest'
import { sealBatch } from '../../log/batch.ts'
import { openBroker } from '../broker.ts'
import { testBatch, testIdentity, testWorld, turns, type TestBatch } from '../broker-world.contract.ts'
import type { OffsetSpec } from '../door.ts'
import { StubStore } from '../stub-store.contract.ts'

const topic = { name: 't' }

async function bench() {
  const world = testWorld()
  const store = new StubStore()
  const session = (await openBroker(world, store, {})).session(testIdentity)
  await session.findOrCreateTopic('t')
  const send = (batch: TestBatch) =>
    session.produce({ topic, partition: 0, batch: testBatch(world.clock, batch), acks: 1 })
  const read = (offset: number, leaderEpoch = -1) =>
    session.read({ topic, partition: 0, offset, bytesMax: 1e6, leaderEpoch, committedTransactionsOnly: true })
  const find = (spec: OffsetSpec, leaderEpoch = -1) => session.findOffset(topic, 0, spec, leaderEpoch)
  return { world, store, session, send, read, find }
}

test('a read begins between log start and end, and tells where they are when it does not', async () => {
  const { send, read, session, store } = await bench()
  expect(await read(0)).toMatchObject({ batches: { bytes: 0, next: 0 }, highWatermark: 0, logStart: 0 })
  expect(await read(1)).toMatchObject({ refused: 'offsetOutOfRange', highWatermark: 0, logStart: 0 })
  await send({ count: 10 })
  // Inside a batch: the whole batch.
  expect(await read(7)).toMatchObject({ batches: { next: 10 } })
  expect(await read(10)).toMatchObject({ batches: { bytes: 0, next: 10 } })
  expect(await session.deleteRecords('t', 0, 4)).toBe(4)
  expect(await read(3)).toMatchObject({ refused: 'offsetOutOfRange', logStart: 4, highWatermark: 10 })
  expect(await read(-1)).toMatchObject({ refused: 'offsetOutOfRange' })
  store.manual = true
  void send({ count: 2 })
  await turns()
  // Assigned and not committed: there, but nothing to be read yet.
  expect(await read(12)).toMatchObject({ batches: { bytes: 0 }, highWatermark: 10 })
  expect(
    await session.read({
      topic: { name: 'x' },
      partition: 0,
      offset: 0,
      bytesMax: 1,
      leaderEpoch: -1,
      committedTransactionsOnly: false,
    }),
  ).toMatchObject({ refused: 'unknownTopic' })
})

test('one leader epoch: 0 or untold is right, older is fenced, newer is unknown', async () => {
  const { read, find, session } = await bench()
  expect(await read(0, 0)).toMatchObject({ highWatermark: 0 })
  expect(await read(0, 1)).toMatchObject({ refused: 'unknownLeaderEpoch' })
  expect(await read(0, -2)).toMatchObject({ refused: 'fencedLeaderEpoch' })
  expect(await find('latest', 1)).toMatchObject({ refused: 'unknownLeaderEpoch' })
  expect(await session.epochEnd(topic, 0, 0, 1)).toMatchObject({ refused: 'unknownLeaderEpoch' })
})

test('the end of an epoch is the high watermark for the one there is', async () => {
  const { send, session } = await bench()
  await send({ count: 3 })
  expect(await session.epochEnd(topic, 0, 0, -1)).toEqual({ epoch: 0, end: 3 })
  expect(await session.epochEnd(topic, 0, 5, 0)).toEqual({ epoch: -1, end: -1 })
})

test('the special offsets', async () => {
  const { send, find, session } = await bench()
  expect(await find('maxTimestamp')).toEqual({ offset: -1, timestampMs: -1, leaderEpoch: -1 })
  await send({ count: 5 })
  await session.deleteRecords('t', 0, 2)
  expect(await find('earliest')).toEqual({ offset: 2, timestampMs: -1, leaderEpoch: 0 })
  expect(await find('earliestLocal')).toEqual({ offset: 2, timestampMs: -1, leaderEpoch: 0 })
  expect(await find('latest')).toEqual({ offset: 5, timestampMs: -1, leaderEpoch: 0 })
  expect(await find('latestTiered')).toEqual({ offset: -1, timestampMs: -1, leaderEpoch: -1 })
  expect(await find('earliestPending')).toEqual({ offset: -1, timestampMs: -1, leaderEpoch: -1 })
})

test.each(['none', 'gzip', 'zstd', 'lz4', 'snappy'] as const)('a time is found to the record (%s)', async (codec) => {
  const { send, find, session } = await bench()
  await send({ count: 3, timestampsMs: [100, 300, 200], codec })
  await send({ count: 2, timestampsMs: [250, 400], codec })
  expect(await find({ timestampMs: 0 })).toMatchObject({ offset: 0, timestampMs: 100 })
  expect(await find({ timestampMs: 150 })).toMatchObject({ offset: 1, timestampMs: 300 })
  expect(await find({ timestampMs: 301 })).toMatchObject({ offset: 4, timestampMs: 400 })
  expect(await find({ timestampMs: 401 })).toEqual({ offset: -1, timestampMs: -1, leaderEpoch: -1 })
  expect(await find('maxTimestamp')).toMatchObject({ offset: 4, timestampMs: 400 })
  // Below the log start there is nothing to be found.
  await session.deleteRecords('t', 0, 2)
  expect(await find({ timestampMs: 150 })).toMatchObject({ offset: 2, timestampMs: 200 })
  await session.deleteRecords('t', 0, 3)
  expect(await find({ timestampMs: 0 })).toMatchObject({ offset: 3, timestampMs: 250 })
})

test('of several records with the greatest time the first is found; what is not committed is waited for or not there', async () => {
  const { send, find, store } = await bench()
  await send({ count: 3, timestampsMs: [100, 300, 300] })
  expect(await find('maxTimestamp')).toMatchObject({ offset: 1, timestampMs: 300 })
  store.manual = true
  void send({ timestampsMs: [900] })
  await turns()
  expect(await find({ timestampMs: 500 })).toMatchObject({ offset: -1 })
})

test('a batch that lies about its times or cannot be opened still has a place', async () => {
  const { send, find, session, world } = await bench()
  const lie = testBatch(world.clock, { count: 2, timestampsMs: [100, 200] })
  lie.writeInt32BE(9999, 39)
  sealBatch(lie)
  await session.produce({ topic, partition: 0, batch: lie, acks: 1 })
  await send({ timestampsMs: [500] })
  expect(await find({ timestampMs: 400 })).toMatchObject({ offset: 2, timestampMs: 500 })
  const broken = testBatch(world.clock, { count: 2, timestampsMs: [1000, 2000], codec: 'gzip' })
  broken.fill(7, 61)
  sealBatch(broken)
  await session.produce({ topic, partition: 0, batch: broken, acks: 1 })
  expect(await find({ timestampMs: 600 })).toMatchObject({ offset: 3, timestampMs: 2000 })
})

test('deleting records: bounds, the high watermark as -1, and never backwards', async () => {
  const { send, session } = await bench()
  await send({ count: 5 })
  expect(await session.deleteRecords('t', 0, 6)).toMatchObject({ refused: 'offsetOutOfRange' })
  expect(await session.deleteRecords('t', 0, -2)).toMatchObject({ refused: 'offsetOutOfRange' })
  expect(await session.deleteRecords('t', 0, 3)).toBe(3)
  expect(await session.deleteRecords('t', 0, 1)).toBe(3)
  expect(await session.deleteRecords('t', 0, -1)).toBe(5)
  expect(await session.describePartition(topic, 0)).toMatchObject({ start: 5, committed: 5, end: 5 })
})
