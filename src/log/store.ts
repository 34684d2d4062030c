// The storage port: logs of record batches, appended atomically, read by offset.
// Promises: what every engine keeps, checked by log.contract.ts: order, atomicity over logs, commit before promise.
// Does not know: topics, queues, groups, settings of either, protocols. It sees batches, offsets, bytes and times.

/** An offset in one log: exact to 2^53, contiguous when assigned, with gaps when read. */
export type Offset = number & { readonly [offsetBrand]: true }
declare const offsetBrand: unique symbol

export const offset = (value: number): Offset => value as Offset

/** A topic's id: 16 bytes as 22 characters of base64url, the way Kafka prints it. Never begins with '-'. */
export type TopicId = string & { readonly [topicIdBrand]: true }
declare const topicIdBrand: unique symbol

/** One log's name in the store: `<topicId>-<partition>`. */
export type LogId = string & { readonly [logIdBrand]: true }
declare const logIdBrand: unique symbol

export const logId = (topic: TopicId, partition: number): LogId => `${topic}-${partition}` as LogId
export const topicOf = (id: LogId): TopicId => id.slice(0, id.lastIndexOf('-')) as TopicId
export const partitionOf = (id: LogId): number => Number(id.slice(id.lastIndexOf('-') + 1))

/**
 * What a promise of an append means. `commit`: synced to the medium. `os`: written to the kernel, survives the
 * process, not a power cut. `scratch`: gone with the process.
 */
export type Durability = 'commit' | 'os' | 'scratch'

export interface LogSettings {
  readonly durability: Durability
  /** A segment is closed before it would pass this many bytes. */
  readonly segmentBytesMax: number
  /** A segment is closed when its first batch is older than this (by the clock, at the next append). */
  readonly segmentAgeMsMax: number
  /** At most this many bytes of batches between two entries of the offset index. */
  readonly indexIntervalBytes: number
}

export type AppendFailureKind =
  /** Another writer owns the log, or expectedEnd is not its end: nothing was written. */
  | 'fenced'
  /** No room on the medium or over the engine's byte limit: nothing was written. */
  | 'full'
  /** The log is deleted or the store closed. */
  | 'closed'
  /** The medium failed. The log stays failed until reopen(). */
  | 'io'

/** Why an append was not done. Whoever decided on it must forget what it decided. */
export class AppendFailure extends Error {
  override readonly name = 'AppendFailure'
  readonly kind: AppendFailureKind
  constructor(kind: AppendFailureKind, why: string) {
    super(why)
    this.kind = kind
  }
}

/** Damage found in stored bytes that were promised: names file and offset, refuses to go on. */
export class CorruptLog extends Error {
  override readonly name = 'CorruptLog'
}

export interface AppendEntry {
  readonly log: Log
  /**
   * One whole record batch (magic 2, head and CRC already judged). The engine patches base offset (bytes 0–7) and
   * leader epoch (bytes 12–15) in place and copies what it keeps: after the call the buffer is the caller's again.
   */
  readonly batch: Buffer
  /** How many offsets the batch takes: lastOffsetDelta + 1. */
  readonly offsets: number
  /** Greatest timestamp in the batch, ms. */
  readonly maxTimestampMs: number
  /** The writer's epoch as log.epoch gave it. */
  readonly epoch: number
  /** The base offset this batch gets; must equal log.end at the call. */
  readonly expectedEnd: Offset
  /**
   * Outlives the process from the end of this turn on, whatever else is being synced then; outliving the power takes as
   * long as for others. Rarely an engine cannot begin a write at once (decisions/0007); then as soon as it can.
   */
  readonly isUrgent?: boolean
}

/** Whole stored batches, contiguous in storage order. Buffers are shared: read-only for everyone. */
export interface Batches {
  readonly chunks: readonly Buffer[]
  readonly bytes: number
  /** The offset after the last batch given; equals `from` when there was none. */
  readonly next: Offset
  /** Says, once, that nobody looks at the chunks any more, so that their memory may be used again. Never required. */
  readonly release?: () => void
}

