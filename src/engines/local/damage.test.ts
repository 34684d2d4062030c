// What the local engine does about damage, failing media and strangers in its folder.
// Promises: promised bytes that are wrong are refused by file and position; a journal that fails stops everything.
// Does not know: power cuts; power.test.ts does.

import { expect, test } from 'vitest'
import { FaultDisk, testWorld } from '../../../test/fault-disk.ts'
import { contractBatch, entryOf } from '../../log/log.contract.ts'
import { CorruptLog, type Log, logId, type LogSettings, type TopicId } from '../../log/store.ts'
import { type LocalStore, openLocalStore } from './local-store.ts'

const id = logId('AAAAAAAAAAAAAAAAAAAAAA' as TopicId, 3)
const segment = `/data/logs/${id}/00000000000000000000.log`
const commit: LogSettings = {
  durability: 'commit',
  segmentBytesMax: 1e6,
  segmentAgeMsMax: 1e12,
  indexIntervalBytes: 64,
}
const os: LogSettings = { ...commit, durability: 'os' }

interface Bench {
  readonly disk: FaultDisk
  readonly fatal: Error[]
  readonly open: () => Promise<LocalStore>
}

function bench(): Bench {
  const disk = new FaultDisk()
  const fatal: Error[] = []
  const onFatal = (error: Error): void => void fatal.push(error)
  const open = (): Promise<LocalStore> =>
    openLocalStore(testWorld(disk.boot(), 3), {
      path: '/data',
      journalBytesMax: 1024 * 1024,
      cacheBytesMax: 1000,
      cacheBytesPerLogMax: 1000,
      onFatal,
    })
  return { disk, fatal, open }
}

async function written(store: LocalStore, settings: LogSettings, count: number): Promise<Log> {
  await store.create([{ id, settings }])
  const log = await store.open(id, settings)
  for (let place = 0; place < count; place++) await store.append([entryOf(log, contractBatch(1, 300))])
  return log
}

test('a flipped byte below the checkpoint is refused by file and position when it is read', async () => {
  const { disk, open } = bench()
  const store = await open()
  const log = await written(store, commit, 10)
  const bytes = log.bytes / 10
  await store.close()
  disk.flip(segment, bytes * 4 + 100)
  const again = await (await open()).open(id, commit)
  expect(again.end).toBe(10)
  const reading = Promise.resolve(again.read(again.start, 1e6, again.end))
  await expect(reading).rejects.toThrow(`${segment}: damaged at position ${bytes * 4}`)
})

test('a segment that is shorter than promised, or gone, is refused by name', async () => {
  const { disk, open } = bench()
  const store = await open()
  await written(store, commit, 10)
  await store.close()
  const file = disk.boot().open(segment, 'create')
  file.truncate(700)
  file.close()
  const shorter = await open()
  await expect(shorter.open(id, commit)).rejects.toThrow(/ends at 700/)
  disk.kill()
  disk.boot().removeFile(segment)
  await expect((await open()).open(id, commit)).rejects.toThrow(CorruptLog)
})

test('a flipped byte in an unsynced tail is cut under os, and made good from the journal under commit', async () => {
  for (const [settings, end] of [
    [os, 6],
    [commit, 10],
  ] as const) {
    const { disk, open } = bench()
    const log = await written(await open(), settings, 10)
    const bytes = log.bytes / 10
    disk.kill()
    disk.flip(segment, bytes * 6 + 100)
    const again = await (await open()).open(id, settings)
    expect([again.start, again.end]).toEqual([0, end])
  }
})

test('a flipped byte in the middle of the journal is refused by file and position', async () => {
  const { disk, open } = bench()
  await written(await open(), commit, 10)
  disk.kill()
  disk.flip('/data/journal/00000000.journal', 64 + 900)
  await expect(open()).rejects.toThrow(/journal\/00000000\.journal: damaged at position \d+/)
})

test('a damaged checkpoint is refused', async () => {
  const { disk, open } = bench()
  await (await open()).close()
  disk.flip('/data/journal/checkpoint', 31)
  await expect(open()).rejects.toThrow(/checkpoint: damaged/)
})

test('a journal sync that fails stops the process: nothing is promised any more', async () => {
  const { disk, fatal, open } = bench()
  const store = await open()
  const log = await written(store, commit, 1)
  disk.fault = (operation, path) => (operation === 'sync' && path.endsWith('.journal') ? 'io' : undefined)
  await expect(store.append([entryOf(log, contractBatch(1, 9))])).rejects.toMatchObject({ kind: 'io' })
  disk.fault = () => undefined
  await expect(store.append([entryOf(log, contractBatch(1, 9))])).rejects.toMatchObject({ kind: 'io' })
  expect([fatal.length, log.committed]).toEqual([1, 1])
  await store.close()
})

test('a segment sync that fails fails its log only, and reopening writes again what may be lost', async () => {
  const { disk, open } = bench()
  const store = await open()
  const log = await written(store, os, 5)
  disk.fault = (operation, path) => (operation === 'sync' && path.endsWith('.log') ? 'io' : undefined)
  await expect(log.sync()).rejects.toMatchObject({ kind: 'io' })
  expect(log.failed).toBe(true)
  disk.fault = () => undefined
  await log.reopen()
  await log.sync()
  disk.crash(() => 0)
  expect((await (await open()).open(id, os)).end).toBe(5)
})

test('a log switched to commit is synced first: what was there survives the power', async () => {
  const { disk, open } = bench()
  const store = await open()
  const log = await written(store, os, 5)
  await log.configure(commit)
  disk.crash(() => 0)
  const again = await (await open()).open(id, commit)
  expect(again.end).toBe(5)
})

test('a folder in use, or of a newer format, is refused in one line', async () => {
  const { disk, open } = bench()
  const store = await open()
  expect(store.clusterId).toHaveLength(22)
  await expect(open()).rejects.toThrow('/data is in use by')
  await store.close()
  await disk.boot().replaceFile('/data/odradek.json', Buffer.from('{"formatVersion":99,"clusterId":"x"}'))
  await expect(open()).rejects.toThrow(/format 99/)
})

test('the cluster id stays, and a clean close leaves nothing to look at', async () => {
  const { disk, open } = bench()
  const store = await open()
  await written(store, commit, 20)
  await store.close()
  const read: string[] = []
  disk.fault = (operation, path) => {
    if (operation === 'read' || (operation === 'open' && path.endsWith('.log'))) read.push(path)
    return undefined
  }
  const again = await open()
  expect([again.clusterId, read]).toEqual([store.clusterId, []])
  expect((await again.open(id, commit)).end).toBe(20)
  await again.close()
})
