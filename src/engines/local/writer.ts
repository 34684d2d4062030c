// Writes what was appended: gathered per turn, in order per log, through the journal where a commit is promised.
// Promises: at most one write off the loop per log; an append settles after all that was taken before it in its logs.
// Does not know: the journal's bytes, segments' insides.

import { assert } from '../../base/assert.ts'
import { type Clock, DiskError, type Trace } from '../../base/world.ts'
import { AppendFailure, type AppendEntry } from '../../log/store.ts'
import { type Append, type Item, refuseFrom, settlePart } from './item.ts'
import { writeBytesMax, writeNowBytesMax } from './options.ts'
import { Partition } from './partition.ts'

export interface WriterWorld {
  readonly clock: Clock
  readonly trace: Trace
}

export class Writer {
  readonly #world: WriterWorld
  /** Logs with something in their queue. */
  readonly #active = new Set<Partition>()
  #isScheduled = false
  #appends = 0
  #idle: (() => void)[] = []

  constructor(world: WriterWorld) {
    this.#world = world
  }

  /** Takes judged entries: offsets are given now, the promise follows the commit. */
  append(entries: readonly AppendEntry[]): Promise<void> {
    assert(entries.length > 0, 'an append has entries')
    return new Promise((resolve, reject) => {
      const append: Append = {
        order: this.#appends++,
        items: [],
        isJournalled: false,
        bytes: 0,
        left: entries.length,
        resolve,
        reject,
      }
      for (const entry of entries) this.#take(append, entry)
      this.#schedule()
    })
  }

  #take(append: Append, { log, batch, offsets, maxTimestampMs }: AppendEntry): void {
    assert(log instanceof Partition, `${log.id} is a log of this store`)
    const item: Item = {
      ...log.take(batch, offsets),
      append,
      partition: log,
      maxTimestampMs,
      state: 'waiting',
      before: log.lastItem,
      sequence: 0,
    }
    append.bytes += batch.length
    append.items.push(item)
    log.queue.push(item)
    this.#active.add(log)
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#world.clock.endOfTurn(() => {
      this.#isScheduled = false
      this.pump()
    })
  }

  /** Resolves when nothing is on its way any more. */
  idle(): Promise<void> {
    if (this.#active.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  pump(): void {
    for (const partition of this.#active) this.#advance(partition)
    if (this.#active.size > 0 || this.#idle.length === 0) return
    const waiting = this.#idle
    this.#idle = []
    for (const resolve of waiting) resolve()
  }

  #advance(partition: Partition): void {
    while (!partition.isBusy && partition.queue.length > 0) {
      const run = this.#run(partition)
      const nowMs = this.#world.clock.nowMs()
      try {
        const count = partition.chain.fit(run, partition.settings, nowMs)
        if (count < run.length) run.length = count
        let bytes = 0
        for (const { batch } of run) bytes += batch.length
        if (partition.settings.durability === 'commit' || bytes > writeNowBytesMax) {
          void this.#writeSlowly(partition, run, nowMs)
          return
        }
        partition.chain.writeNow(run, partition.settings, nowMs)
      } catch (error) {
        this.#refuse(run[0], error)
        continue
      }
      this.#settle(partition, run)
    }
    if (partition.queue.length === 0) this.#active.delete(partition)
  }

  #run(partition: Partition): Item[] {
    const run: Item[] = []
    let bytes = 0
    for (const item of partition.queue) {
      bytes += item.batch.length
      if (run.length > 0 && bytes > writeBytesMax) break
      run.push(item)
    }
    return run
  }

  async #writeSlowly(partition: Partition, run: readonly Item[], nowMs: number): Promise<void> {
    partition.isBusy = true
    try {
      await partition.chain.write(run, partition.settings, nowMs)
      if (partition.settings.durability === 'commit') await partition.chain.sync()
    } catch (error) {
      partition.isBusy = false
      this.#refuse(run[0], error)
      return this.pump()
    }
    partition.isBusy = false
    this.#settle(partition, run)
    this.pump()
  }

  #settle(partition: Partition, run: readonly Item[]): void {
    partition.queue.splice(0, run.length)
    for (const item of run) {
      item.state = 'done'
      item.before = undefined
      partition.commitTo(item.next)
      settlePart(item)
    }
    partition.tell()
  }

  /** A write failed: what it held and all after it leave no trace. Anything but a full disk fences the log. */
  #refuse(item: Item, error: unknown): void {
    const failure = appendFailure(error)
    const { partition } = item
    if (failure.kind === 'io') {
      partition.fail('io', failure.message)
      this.#world.trace.error('log failed', { log: partition.id, why: failure.message })
    }
    for (const touched of refuseFrom(item, failure)) if (touched.queue.length === 0) this.#active.delete(touched)
    if (failure.kind === 'io') partition.tell()
  }

  /** The log is gone: what waits in it is refused. */
  refuseAll(partition: Partition, failure: AppendFailure): void {
    const first = partition.queue.find((item) => item.state === 'waiting')
    if (first !== undefined) refuseFrom(first, failure)
    if (partition.queue.length === 0) this.#active.delete(partition)
  }
}

export function appendFailure(error: unknown): AppendFailure {
  if (error instanceof AppendFailure) return error
  if (error instanceof DiskError) return new AppendFailure(error.kind === 'full' ? 'full' : 'io', error.message)
  throw error
}
