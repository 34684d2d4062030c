// What a start makes of a log's segments and of what the journal promised of it.
// Promises: a hole above the start of a log that promises `commit` is damage, one below it is not.
// Does not know: the journal's files; power.test.ts looks at whole lives.

import { expect, test } from 'vitest'
import { FaultDisk } from '../../../test/fault-disk.ts'
import { BufferPool } from '../../base/buffer-pool.ts'
import { patchBatch } from '../../log/batch.ts'
import { contractBatch } from '../../log/log.contract.ts'
import { CorruptLog, logId, offset, type LogSettings, type TopicId } from '../../log/store.ts'
import { FileSlots } from './file-slots.ts'
import { type JournalledAppend, nothingPromised, recoverChain } from './recovery.ts'
import type { SegmentChain } from './segment-chain.ts'

const id = logId('AAAAAAAAAAAAAAAAAAAAAA' as TopicId, 0)
const folder = `/data/logs/${id}`
const settings: LogSettings = {
  durability: 'commit',
  segmentBytesMax: 1e6,
  segmentAgeMsMax: 1e12,
  indexIntervalBytes: 64,
}

function journalled(base: number, sequence: number): JournalledAppend {
  const batch = contractBatch(1, 100)
  patchBatch(batch, base, 0)
  return { sequence, part: { kind: 'append', id, epoch: 1, base: offset(base), batch, isPromised: true } }
}

/** The journal promised offsets 0, 2 and 3; of the files, the first segment is there, with offset 0. */
async function recovered(start: number): Promise<SegmentChain> {
  const disk = new FaultDisk().boot()
  disk.makeFolder(folder)
  const appends = [journalled(0, 1), journalled(2, 2), journalled(3, 3)]
  const file = disk.open(`${folder}/00000000000000000000.log`, 'create')
  file.writeNow([appends[0].part.batch], 0)
  const world = { disk, slots: new FileSlots(disk, 8), loaded: new Set<never>(), readBuffers: new BufferPool(1000) }
  return recoverChain(world, folder, { ...nothingPromised(), start: offset(start), appends }, settings, 0)
}

test('a hole in what was promised is damage', async () => {
  await expect(recovered(0)).rejects.toThrow(CorruptLog)
  await expect(recovered(1)).rejects.toThrow(/ends at offset 1, the journal goes on at 2/)
})

test('a hole below the start is what a trim removed, though a power cut brought back a segment before it', async () => {
  expect((await recovered(2)).next).toBe(4)
  expect((await recovered(3)).next).toBe(4)
})
