// Opening a data folder: identity, checkpoint, journal, and the logs that changed since.
// Promises: O(what changed): logs the journal does not name are not looked at; a damaged log is named, the others open.
// Does not know: readers and writers.

import { BufferPool } from '../../base/buffer-pool.ts'
import type { World } from '../../base/world.ts'
import { CorruptLog, type LogId, type LogSettings, type Offset } from '../../log/store.ts'
import { FileSlots } from './file-slots.ts'
import { openIdentity } from './identity.ts'
import { type Checkpoint, encodeCheckpoint, type LogCheckpoint, readCheckpoint } from './journal/checkpoint.ts'
import { Journal } from './journal/journal.ts'
import { journalState, readJournal, type Replay } from './journal/replay.ts'
import { layout } from './layout.ts'
import {
  defaultIndexIntervalBytes,
  defaultSegmentBytesMax,
  type LocalSettings,
  recoveriesAtOnce,
  spareBytesMax,
} from './options.ts'
import { digest, nothingPromised, type Promised, recoverChain } from './recovery.ts'
import { ScratchDisk } from './scratch-disk.ts'
import type { SegmentWorld } from './segment.ts'
import type { SegmentChain } from './segment-chain.ts'

export type LocalWorld = Pick<World, 'clock' | 'random' | 'disk' | 'trace'>

/** A data folder as a start finds and leaves it. */
export interface Opened {
  readonly clusterId: string
  readonly generation: number
  readonly lowSequence: number
  readonly journal: Journal
  readonly segments: SegmentWorld
  /** The same for scratch logs, on a disk of their own. */
  readonly scratch: SegmentWorld
  readonly ids: Set<LogId>
  /** What is known of logs that are not open. */
  readonly closed: Map<LogId, LogCheckpoint>
  /** Logs that the journal named, recovered. */
  readonly chains: Map<LogId, SegmentChain>
  readonly damaged: Map<LogId, { readonly error: CorruptLog; readonly since: number }>
}

/** Settings for logs that are completed before somebody opens them with their own. */
const recoverySettings: LogSettings = {
  durability: 'commit',
  segmentBytesMax: defaultSegmentBytesMax,
  segmentAgeMsMax: Infinity,
  indexIntervalBytes: defaultIndexIntervalBytes,
}

export async function openFolder(world: LocalWorld, settings: LocalSettings): Promise<Opened> {
  const { disk } = world
  const { path } = settings
  const clusterId = await openIdentity(world, path)
  disk.removeFolder(layout.scratch(path))
  for (const part of [layout.logs, layout.journal, layout.scratch]) disk.makeFolder(part(path))
  const before = readCheckpoint(disk, layout.checkpoint(path))
  const replay =
    before?.isClean === true ? undefined : readJournal(disk, layout.journal(path), before?.lowSequence ?? 0)
  const nextSequence = replay?.nextSequence ?? before?.lowSequence ?? 0
  const state = await journalState(disk, layout.journal(path), replay, nextSequence)
  // What was read may not be on the medium: a process that died left it with the kernel. We build on it, so it must be.
  for (const { file } of state.live) await file.sync()
  const journal = new Journal(world, settings, state)
  const segments = {
    disk,
    slots: new FileSlots(disk, settings.openFilesMax),
    loaded: new Set<never>(),
    readBuffers: new BufferPool(spareBytesMax),
  }
  const scratchDisk = new ScratchDisk(disk).asDisk()
  const lowSequence = state.live.length === 0 ? nextSequence : (before?.lowSequence ?? 0)
  const generation = (before?.generation ?? 0) + 1
  const opened: Opened = {
    clusterId,
    generation,
    lowSequence,
    journal,
    segments,
    scratch: { ...segments, disk: scratchDisk, slots: new FileSlots(scratchDisk, settings.openFilesMax) },
    ids: new Set(),
    closed: new Map(),
    chains: new Map(),
    damaged: new Map(),
  }
  await recoverLogs(world, settings, opened, before, replay)
  const logs = opened.closed
  await disk.replaceFile(layout.checkpoint(path), encodeCheckpoint({ generation, lowSequence, isClean: false, logs }))
  return opened
}

/** Makes and removes folders as the journal says, and completes every log it names. */
async function recoverLogs(
  world: LocalWorld,
  { path }: LocalSettings,
  opened: Opened,
  checkpoint: Checkpoint | undefined,
  replay: Replay | undefined,
): Promise<void> {
  const { disk } = world
  const { created, deleted, logs } = digest(checkpoint, replay)
  for (const id of deleted) disk.removeFolder(layout.log(path, id))
  for (const id of created) disk.makeFolder(layout.log(path, id))
  if (created.size > 0 || deleted.size > 0) await disk.syncFolder(layout.logs(path))
  for (const { name, isFolder } of disk.list(layout.logs(path))) if (isFolder) opened.ids.add(name as LogId)
  const changed: (readonly [LogId, Promised])[] = []
  for (const [id, promised] of logs) {
    if (!opened.ids.has(id)) {
      opened.damaged.set(id, { error: new CorruptLog(`${layout.log(path, id)} is missing`), since: promised.since })
      opened.ids.add(id)
    } else if (promised.since < Infinity) changed.push([id, promised])
  }
  // Several at once: a start with a cold page cache waits for the disk.
  const recoverNext = async (): Promise<void> => {
    for (let next = changed.pop(); next !== undefined; next = changed.pop()) {
      await recoverLog(world, path, opened, ...next)
    }
  }
  await Promise.all(Array.from({ length: recoveriesAtOnce }, recoverNext))
  for (const [id, promised] of logs) {
    const { start, synced } = promised
    const bytes = opened.chains.get(id)?.bytes ?? checkpoint?.logs.get(id)?.bytes ?? 0
    opened.closed.set(id, { start, synced, bytes })
  }
}

async function recoverLog(
  world: LocalWorld,
  path: string,
  opened: Opened,
  id: LogId,
  promised: Promised,
): Promise<void> {
  try {
    const folder = layout.log(path, id)
    const chain = await recoverChain(opened.segments, folder, promised, recoverySettings, world.clock.nowMs())
    opened.chains.set(id, chain)
  } catch (error) {
    if (!(error instanceof CorruptLog)) throw error
    world.trace.error('log damaged', { log: id, why: error.message })
    opened.damaged.set(id, { error, since: promised.since })
  }
}

/** What is promised of a log that the journal did not name. */
export function promisedOf(known: LogCheckpoint | undefined): Promised {
  if (known === undefined) return nothingPromised()
  return { ...nothingPromised(), start: known.start, synced: known.synced }
}

export const noOffset = 0 as Offset
