// What is appended urgently while the medium is busy with what came before it.
// Promises: a process that dies behind the turn has it; what is not urgent waits to be gathered.
// Does not know: who has something urgent.

import { expect, test } from 'vitest'
import { FaultDisk, testWorld } from '../../../test/fault-disk.ts'
import { contractBatch, entryOf } from '../../log/log.contract.ts'
import { logId, type LogSettings, type TopicId } from '../../log/store.ts'
import { type LocalStore, openLocalStore } from './local-store.ts'

const id = logId('urgent0000000000000000' as TopicId, 0)
const settings: LogSettings = {
  durability: 'commit',
  segmentBytesMax: 1_000_000,
  segmentAgeMsMax: 1e12,
  indexIntervalBytes: 1024,
}

function openOn(disk: FaultDisk): Promise<LocalStore> {
  const onFatal = (error: Error): void => {
    throw error
  }
  return openLocalStore(testWorld(disk.boot(), 3), { path: '/data', onFatal })
}

test.each([
  { isUrgent: true, found: 3 },
  { isUrgent: false, found: 1 },
])('behind a sync that does not end, urgent $isUrgent: $found batches after a kill', async ({ isUrgent, found }) => {
  const disk = new FaultDisk()
  const store = await openOn(disk)
  await store.create([{ id, settings }])
  const log = await store.open(id, settings)
  disk.latency = () => new Promise(() => {})
  for (let count = 0; count < 3; count++) {
    void store.append([{ ...entryOf(log, contractBatch(1, 50)), isUrgent }])
    await new Promise((resolve) => setImmediate(resolve))
  }
  disk.kill()
  disk.latency = () => Promise.resolve()
  expect((await (await openOn(disk)).open(id, settings)).end).toBe(found)
})
