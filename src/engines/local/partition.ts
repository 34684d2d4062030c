// One log: what was taken for it, what is written, what readers may have.
// Promises: the port's Log. Entries are written and settled in the order they were taken; a refused one and all
// after it leave no trace. Does not know: other logs, the journal's files. The writer drives it.

import { assert } from '../../base/assert.ts'
import { lastOffsetDeltaAt, baseOffsetAt, maxTimestampAt, patchBatch } from '../../log/batch.ts'
import {
  type AppendFailure,
  type Batches,
  type Log,
  type LogId,
  type LogSettings,
  type Offset,
  type SegmentInfo,
} from '../../log/store.ts'
import type { Append, Item } from './item.ts'
import { findMaxTime, findTime } from './find.ts'
import type { Placed, SegmentChain } from './segment-chain.ts'
import type { KeepTest } from './segment-rewrite.ts'
import { Tail, type TailBudget } from './tail.ts'

/**
 * Stamped into every batch. Clients must never be told to truncate, so it never changes while the log lives; the
 * writer's epoch is another thing and stays inside.
 */
const leaderEpoch = 0

/** What a partition asks of its store. */
export interface PartitionHost {
  readonly tails: TailBudget
  /** Journals the new start, then resolves. */
  commitTrim(partition: Partition, to: Offset): Promise<void>
  /** Syncs segments and records how far they are on the medium. */
  syncPartition(partition: Partition): Promise<void>
  configurePartition(partition: Partition, settings: LogSettings): Promise<void>
  rewriteSegment(partition: Partition, base: Offset, keep: KeepTest): Promise<void>
  reopenPartition(partition: Partition): Promise<void>
}

export type PartitionItem = Item<Partition>
export type PartitionAppend = Append<Partition>

export class Partition implements Log {
  readonly id: LogId
  epoch: number
  start: Offset
  end: Offset
  committed: Offset
  settings: LogSettings
  /** Why nothing can be appended: undefined while it can. */
  failure: AppendFailure | undefined
  chain: SegmentChain
  readonly tail: Tail
  /** Entries on their way, oldest first; the front ones may be in the journal already. */
  readonly queue: PartitionItem[] = []
  /** A write or a sync of this log's segment is under way off the loop. */
  isBusy = false
  /** The disk had no room for what the journal promised already: nothing more is taken until it has. */
  isStuck = false
  /** On the way from `os` to `commit`: what lies below is not promised yet. */
  isSwitching = false
  readonly #host: PartitionHost
  readonly #watchers = new Set<() => void>()
  #freeing: (() => void)[] = []
  #landing: { readonly end: Offset; resolve(): void }[] = []
  readonly #written = (): Offset => this.chain.next

  constructor(
    host: PartitionHost,
    id: LogId,
    settings: LogSettings,
    chain: SegmentChain,
    at: { readonly epoch: number; readonly start: Offset },
  ) {
    this.#host = host
    this.id = id
    this.settings = settings
    this.chain = chain
    this.adopt(chain)
    this.epoch = at.epoch
    this.start = at.start
    this.end = chain.next
    this.committed = chain.next
    this.tail = new Tail(chain.next, host.tails.pool)
    assert(this.start <= this.end, `${id}: starts below its end`)
  }

  get failed(): boolean {
    return this.failure !== undefined
  }

  get bytes(): number {
    return this.chain.bytes
  }

  /** Takes one batch that was judged: it has its offset from now on. */
  take(batch: Buffer, offsets: number): { readonly batch: Buffer; readonly base: Offset; readonly next: Offset } {
    const base = this.end
    const next = (base + offsets) as Offset
    const kept = this.#host.tails.pool.take(batch.length)
    batch.copy(kept)
    patchBatch(kept, base, leaderEpoch)
    this.end = next
    this.#host.tails.push(this.tail, kept, next, this.#written)
    return { batch: kept, base, next }
  }

  /** The last entry taken that is not settled in the segment yet. */
  get lastItem(): PartitionItem | undefined {
    return this.queue.at(-1)
  }

