// Giving back the disk that worked-off messages take: whole segments below the floor of all ledgers over a log, and
// segments that all of them have mostly closed written anew.
// Promises: nothing is dropped before the records that closed it are committed, nor what one ledger has open, in memory
// or not; one queue's round does not hold up another's.
// Does not know: why messages are closed, what a topic keeps though it is worked off (queue-keeping.ts).

import { InvariantError } from '../../../base/assert.ts'
import { MiB } from '../../../base/limits.ts'
import type { Timer, World } from '../../../base/world.ts'
import type { Log } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import type { Partition } from '../../streams/partition.ts'
import type { LogClosings } from '../parts.ts'
import { keepsConsumed, keptFrom, noGroupPlace, type GroupPlace } from './queue-keeping.ts'

/** How long closed messages may take disk at least before somebody looks. */
const everyMs = 1000
/** An active segment with this much in it is closed once all of it is worked off. */
const rollBytesMin = 4 * MiB
/** A segment smaller than this is not worth writing anew. */
const rewriteBytesMin = 4 * MiB
/** At most this share of its messages may be left, of those there were at its last rewrite. */
const rewriteShareMax = 0.5

/** What the ledgers over a log have closed, as of now. */
export type LedgersOver = (topic: Topic, log: Log) => readonly LogClosings[]

export interface TrimmedLog {
  /** Whose log it is. */
  readonly topic: Topic
  readonly partition: Partition
  readonly log: Log
  readonly isGone: boolean
  /** Among those that are looked at next. */
  isListed: boolean
}

export class Trimming {
  readonly #world: World
  readonly #ledgersOver: LedgersOver
  readonly #placeOf: GroupPlace
  #waiting: TrimmedLog[] = []
  /** Those that keep for a time what was consumed. */
  readonly #keeping = new Map<Log, TrimmedLog>()
  /** Offsets left in segments after they were rewritten, by their base. */
  readonly #left = new WeakMap<Log, Map<number, number>>()
  #timer: Timer | undefined
  #round: Promise<void> | undefined
  #isClosed = false

  constructor(world: World, ledgersOver: LedgersOver, placeOf: GroupPlace = noGroupPlace) {
    this.#world = world
    this.#ledgersOver = ledgersOver
    this.#placeOf = placeOf
  }

  /** Messages of it were closed, or are now closed durably. */
  closed(log: TrimmedLog): void {
    if (log.isListed || !log.topic.policy.dropsConsumed) return
    log.isListed = true
    this.#waiting.push(log)
    this.#schedule()
  }

  /** Time passed, or groups read on: what was kept may go now. */
  lookAgain(): void {
    for (const log of this.#keeping.values()) this.closed(log)
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
    // Several queues over one log may have told of it.
    const seen = new Set<Log>()
    for (const log of logs) {
      if (this.#isClosed) return
      if (!log.isGone && keepsConsumed(log.topic.policy)) this.#keeping.set(log.log, log)
      else if (!log.isGone || this.#keeping.get(log.log) === log) this.#keeping.delete(log.log)
      if (log.isGone || log.log.failed || seen.has(log.log)) continue
      seen.add(log.log)
      try {
        await this.#trim(log, await this.#keptFrom(log))
        await this.#rewrite(log)
      } catch (error) {
        // Deleted meanwhile, or the disk (full, most likely): what is closed then brings it here again.
        if (error instanceof InvariantError) throw error
        this.#world.trace.warn('queue not trimmed', { log: log.log.id, why: String(error) })
      }
    }
  }

  #keptFrom({ topic, log }: TrimmedLog): Promise<number> {
    return keptFrom(topic, log, this.#world.clock, this.#placeOf)
  }

  async #trim({ topic, partition, log }: TrimmedLog, kept: number): Promise<void> {
    const ledgers = this.#ledgersOver(topic, log)
    // What nobody works off nobody has worked off.
    if (ledgers.length === 0) return
    const floor = Math.min(log.committed, kept, ...ledgers.map((ledger) => ledger.committedFloor))
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
    const { log } = trimmed
    const before = this.#leftBefore(trimmed)
    for (const segment of log.segments().slice(0, -1)) {
      if (trimmed.isGone || segment.bytes < rewriteBytesMin) continue
      // What came before took its time: groups and settings may keep more by now.
      if (segment.next > Math.min(log.committed, await this.#keptFrom(trimmed))) continue
      const ledgers = this.#ledgersOver(trimmed.topic, log)
      if (ledgers.length === 0) return
      const base = Number(segment.base)
      const leftMax = (before.get(base) ?? segment.next - segment.base) * rewriteShareMax
      const left = countOpen(ledgers, segment.base, segment.next, leftMax)
      if (left > leftMax) continue
      // What is closed but not yet in the ledgers' records is a gap after a crash, and closed as one.
      const asOfNow = this.#ledgersOfTurn(trimmed)
      await log.rewrite(segment.base, (first, next) => asOfNow().some((ledger) => ledger.nextOpen(first) < next))
      before.set(base, left)
      this.#world.trace.count('queues.rewritten.segments')
    }
  }

  /** A rewrite takes many turns: who is declared or rewound meanwhile has a say from then on. */
  #ledgersOfTurn({ topic, log }: TrimmedLog): () => readonly LogClosings[] {
    let asked: readonly LogClosings[] | undefined
    return () => {
      if (asked === undefined) {
        asked = this.#ledgersOver(topic, log)
        this.#world.clock.endOfTurn(() => (asked = undefined))
      }
      return asked
    }
  }

  #leftBefore(trimmed: TrimmedLog): Map<number, number> {
    let before = this.#left.get(trimmed.log)
    if (before === undefined) this.#left.set(trimmed.log, (before = new Map()))
    for (const one of before.keys()) if (one < trimmed.log.start) before.delete(one)
    return before
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#round
  }
}

/** How many offsets in [from, to) one ledger or another has open; beyond `enough` it does not matter how many. */
export function countOpen(ledgers: readonly LogClosings[], from: number, to: number, enough: number): number {
  let most = 0
  for (const ledger of ledgers) most = Math.max(most, ledger.countOpen(from, to))
  if (ledgers.length === 1 || most > enough) return most
  let count = 0
  let at = from
  while (at < to && count <= enough) {
    // The lowest offset that one has open, and up to where one of those that have it open goes on.
    let open = to
    for (const ledger of ledgers) open = Math.min(open, ledger.nextOpen(at))
    if (open >= to) break
    let end = open + 1
    for (const ledger of ledgers)
      if (ledger.nextOpen(open) === open) end = Math.max(end, Math.min(to, ledger.nextClosed(open)))
    count += end - open
    at = end
  }
  return count
}
