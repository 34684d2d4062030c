// What the local engine can be told, and its own bounds.
// Promises: every number has a name, a unit and a reason; defaults are here and nowhere else.
// Does not know: configuration files. Values come in validated.

import { assert } from '../../base/assert.ts'
import { KiB, MiB } from '../../base/limits.ts'

export interface LocalStoreOptions {
  /** The data folder; made when absent. */
  readonly path: string
  /** The journal's files together. Appends wait for segment syncs rather than pass it. */
  readonly journalBytesMax?: number
  /**
   * From this much waiting in one log on, a commit syncs the segment itself instead of writing all of it twice. That is
   * two syncs, one after the other, of which the first writes metadata too: less is sooner on the medium written twice.
   */
  readonly largeBytesMin?: number
  /** From this much on, what waits is written to the journal while the sync before it runs; less is gathered further. */
  readonly journalEarlyBytesMin?: number
  /** Newest batches of all logs kept in memory for readers of the tail. */
  readonly cacheBytesMax?: number
  /** The same for one log. */
  readonly cacheBytesPerLogMax?: number
  /** Open files of segments, of all logs together; by default half of what the process may open. */
  readonly openFilesMax?: number
  /** The journal failed: nothing can be promised any more, the process has to stop. */
  readonly onFatal: (error: Error) => void
}

export type LocalSettings = Required<LocalStoreOptions>

/** More are not kept open, however many the process may have. */
const openFilesMost = 16_384

export function localSettings(options: LocalStoreOptions, processFilesMax: number): LocalSettings {
  const settings = {
    journalBytesMax: 128 * MiB,
    largeBytesMin: MiB,
    journalEarlyBytesMin: 64 * KiB,
    cacheBytesMax: 32 * MiB,
    // What readers of the tail are behind by, and more; older batches come from the kernel's cache for little more.
    cacheBytesPerLogMax: 4 * MiB,
    // The other half is for connections.
    openFilesMax: Math.min(openFilesMost, processFilesMax >>> 1),
    ...options,
  }
  assert(settings.journalBytesMax >= 4 * journalFileBytesMin, 'the journal has room for four of its smallest files')
  assert(settings.openFilesMax >= 8, 'a few files can be open')
  return settings
}

/** Journal files are a share of the journal, so that it is given back in pieces. */
export const journalFileBytesMin = 256 * KiB
export const journalFileBytesMax = 16 * MiB
/** The journal is made longer by this much at a time: within it a sync writes no metadata. */
export const journalGrowBytes = MiB
/** Bytes of batches in one journal entry; more wait for the next cycle. One append may be larger. */
export const journalEntryBytesMax = 8 * MiB
/** Journal room that only deletes, trims and checkpoints may use when the disk is full. */
export const journalReserveBytes = 64 * KiB

/** Up to this much goes to a segment in a synchronous write: cheaper than the way through the thread pool. */
export const writeNowBytesMax = 512 * KiB
/** The most one write of a log takes together. */
export const writeBytesMax = 8 * MiB
/** How long a log waits before what the journal promised is tried in its segment again, after a full disk. */
export const stuckRetryMs = 500
/** A log that has more than this unsynced is synced in the background, so that a start scans little. */
export const unsyncedBytesMax = 256 * MiB

/** A scratch log's file stays in memory up to this size … */
export const scratchFileBytesMax = 64 * KiB
/** … and all of them together up to this. */
export const scratchMemoryBytesMax = 16 * MiB

/** Most bytes a read takes from the disk at once. */
export const readBytesMax = 4 * MiB
/** Least bytes a read takes from the disk: what follows is likely wanted too, and a batch head is in it for certain. */
export const readBytesMin = 64 * KiB
/** What recovery and rebuilding of an index read at a time. */
export const scanBytes = MiB
/** Indexes of closed segments kept in memory, of all logs together. */
export const loadedIndexesMax = 256
/** Where readers will go on, remembered per segment. */
export const hintsMax = 64
/** What tails let go is kept for the batches to come, up to this much. */
export const spareBytesMax = 8 * MiB
/** For logs that recovery completes before somebody opens them with settings of their own (Kafka's defaults). */
export const defaultSegmentBytesMax = 1024 * MiB
export const defaultIndexIntervalBytes = 4 * KiB
/** A close syncs segments for no longer than this, so that a process ends within the patience of those who stop it. */
export const closeSyncMsMax = 300
/** As many as Node's pool has threads: nothing else waits for them any more. */
export const closeSyncsAtOnce = 4
/** Logs that a start recovers at once. */
export const recoveriesAtOnce = 8
