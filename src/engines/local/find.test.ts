// Searching by time while the log is written.
// Promises: what reaches the files during a search is not missed by it.
// Does not know: records inside batches.

import { expect, test } from 'vitest'
import { FaultDisk, testWorld } from '../../../test/fault-disk.ts'
import { contractBatch, entryOf } from '../../log/log.contract.ts'
import { logId, type LogSettings, offset, type TopicId } from '../../log/store.ts'
import { openLocalStore } from './local-store.ts'

const id = logId('find000000000000000000' as TopicId, 0)
const settings: LogSettings = {
  durability: 'os',
  segmentBytesMax: 1_000_000,
  segmentAgeMsMax: 1e12,
  indexIntervalBytes: 1024,
}

/** `cacheBytesPerLogMax`: with 1 the tail lets go of what is written at once. */
async function searched(cacheBytesPerLogMax: number): Promise<(number | undefined)[]> {
  const disk = new FaultDisk()
  const world = testWorld(disk.boot(), 3)
  const onFatal = (error: Error): void => {
    throw error
  }
  const store = await openLocalStore(world, { path: '/data', cacheBytesPerLogMax, onFatal })
  await store.create([{ id, settings }])
  const log = await store.open(id, settings)
  // The greatest time lies below the start: the files are read in vain.
  await store.append([entryOf(log, contractBatch(1, 50, 500))])
  await store.append([entryOf(log, contractBatch(1, 50, 1))])
  await log.trim(offset(1))
  disk.latency = () => world.sleep(100)
  const byTime = log.findTime(100)
  const greatest = log.findMaxTime()
  await store.append([entryOf(log, contractBatch(1, 50, 200))])
  await store.append([entryOf(log, contractBatch(1, 50, 300))])
  await store.append([entryOf(log, contractBatch(1, 50, 250))])
  const found = [await byTime, await greatest]
  await store.close()
  return found
}

test('a batch that reaches the files during a search is found', async () => {
  expect(await searched(1_000_000)).toEqual([2, 3])
})

test('so is one that the tail does not hold any more', async () => {
  expect(await searched(1)).toEqual([2, 3])
})
