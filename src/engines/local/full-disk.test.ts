// A disk that fills up behind what the journal promised.
// Promises: nobody waits for room that may never come: appends behind are refused, a close ends, the promise is kept.
// Does not know: the low-disk mark of the broker, which refuses before it comes to this.

import { expect, test } from 'vitest'
import { FaultDisk, testWorld, type TestWorld } from '../../../test/fault-disk.ts'
import type { Disk } from '../../base/world.ts'
import { DiskError } from '../../base/world.ts'
import { contractBatch, entryOf } from '../../log/log.contract.ts'
import { logId, type LogSettings, type TopicId } from '../../log/store.ts'
import { type LocalStore, openLocalStore } from './local-store.ts'

const ids = [0, 1].map((partition) => logId('full000000000000000000' as TopicId, partition))
const [id] = ids
const settings: LogSettings = {
  durability: 'commit',
  segmentBytesMax: 10_000_000,
  segmentAgeMsMax: 1e12,
  indexIntervalBytes: 1024,
}

const openIn = (world: TestWorld): Promise<LocalStore> =>
  openLocalStore(world, {
    path: '/data',
    onFatal: (error) => {
      throw error
    },
  })

const outcomeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'done',
    (error: { readonly kind?: string }) => error.kind ?? String(error),
  )

async function turns(count: number): Promise<string> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
  return 'still waiting'
}

/** What `promise` comes to within many turns, each of which may move the world's clock to its next timer. */
const soon = (promise: Promise<unknown>): Promise<string> => Promise.race([outcomeOf(promise), turns(2000)])

test('what the journal took is kept, what comes behind a batch without room is refused, and a close ends', async () => {
  const disk = new FaultDisk()
  const world = testWorld(disk.boot(), 3)
  const store = await openIn(world)
  await store.create([{ id, settings }])
  const log = await store.open(id, settings)
  await store.append([entryOf(log, contractBatch(1, 50))])
  disk.capacityBytes = disk.usedBytes() + 1000
  const promised = store.append([entryOf(log, contractBatch(1, 5000))])
  await new Promise((resolve) => setImmediate(resolve))
  const behind = store.append([entryOf(log, contractBatch(1, 5000))])
  expect(await soon(promised)).toBe('done')
  // In the journal before the segment of the first turned out to have no room.
  expect(await soon(behind)).toBe('done')
  expect(await soon(store.append([entryOf(log, contractBatch(1, 5000))]))).toBe('full')
  expect(await soon(store.close())).toBe('done')
  disk.capacityBytes = Infinity
  const after = await openIn(testWorld(disk.boot(), 4))
  const log2 = await after.open(id, settings)
  expect(log2.end).toBe(3)
  expect((await log2.read(log2.start, 100_000, log2.end)).next).toBe(3)
  await after.close()
})

test('a folder that cannot be made fails its create alone', async () => {
  const disk = new FaultDisk()
  const real = disk.boot()
  let isFull = true
  const makeFolder = (path: string): void => {
    if (isFull && path.endsWith(ids[1])) throw new DiskError('full', path, 'no space left')
    real.makeFolder(path)
  }
  const full: Disk = { ...real, makeFolder }
  const world = testWorld(full, 3)
  const store = await openIn(world)
  const made = ids.map((one) => ({ id: one, settings }))
  expect(await soon(store.create(made))).toBe('full')
  expect(store.list()).toEqual([])
  isFull = false
  expect(await soon(store.create(made))).toBe('done')
  expect(store.list()).toEqual(ids)
  await store.close()
})
