// Trimming when the disk does not go along.
// Promises: a log and a ledger of a few numbers each.
// Does not know: engines; what is trimmed and rewritten when all is well is in the tests of queues.

import { expect, test } from 'vitest'
import { MiB } from '../../../base/limits.ts'
import { DiskError } from '../../../base/world.ts'
import { offset, type Log } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import { testWorld, turns } from '../../broker-world.contract.ts'
import type { Partition } from '../../streams/partition.ts'
import type { LogClosings } from '../parts.ts'
import { Trimming, type TrimmedLog } from './queue-trimming.ts'

test('a segment that cannot be written anew on a full disk is tried again when more is closed', async () => {
  const world = testWorld()
  const ledger = { committedFloor: 0, countOpen: () => 10, nextOpen: () => 0, nextClosed: () => Infinity }
  const trimming = new Trimming(world, () => [ledger])
  const segment = (base: number, next: number) => ({
    base: offset(base),
    next: offset(next),
    bytes: 8 * MiB,
    maxTimestampMs: 0,
  })
  let isFull = true
  const rewritten: number[] = []
  const log = {
    start: offset(0),
    end: offset(200),
    committed: offset(200),
    failed: false,
    segments: () => [segment(0, 100), segment(100, 200)],
    rewrite: async (base: number) => {
      if (isFull) throw new DiskError('full', '0.log.rewritten', 'no space')
      rewritten.push(base)
    },
  } as unknown as Log
  const topic = { policy: { dropsConsumed: true, consumedMs: 0, consumedBytes: 0, holdGroups: [] } } as unknown as Topic
  const trimmed: TrimmedLog = { topic, partition: {} as Partition, log, isGone: false, isListed: false }
  const look = async (): Promise<void> => {
    trimming.closed(trimmed)
    world.clock.advance(1000)
    await turns()
  }
  await look()
  expect(rewritten).toEqual([])
  isFull = false
  await look()
  await look()
  expect(rewritten).toEqual([0])
  await trimming.close()
})

test('a log that keeps what was consumed is looked at once a round, whoever and how often told of it', async () => {
  const world = testWorld()
  let looks = 0
  const ledger = { committedFloor: 0, countOpen: () => 10, nextOpen: () => 0, nextClosed: () => Infinity }
  const trimming = new Trimming(world, () => [ledger])
  const segments = [{ base: offset(0), next: offset(9), bytes: 1, maxTimestampMs: 0 }]
  const log = {
    start: offset(0),
    end: offset(9),
    committed: offset(9),
    failed: false,
    bytes: 1,
    segments: () => segments,
  } as unknown as Log
  const topic = { policy: { dropsConsumed: true, consumedMs: 9, consumedBytes: 0, holdGroups: [] } } as unknown as Topic
  const listed: TrimmedLog[] = []
  for (let at = 0; at < 3; at++) {
    const told = {
      topic,
      partition: {} as Partition,
      log,
      get isGone() {
        looks++
        return false
      },
      isListed: false,
    }
    listed.push(told)
    trimming.closed(told)
    world.clock.advance(1000)
    await turns()
  }
  looks = 0
  trimming.lookAgain()
  expect(listed.filter(({ isListed }) => isListed)).toHaveLength(1)
  world.clock.advance(1000)
  await turns()
  expect(looks).toBeGreaterThan(0)
  await trimming.close()
})

test('who comes while a segment is written anew has a say in the rest of it', async () => {
  const world = testWorld()
  const done = { committedFloor: 0, countOpen: () => 1, nextOpen: () => 100, nextClosed: () => 0 }
  const all = { committedFloor: 0, countOpen: () => 100, nextOpen: (from: number) => from, nextClosed: () => Infinity }
  const ledgers: LogClosings[] = [done]
  const trimming = new Trimming(world, () => [...ledgers])
  const kept: boolean[] = []
  const log = {
    start: offset(0),
    end: offset(200),
    committed: offset(200),
    failed: false,
    segments: () =>
      [0, 100].map((base) => ({
        base: offset(base),
        next: offset(base + 100),
        bytes: 8 * MiB,
        maxTimestampMs: 0,
      })),
    rewrite: async (_: number, keep: (base: number, next: number) => boolean) => {
      kept.push(keep(0, 10))
      await turns()
      ledgers.push(all)
      kept.push(keep(10, 20))
    },
  } as unknown as Log
  const topic = { policy: { dropsConsumed: true, consumedMs: 0, consumedBytes: 0, holdGroups: [] } } as unknown as Topic
  trimming.closed({ topic, partition: {} as Partition, log, isGone: false, isListed: false })
  world.clock.advance(1000)
  await turns(10)
  expect(kept).toEqual([false, true])
  await trimming.close()
})