/** One segment, oldest first. The last one is the active one. */
export interface SegmentInfo {
  readonly base: Offset
  readonly next: Offset
  readonly bytes: number
  readonly maxTimestampMs: number
}

export interface Log {
  readonly id: LogId
  /** Rises whenever the log is opened for writing or reopened. */
  readonly epoch: number
  /** First readable offset. */
  readonly start: Offset
  /** Next offset to be assigned; moves at append, before the commit. */
  readonly end: Offset
  /** All below it is committed in the sense of the log's durability: the high watermark. Never decreases. */
  readonly committed: Offset
  readonly bytes: number
  readonly settings: LogSettings
  readonly failed: boolean

  /**
   * Whole batches from the one that holds `from` (or, across a gap, the next one) while their bytes fit `bytesMax`
   * and their last offset lies below `below`; the first is given whatever its size. `from` below start or above end
   * is the caller's to refuse. Synchronous from the cache, a promise from the disk.
   */
  read(from: Offset, bytesMax: number, below: Offset): Batches | Promise<Batches>
  /** Base offset of the first batch at or above start whose max timestamp is ≥ `timestampMs`; undefined: none. */
  findTime(timestampMs: number): Promise<Offset | undefined>
  /** The batch with the greatest max timestamp (the first of several): its base offset; undefined when empty. */
  findMaxTime(): Promise<Offset | undefined>
  segments(): readonly SegmentInfo[]
  /** Raises start to `to` (≤ committed); whole segments below are removed. Resolves when durable. */
  trim(to: Offset): Promise<void>
  /** Closes the active segment, so that trim can remove it. No effect on an empty one. */
  roll(): void
  /**
   * Writes the closed segment that begins at `base` anew without the batches for which `keep` says false (of a batch's
   * base offset and the offset after its last), and swaps it in atomically. Offsets stay; readers find a gap. No effect
   * on the active segment or where none begins at `base`.
   */
  rewrite(base: Offset, keep: (base: Offset, next: Offset) => boolean): Promise<void>
  /** New settings from the next append on; a change to `commit` syncs and checkpoints first, then resolves. */
  configure(settings: LogSettings): Promise<void>
  /** Resolves when all that was appended before the call is on the medium, whatever the durability. */
  sync(): Promise<void>
  /** Calls `changed` after committed or start moved, and when the log is deleted or fails. Returns the way to stop. */
  watch(changed: () => void): () => void
  /** After an 'io' failure: recovers what was committed under a higher epoch. */
  reopen(): Promise<void>
}

export interface StoreUsage {
  readonly usedBytes: number
  /** What can still be written: free bytes of the disk, or the memory engine's remaining limit. */
  readonly freeBytes: number
}

export interface Store {
  /** Every log there is. */
  list(): readonly LogId[]
  /** Makes the logs, all or none, durably. */
  create(logs: readonly { readonly id: LogId; readonly settings: LogSettings }[]): Promise<void>
  /**
   * Opens for reading and writing; the same Log for the same id. `endAtLeast`: an offset somebody refers to, below
   * which none may be given again (leaves a gap). Rejects with CorruptLog, or AppendFailure 'closed' when not there.
   */
  open(id: LogId, settings: LogSettings, endAtLeast?: Offset): Promise<Log>
  /** Removes the logs, all or none; readers and watchers are told. Resolves when durable. */
  delete(ids: readonly LogId[]): Promise<void>
  /**
   * All or none, also across a crash. Offsets are taken at the call (log.end moves); the promise resolves at the
   * commit of the strongest durability among the entries, in call order per log, and after every lower offset of
   * each log. Rejects with AppendFailure, after which the same holds for everything appended later to these logs.
   */
  append(entries: readonly AppendEntry[]): Promise<void>
  usage(): StoreUsage
  /** Bytes on disk of one log without opening it, 0 when unknown. */
  bytesOf(id: LogId): number
  /** Syncs, writes checkpoints, releases everything. Open logs fail afterwards with 'closed'. */
  close(): Promise<void>
}
