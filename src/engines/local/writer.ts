// Writes what was appended: gathered per turn, in order per log, through the journal where a commit is promised.
// Promises: at most one write off the loop per log; an append settles after all that was taken before it in its logs.
// Does not know: the journal's bytes, segments' insides, which logs there are.

import { assert } from '../../base/assert.ts'
import { type Clock, DiskError, type Timer, type Trace } from '../../base/world.ts'
import { AppendFailure, type AppendEntry } from '../../log/store.ts'
import { noSequence, refuseFrom, settlePart } from './item.ts'
import type { JournalQueue } from './journal-queue.ts'
import { stuckRetryMs, unsyncedBytesMax, writeBytesMax, writeNowBytesMax } from './options.ts'
import { Partition, type PartitionAppend, type PartitionItem } from './partition.ts'

export interface WriterWorld {
  readonly clock: Clock
  readonly trace: Trace
}

/** What the writer tells its store. */
export interface WriterHost {
  /** Much is unsynced. */
  onDirty(): void
}

export class Writer {
  readonly #world: WriterWorld
  readonly #largeBytesMin: number
  readonly #host: WriterHost
  readonly #journal: JournalQueue
  /** Logs with something in their queue that can go on. */
  readonly #active = new Set<Partition>()
  #isScheduled = false
  #isEnding = false
  #appends = 0
  #idle: (() => void)[] = []
  #retry: Timer | undefined

  constructor(world: WriterWorld, largeBytesMin: number, host: WriterHost, journal: JournalQueue) {
    this.#world = world
    this.#largeBytesMin = largeBytesMin
    this.#host = host
    this.#journal = journal
  }

  /** Takes judged entries: offsets are given now, the promise follows the commit. */
  append(entries: readonly AppendEntry[]): Promise<void> {
    assert(entries.length > 0, 'an append has entries')
    return new Promise((resolve, reject) => {
      const isJournalled = goesThroughJournal(entries)
      const order = this.#appends++
      const append: PartitionAppend = {
        order,
        items: [],
        isJournalled,
        isUrgent: entries.some((entry) => entry.isUrgent === true),
        bytes: 0,
        left: entries.length,
        resolve,
        reject,
      }
      for (const entry of entries) this.#take(append, entry)
      if (isJournalled) this.#journal.add(append)
      this.schedule()
    })
  }

