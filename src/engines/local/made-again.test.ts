// A log id that is deleted and made again: a topic's next partition after its first making was taken back.
// Promises: what is acknowledged after the second making survives, though the journal still holds the delete.
// Does not know: topics.

import { expect, test } from 'vitest'
import { FaultDisk, seeded, testWorld } from '../../../test/fault-disk.ts'
import { contractBatch, entryOf } from '../../log/log.contract.ts'
import { type Log, logId, type LogSettings, type Offset, type TopicId } from '../../log/store.ts'
import { type LocalStore, openLocalStore } from './local-store.ts'

const id = logId('again00000000000000000' as TopicId, 0)
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

async function bytesIn(log: Log): Promise<number> {
  return (await log.read(log.start, 10_000_000, log.end)).bytes
}

for (const payload of [100, 600_000]) {
  for (const end of ['kill', 'power cut'] as const) {
    test(`a log made again keeps its batches of ${payload} bytes over a ${end}`, async () => {
      const disk = new FaultDisk()
      const store = await openOn(disk)
      await store.create([{ id, settings }])
      const first = await store.open(id, settings)
      await store.append([entryOf(first, contractBatch(3, 50))])
      await store.delete([id])
      await store.create([{ id, settings }])
      const again = await store.open(id, settings)
      expect(again.end).toBe(0)
      const batch = contractBatch(2, payload)
      await store.append([entryOf(again, batch)])
      if (end === 'kill') disk.kill()
      else disk.crash(seeded(5))
      const after = await openOn(disk)
      expect(after.list()).toEqual([id])
      const log = await after.open(id, settings)
      expect([log.start, log.end]).toEqual([0, 2 as Offset])
      expect(await bytesIn(log)).toBe(batch.length)
      await after.delete([id])
      disk.kill()
      expect((await openOn(disk)).list()).toEqual([])
    })
  }
}
