// Which files of the journal a start reads, and how it leaves them to the journal that goes on.
// Promises: a file of which only the head reached the medium never hides another that begins with the same entry.
// Does not know: logs; power.test.ts looks at whole lives.

import { expect, test } from 'vitest'
import { FaultDisk, testWorld } from '../../../../test/fault-disk.ts'
import { logId, type TopicId } from '../../../log/store.ts'
import { localSettings } from '../options.ts'
import { type Part, saltBytes } from './entry.ts'
import { encodeFileHead } from './journal-file.ts'
import { Journal } from './journal.ts'
import { journalState, readJournal } from './replay.ts'

const folder = '/data/journal'
const parts: Part[] = [{ kind: 'create', id: logId('AAAAAAAAAAAAAAAAAAAAAA' as TopicId, 0) }]

async function opened(disk: FaultDisk, low: number, seed: number): Promise<{ journal: Journal; sequences: number[] }> {
  const world = testWorld(disk.boot(), seed)
  world.disk.makeFolder(folder)
  const replay = readJournal(world.disk, folder, low)
  const state = await journalState(world.disk, folder, replay, replay.nextSequence)
  const settings = localSettings({ path: '/data', journalBytesMax: 1024 * 1024, onFatal: () => {} }, 64)
  return { journal: new Journal(world, settings, state), sequences: replay.entries.map(({ sequence }) => sequence) }
}

async function promise(journal: Journal): Promise<void> {
  expect(journal.prepare(parts, false)).toBe('ready')
  await journal.sync([await journal.write(parts)])
}

test('a file that was begun and has no entry does not hide the one that begins with its entry later', async () => {
  const disk = new FaultDisk()
  await promise((await opened(disk, 0, 1)).journal)
  // The power went when the second file was begun: of its first write, the sector of the head is all that is there.
  const begun = disk.boot().open(`${folder}/00000005.journal`, 'create')
  // It had grown for a large entry: such a file is removed, not used again, and a power cut brings it back.
  begun.writeNow([encodeFileHead(Buffer.alloc(saltBytes, 7), 1), Buffer.alloc(600_000)], 0)
  await begun.sync()
  await disk.boot().syncFolder(folder)
  disk.kill()

  const { journal, sequences } = await opened(disk, 0, 2)
  expect(sequences).toEqual([0])
  // What the first entry promised is in the segments: its file is used again, for the entry that file 5 was begun with.
  journal.recycle(1)
  await promise(journal)
  await promise(journal)
  disk.crash(() => 0)
  expect((await opened(disk, 1, 3)).sequences).toEqual([1, 2])
})
