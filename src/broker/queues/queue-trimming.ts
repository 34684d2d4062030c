// Giving back the disk that worked-off messages take: whole segments below the ledger's floor, and segments that are
// mostly closed written anew.
// Promises: nothing is dropped before the record that closed it is committed; one queue's round does not hold up another's.
// Does not know: why messages are closed; topics that keep what was consumed never come here.

import { InvariantError } from '../../base/assert.ts'
import { MiB } from '../../base/limits.ts'
import type { Timer, World } from '../../base/world.ts'
import type { Log } from '../../log/store.ts'
import type { Topic } from '../catalog.ts'
import type { Partition } from '../streams/partition.ts'
import type { LedgerPart } from './parts.ts'

/** How long closed messages may take disk at least before somebody looks. */
const everyMs = 1000
/** An active segment with this much in it is closed once all of it is worked off. */
const rollBytesMin = 4 * MiB
/** A segment smaller than this is not worth writing anew. */
const rewriteBytesMin = 4 * MiB
/** At most this share of its messages may be left, of those there were at its last rewrite. */
const rewriteShareMax = 0.5

export interface TrimmedLog {
  readonly topic: Topic
  readonly partition: Partition
  readonly log: Log
  readonly ledger: LedgerPart
  readonly isGone: boolean
  /** Among those that are looked at next. */
  isListed: boolean
}

export class Trimming {
  readonly #world: World
  #waiting: TrimmedLog[] = []
  /** Offsets left in segments after they were rewritten, by their base. */
  readonly #left = new WeakMap<TrimmedLog, Map<number, number>>()
  #timer: Timer | undefined
  #round: Promise<void> | undefined
  #isClosed = false

  constructor(world: World) {
    this.#world = world
  }

  /** Messages of it were closed, or are now closed durably. */
  closed(log: TrimmedLog): void {
    if (log.isListed || !log.topic.policy.dropsConsumed) return
    log.isListed = true
    this.#waiting.push(log)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isClosed || this.#round !== undefined) return
    this.#timer ??= this.#world.clock.after(everyMs, () => this.#begin())
  }

  #begin(): void {
    this.#timer = undefined
    const logs = this.#waiting
    this.#waiting = []
    for (const log of logs) log.isListed = false
    this.#round = this.#look(logs).finally(() => {
      this.#round = undefined
      if (this.#waiting.length > 0) this.#schedule()
    })
  }

  async #look(logs: readonly TrimmedLog[]): Promise<void> {
    for (const log of logs) {
      if (this.#isClosed) return
      if (log.isGone || log.log.failed) continue
      try {
        await this.#trim(log)
        await this.#rewrite(log)
      } catch (error) {
        // Deleted meanwhile, or the disk (full, most likely): what is closed then brings it here again.
        if (error instanceof InvariantError) throw error
        this.#world.trace.warn('queue not trimmed', { log: log.log.id, why: String(error) })
      }
    }
  }

  async #trim({ topic, partition, log, ledger }: TrimmedLog): Promise<void> {
    const floor = Math.min(ledger.committedFloor, log.committed)
    if (floor === log.end) {
      const active = log.segments().at(-1)
      if (active !== undefined && active.bytes >= rollBytesMin) log.roll()
    }
    let to = 0
    let bytes = 0
    // Never the active one: it ends where the log does.
    for (const segment of log.segments().slice(0, -1)) {
      if (segment.next > floor) break
      to = segment.next
      bytes += segment.bytes
    }
    if (to <= log.start) return
    const refused = await partition.trim(topic.policy, log, to)
    if (refused !== undefined) return this.#world.trace.warn('queue not trimmed', { log: log.id, why: refused.why })
    this.#world.trace.count('queues.trimmed.bytes', bytes)
  }

  /** One message that nobody acknowledges keeps its segment: without the batches around it. */
  async #rewrite(trimmed: TrimmedLog): Promise<void> {
    const { log, ledger } = trimmed
    const before = this.#leftBefore(trimmed)
    for (const segment of log.segments().slice(0, -1)) {
      if (trimmed.isGone || segment.bytes < rewriteBytesMin || segment.next > log.committed) continue
      const left = ledger.countOpen(segment.base, segment.next)
      const base = Number(segment.base)
      if (left > (before.get(base) ?? segment.next - segment.base) * rewriteShareMax) continue
      // What is closed but not yet in the ledger's records is a gap after a crash, and closed as one.
      await log.rewrite(segment.base, (first, next) => !ledger.isClosedThroughout(first, next))
      before.set(base, left)
      this.#world.trace.count('queues.rewritten.segments')
    }
  }

  #leftBefore(trimmed: TrimmedLog): Map<number, number> {
    let before = this.#left.get(trimmed)
    if (before === undefined) this.#left.set(trimmed, (before = new Map()))
    for (const one of before.keys()) if (one < trimmed.log.start) before.delete(one)
    return before
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#round
  }
}