  /** The lowest journal entry with batches that are not in the segments yet. */
  #pendingSince(): number {
    for (const { state, sequence } of this.queue) {
      if (state === 'journalling' || state === 'committed') return sequence
    }
    return Infinity
  }

  /** Segments recovered anew take the place of those that failed. */
  adopt(chain: SegmentChain): void {
    this.chain = chain
    chain.pendingSince = () => this.#pendingSince()
  }

  /** After a failure: all that is committed is in these segments, and appends go on from their end. */
  recovered(chain: SegmentChain): void {
    assert(chain.next >= this.committed, `${this.id}: what was committed is there again`)
    this.queue.length = 0
    this.adopt(chain)
    this.letGo()
    this.end = chain.next
    this.committed = chain.next
    this.letGo()
    this.failure = undefined
    this.isStuck = false
    this.tell()
  }

  /** Resolves when all that was taken before the call is in the segments or refused. */
  landed(): Promise<void> {
    const { end } = this
    if (this.chain.next >= end || this.queue.length === 0) return Promise.resolve()
    return new Promise((resolve) => this.#landing.push({ end, resolve }))
  }

  /** The queue moved: tells who waits for it. */
  moved(): void {
    if (this.#landing.length === 0) return
    const waiting = this.#landing
    this.#landing = []
    for (const waiter of waiting) {
      if (this.queue.length === 0 || this.failed || waiter.end <= this.chain.next || waiter.end > this.end)
        waiter.resolve()
      else this.#landing.push(waiter)
    }
  }

  /** All below `to` is committed from now on. */
  commitTo(to: Offset): void {
    assert(to >= this.committed && to <= this.end, `${this.id}: committed only rises, up to the end`)
    this.committed = to
  }

  /** Takes back every offset from `to` on: nothing of it was written. */
  takeBack(to: Offset): void {
    assert(to >= this.committed, `${this.id}: what is committed is not taken back`)
    if (to >= this.end) return
    const before = this.tail.bytes
    this.tail.cut(to)
    this.#host.tails.changed(this.tail, before)
    this.end = to
  }

  fail(failure: AppendFailure): void {
    this.failure ??= failure
    this.chain.isFailed = true
  }

  /** Resolves when no work off the loop is under way on its files. */
  free(): Promise<void> {
    return this.isBusy ? new Promise((resolve) => this.#freeing.push(resolve)) : Promise.resolve()
  }

  freed(): void {
    const waiting = this.#freeing
    this.#freeing = []
    for (const resolve of waiting) resolve()
  }

  tell(): void {
    // A copy: who is told may watch again at once.
    const watchers = [...this.#watchers]
    for (const changed of watchers) changed()
  }

  read(from: Offset, bytesMax: number, below: Offset): Batches | Promise<Batches> {
    assert(from >= this.start && from <= this.end, `${this.id}: a read begins between start and end`)
    if (from >= below || from === this.end) return { chunks: [], bytes: 0, next: from }
    if (from >= this.tail.base) return this.tail.read(from, bytesMax, below)
    return this.#readFiles(from, bytesMax, below)
  }

  async #readFiles(from: Offset, bytesMax: number, below: Offset): Promise<Batches> {
    for (;;) {
      const { base } = this.tail
      if (from >= base) return this.tail.read(from, bytesMax, below)
      const found = await this.#readChain(from, bytesMax, below)
      if (found.chunks.length > 0) return found
      // The tail let more go meanwhile: what was not in the files may be there now.
      if (this.tail.base !== base) continue
      // A gap up to the tail, or nothing below the bound.
      const rest = this.tail.read(base, bytesMax, below)
      return rest.chunks.length > 0 ? rest : found
    }
  }

  async #readChain(from: Offset, bytesMax: number, below: Offset): Promise<Batches> {
    try {
      return await this.chain.read(from, bytesMax, below)
    } catch (error) {
      if (this.failure?.kind === 'closed') throw this.failure
      // Trimmed while it was read: nothing is there, and the caller sees that start has passed him.
      if (from < this.start) return { chunks: [], bytes: 0, next: from }
      throw error
    }
  }

  async findTime(timestampMs: number): Promise<Offset | undefined> {
    let { start } = this
    for (;;) {
      const reached = this.chain.next
      const found = await findTime(this.chain, start, timestampMs)
      if (found !== undefined) return this.#clamp(found)
      if (this.tail.base > reached) {
        // Written while the files were searched, and let go of: the search goes on where it ended.
        start = reached
        continue
      }
      for (const batch of this.tail.from(reached)) {
        if (maxTimestampAt(batch, 0) >= timestampMs) return this.#clamp(baseOffsetAt(batch, 0))
      }
      return undefined
    }
  }

  async findMaxTime(): Promise<Offset | undefined> {
    let { start } = this
    let reached = this.chain.next
    let best = await findMaxTime(this.chain, start)
    while (this.tail.base > reached) {
      start = reached
      reached = this.chain.next
      const later = await findMaxTime(this.chain, start)
      if (later !== undefined && (best === undefined || later.timestampMs > best.timestampMs)) best = later
    }
    for (const batch of this.tail.from(reached)) {
      const timestampMs = maxTimestampAt(batch, 0)
      if (best === undefined || timestampMs > best.timestampMs)
        best = { timestampMs, base: baseOffsetAt(batch, 0) as Offset }
    }
    return best && this.#clamp(best.base)
  }

  #clamp(base: number): Offset {
    return Math.max(base, this.start) as Offset
  }

  segments(): readonly SegmentInfo[] {
    return this.chain.infos()
  }

  async trim(to: Offset): Promise<void> {
    assert(to <= this.committed, `${this.id}: only what is committed is trimmed`)
    if (this.failure !== undefined) throw this.failure
    if (to <= this.start) return
    await this.#host.commitTrim(this, to)
  }

  /** The new start is durable. */
  trimmed(to: Offset): void {
    if (to <= this.start) return
    this.start = to
    this.chain.trim(to)
    this.tell()
  }

  roll(): void {
    if (this.failure === undefined) this.chain.rollBefore(this.end)
  }

  async rewrite(base: Offset, keep: KeepTest): Promise<void> {
    if (this.failure === undefined && this.chain.hasClosed(base)) await this.#host.rewriteSegment(this, base, keep)
  }

  configure(settings: LogSettings): Promise<void> {
    return this.#host.configurePartition(this, settings)
  }

  sync(): Promise<void> {
    return this.#host.syncPartition(this)
  }

  watch(changed: () => void): () => void {
    // A wrapper, so that the same function watched twice is two watches.
    const watcher = (): void => changed()
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  reopen(): Promise<void> {
    return this.#host.reopenPartition(this)
  }

  /** The tail goes: the log is deleted or the store closed. */
  letGo(): void {
    this.#host.tails.forget(this.tail)
    this.tail.reset(this.end)
  }
}

/** Offsets a batch takes, by its head. */
export const offsetsOf = (batch: Buffer): number => lastOffsetDeltaAt(batch, 0) + 1

export type { Placed }