  #take(append: PartitionAppend, { log, batch, offsets, maxTimestampMs }: AppendEntry): void {
    assert(log instanceof Partition, `${log.id} is a log of this store`)
    const { batch: kept, base, next } = log.take(batch, offsets)
    const before = log.lastItem
    const item: PartitionItem = {
      append,
      partition: log,
      batch: kept,
      base,
      next,
      maxTimestampMs,
      state: 'waiting',
      before,
      sequence: noSequence,
    }
    append.bytes += batch.length
    append.items.push(item)
    log.queue.push(item)
    this.#active.add(log)
  }

  /** Everything that this turn brings is written together at its end. */
  schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#world.clock.endOfTurn(() => {
      this.#isScheduled = false
      this.pump()
    })
  }

  /** Nothing is taken any more. Resolves when nothing is on its way, save what the journal keeps for the next start. */
  idle(): Promise<void> {
    this.#isEnding = true
    for (const partition of this.#active) this.#afterAdvance(partition)
    if (this.#isIdle()) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  #isIdle(): boolean {
    return this.#active.size === 0 && this.#journal.isIdle
  }

  pump(): void {
    for (const partition of this.#active) this.#advance(partition)
    this.#journal.pump()
    if (this.#idle.length === 0 || !this.#isIdle()) return
    const waiting = this.#idle
    this.#idle = []
    for (const resolve of waiting) resolve()
  }

  /** The journal has these parts: they are committed, and go to the segments. */
  onJournalled(items: readonly PartitionItem[]): void {
    const partitions = new Set<Partition>()
    for (const item of items) {
      const { partition } = item
      // Without its before no chain of settled items is kept alive.
      item.before = undefined
      item.state = item.state === 'landed' ? 'done' : 'committed'
      partitions.add(partition)
      partition.commitTo(item.next)
      settlePart(item)
    }
    for (const partition of partitions) {
      while (partition.queue[0]?.state === 'done') partition.queue.shift()
      this.#active.add(partition)
      this.#advance(partition)
      partition.tell()
    }
  }

  #advance(partition: Partition): void {
    while (!partition.isBusy && !partition.isStuck && !partition.failed) {
      const run = this.#run(partition)
      if (run.length === 0) break
      const { settings, chain } = partition
      const nowMs = this.#world.clock.nowMs()
      try {
        const count = chain.fit(run, settings, nowMs)
        if (count < run.length) run.length = count
        const isLarge = run[0].state === 'waiting' && run[0].append.isJournalled
        if (isLarge || bytesOf(run) > writeNowBytesMax) {
          void this.#writeSlowly(partition, run, nowMs)
          return
        }
        chain.writeNow(run, settings, nowMs)
      } catch (error) {
        this.#onWriteFailed(partition, run, error)
        continue
      }
      this.#written(partition, run)
    }
    this.#afterAdvance(partition)
  }

  #afterAdvance(partition: Partition): void {
    partition.moved()
    if (partition.chain.unsyncedBytes > unsyncedBytesMax) this.#host.onDirty()
    if (partition.isBusy) return
    const first = partition.queue[0]
    // A failed log keeps what the journal promised until it is reopened: nobody waits for that.
    // So does, at the end, one that the disk has no room for: the next start writes it.
    const isLeft = partition.failed || (this.#isEnding && partition.isStuck)
    const isParked = isLeft && (first === undefined || first.state === 'committed')
    if (first === undefined || isParked) this.#active.delete(partition)
  }

  /** What can go to the segment together: of one state, and for large bodies only from their least size on. */
  #run({ queue }: Partition): PartitionItem[] {
    const run: PartitionItem[] = []
    if (queue.length === 0) return run
    const { state, append } = queue[0]
    if (state !== 'committed' && state !== 'waiting') return run
    const isLarge = state === 'waiting' && append.isJournalled
    let bytes = 0
    for (const item of queue) {
      if (item.state !== state || item.append.isJournalled !== append.isJournalled) break
      if (isLarge && item.append.items.length > 1) break
      if (run.length > 0 && bytes + item.batch.length > writeBytesMax) break
      bytes += item.batch.length
      run.push(item)
    }
    if (isLarge && bytes < this.#largeBytesMin) run.length = 0
    return run
  }

  async #writeSlowly(partition: Partition, run: readonly PartitionItem[], nowMs: number): Promise<void> {
    const isLarge = run[0].state === 'waiting' && run[0].append.isJournalled
    const { chain } = partition
    partition.isBusy = true
    if (run[0].state === 'waiting') for (const item of run) item.state = 'writing'
    let failure: unknown
    try {
      await chain.write(run, partition.settings, nowMs)
      if (isLarge) await chain.sync()
    } catch (error) {
      failure = error
    }
    partition.isBusy = false
    if (failure !== undefined) this.#onWriteFailed(partition, run, failure)
    else if (partition.failure?.kind === 'closed' && run[0].state === 'writing') refuseFrom(run[0], partition.failure)
    else if (isLarge) for (const item of run) item.state = 'landed'
    else this.#written(partition, run)
    partition.freed()
    if (partition.failed) this.#afterAdvance(partition)
    this.pump()
  }

  #written(partition: Partition, run: readonly PartitionItem[]): void {
    const wasCommitted = run[0].state === 'committed'
    partition.queue.splice(0, run.length)
    for (const item of run) {
      item.state = 'done'
      item.before = undefined
      if (wasCommitted) continue
      partition.commitTo(item.next)
      settlePart(item)
    }
    if (!wasCommitted) partition.tell()
  }

  #onWriteFailed(partition: Partition, run: readonly PartitionItem[], error: unknown): void {
    const failure = appendFailure(error)
    if (run[0].state !== 'committed') return this.refuse(run[0], failure)
    if (failure.kind !== 'full') return this.failLog(partition, failure)
    // Promised already, only the segment has no room: readers have it from memory, and it is tried again.
    partition.isStuck = true
    this.refuseWaiting(partition, failure)
    this.#world.trace.warn('disk full', { log: partition.id })
    this.retryLater()
  }

  /** What could not go on for want of room is tried again after a while. */
  retryLater(): void {
    this.#retry ??= this.#world.clock.after(stuckRetryMs, () => this.#retryStuck())
  }

  #retryStuck(): void {
    this.#retry = undefined
    for (const partition of this.#active) partition.isStuck = false
    this.pump()
  }

  /** A write failed: what it held and all after it leave no trace. Anything but a full disk fences the log. */
  refuse(item: PartitionItem, failure: AppendFailure): void {
    if (failure.kind === 'io') item.partition.fail(failure)
    for (const touched of refuseFrom(item, failure)) this.#afterAdvance(touched)
    if (failure.kind !== 'io') return
    this.#world.trace.error('log failed', { log: item.partition.id, why: failure.message })
    item.partition.tell()
  }

  /** The log takes nothing more; what waits in it is refused. */
  failLog(partition: Partition, failure: AppendFailure): void {
    partition.fail(failure)
    if (failure.kind === 'io') {
      this.#world.trace.error('log failed', { log: partition.id, why: failure.message })
    }
    this.refuseWaiting(partition, failure)
    partition.tell()
  }

  refuseWaiting(partition: Partition, failure: AppendFailure): void {
    const first = partition.queue.find(({ state }) => state === 'waiting')
    if (first !== undefined) for (const touched of refuseFrom(first, failure)) this.#afterAdvance(touched)
    this.#afterAdvance(partition)
  }

  /** The log is deleted or the store closed: nothing of it is on its way any more. */
  forget(partition: Partition): void {
    this.#active.delete(partition)
  }

  close(): void {
    this.#retry?.cancel()
    this.#retry = undefined
  }
}

/** Several entries go together or not at all; scratch logs are exempt. */
function goesThroughJournal(entries: readonly AppendEntry[]): boolean {
  let kept = 0
  let isPromised = false
  for (const { log } of entries) {
    if (log.settings.durability === 'scratch') continue
    kept++
    isPromised ||= log.settings.durability === 'commit'
  }
  return isPromised || (kept > 0 && entries.length > 1)
}

function bytesOf(run: readonly PartitionItem[]): number {
  let bytes = 0
  for (const { batch } of run) bytes += batch.length
  return bytes
}

export function appendFailure(error: unknown): AppendFailure {
  if (error instanceof AppendFailure) return error
  if (error instanceof DiskError) return new AppendFailure(error.kind === 'full' ? 'full' : 'io', error.message)
  throw error
}
