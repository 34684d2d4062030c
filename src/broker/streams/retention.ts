// Retention: drops what is older or more than a topic keeps, and the oldest of all when the disk's budget is passed.
// Promises: whole segments only, from the start of a log, never above its high watermark; every dropped byte counted
// with its reason. A round costs no more than a look at each log that may have something to drop.
// Does not know: files; a log's segments and trim() do.

import type { Timer, World } from '../../base/world.ts'
import { logId, type Log, type SegmentInfo, type Store } from '../../log/store.ts'
import type { BrokerSettings } from '../settings/broker-settings.ts'
import type { Catalog, Topic } from '../catalog.ts'
import { isRefusal } from '../errors.ts'
import type { TopicPolicy } from '../settings/topic-policy.ts'
import type { Partition } from './partition.ts'
import type { Partitions } from './partitions.ts'
import type { RoomLeft } from './room-left.ts'

/** Logs that one round opens only to look at them: a start with many topics spreads over rounds. */
const opensPerRound = 64
const forgetProducersEveryMs = 600_000
/** Until the next round when a queue has more dead letters of it than one round sends. */
const goOnMs = 1000

/** A partition whose log is open. */
interface Kept {
  readonly topic: Topic
  readonly partition: Partition
  readonly log: Log
  readonly policy: TopicPolicy
}

type Reason = 'age' | 'size' | 'budget'

export interface RetentionHost {
  readonly world: World
  readonly store: Store
  readonly catalog: Catalog
  readonly partitions: Partitions
  readonly settings: BrokerSettings
  readonly roomLeft: RoomLeft
  /** A topic's settings, and what policies say of it beside. */
  policyOf(topic: Topic): TopicPolicy
  /** Up to where records of a log may be dropped now, of those below `to`: queues over it may have a say. */
  mayTrim(topic: Topic, log: Log, to: number): Promise<number>
  /** Whether mayTrim() left something since the last time that it could have let go of with more time. */
  tookAllItsTime(): boolean
  /** What is worked off and kept for a time is looked at again. */
  lookAtConsumed(): void
}

export class Retention {
  readonly #host: RetentionHost
  #timer: Timer | undefined
  #forgotAtMs = 0
  #running: Promise<void> | undefined
  #isClosed = false

  constructor(host: RetentionHost) {
    this.#host = host
  }

  start(): void {
    if (this.#isClosed) return
    const stated = this.#host.settings.number('log.retention.check.interval.ms')
    const everyMs = this.#host.tookAllItsTime() ? Math.min(stated, goOnMs) : stated
    this.#timer = this.#host.world.clock.after(everyMs, () => {
      void this.round().finally(() => this.start())
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#running
  }

  /** One look at everything; a round under way is joined. */
  round(): Promise<void> {
    this.#running ??= this.#round()
      .catch((error: unknown) => this.#host.world.trace.error('retention failed', { why: String(error) }))
      .finally(() => {
        this.#running = undefined
      })
    return this.#running
  }

  async #round(): Promise<void> {
    let opens = opensPerRound
    for (const topic of this.#host.catalog.all()) {
      const policy = this.#host.policyOf(topic)
      if (policy.retentionMs < 0 && policy.retentionBytes < 0) continue
      for (let index = 0; index < topic.partitions; index++) {
        if (this.#isClosed) return
        if (await this.#look(topic, policy, index, opens > 0)) opens--
      }
    }
    this.#host.lookAtConsumed()
    await this.#keepBudget()
    this.#forgetProducers()
  }

  /** Producers that are never heard of again must not stay in memory. */
  #forgetProducers(): void {
    const nowMs = this.#host.world.clock.nowMs()
    if (nowMs - this.#forgotAtMs < forgetProducersEveryMs) return
    this.#forgotAtMs = nowMs
    for (const partition of this.#host.partitions.all()) partition.expireProducers(nowMs)
  }

  /** Drops what one partition need not keep; true when its log had to be opened for it. */
  async #look(topic: Topic, policy: TopicPolicy, index: number, mayOpen: boolean): Promise<boolean> {
    const partition = this.#host.partitions.seen(topic, index)
    let log = partition?.log
    const wasOpen = log !== undefined
    if (log === undefined) {
      // An empty log has nothing to drop; of any other only its segments tell.
      if (!mayOpen || this.#host.store.bytesOf(logId(topic.id, index)) === 0) return false
      const opened = await this.#host.partitions.of(topic, index)?.open(topic.policy)
      if (opened === undefined || isRefusal(opened)) return true
      log = opened
    }
    const kept = this.#host.partitions.of(topic, index)
    if (!log.failed && kept !== undefined) await this.#trim({ topic, partition: kept, log, policy })
    return !wasOpen
  }

  async #trim(kept: Kept): Promise<void> {
    const { log, policy } = kept
    await this.#drop(kept, expiredSegments(log, policy, this.#host.world.clock.nowMs()), 'age')
    await this.#drop(kept, excessSegments(log, policy), 'size')
  }

  /** Drops the `count` oldest segments. */
  async #drop({ topic, partition, log, policy }: Kept, count: number, reason: Reason): Promise<void> {
    if (count === 0) return
    let segments = log.segments()
    // The active segment goes only once it is closed.
    if (count === segments.length) {
      log.roll()
      segments = log.segments()
    }
    const committed = segments.slice(0, count).filter((segment) => segment.next <= log.committed)
    const to = committed.at(-1)?.next ?? 0
    const may = to <= log.start ? 0 : await this.#host.mayTrim(topic, log, to)
    const dropped = committed.filter((segment) => segment.next <= may)
    const last = dropped.at(-1)
    if (last === undefined || last.next <= log.start) return
    const bytes = dropped.reduce((sum, segment) => sum + segment.bytes, 0)
    const { trace } = this.#host.world
    // The topic is deleted meanwhile, or something failed: the next round sees.
    const refused = await partition.trim(policy, log, last.next)
    if (refused !== undefined) return trace.warn('retention could not drop', { log: log.id, why: refused.why })
    this.#host.roomLeft.askAgain()
    trace.count(`retention.${reason}.segments`, dropped.length)
    trace.count(`retention.${reason}.bytes`, bytes)
    trace.info('retention', { log: log.id, reason, segments: dropped.length, bytes, start: log.start })
  }

  // --- the budget ---

  async #keepBudget(): Promise<void> {
    const budget = this.#host.settings.number('retention.budget.bytes')
    if (budget < 0) return this.#host.roomLeft.keepBudget(undefined)
    const all = this.#host.catalog.all()
    const kept = bytesOf(
      all.filter((topic) => topic.policy.dropsConsumed),
      this.#host,
    )
    this.#host.roomLeft.keepBudget(kept > budget ? { kept, budget } : undefined)
    let over = kept + bytesOf(this.#budgeted(), this.#host) - budget
    if (over <= 0) return
    for (const { kept: one, segment } of oldestFirst(await this.#openAll())) {
      if (over <= 0 || this.#isClosed) break
      const { log } = one
      const before = log.bytes
      const count = log.segments().findIndex((each) => each.base === segment.base) + 1
      await this.#drop(one, count, 'budget')
      over -= before - log.bytes
    }
    if (over > 0) this.#host.world.trace.warn('retention budget still passed', { overBytes: over })
  }

  /** What is dropped when it was consumed is not dropped for anybody's want of room. */
  #budgeted(): readonly Topic[] {
    return this.#host.catalog.all().filter((topic) => !topic.policy.dropsConsumed)
  }

  async #openAll(): Promise<Kept[]> {
    const all: Kept[] = []
    for (const topic of this.#budgeted()) {
      for (let index = 0; index < topic.partitions; index++) {
        const partition = this.#host.partitions.of(topic, index)
        if (partition === undefined) continue
        if (partition.log === undefined && this.#host.store.bytesOf(partition.id) === 0) continue
        const log = await partition.open(topic.policy)
        if (!isRefusal(log)) all.push({ topic, partition, log, policy: topic.policy })
      }
    }
    return all
  }
}

function bytesOf(topics: readonly Topic[], { partitions, store }: RetentionHost): number {
  let bytes = 0
  for (const topic of topics)
    for (let index = 0; index < topic.partitions; index++)
      bytes += partitions.seen(topic, index)?.log?.bytes ?? store.bytesOf(logId(topic.id, index))
  return bytes
}

/** -1: no limit. */
type RetentionLimits = Pick<TopicPolicy, 'retentionMs' | 'retentionBytes'>

/** How many of the oldest segments hold nothing younger than the topic keeps. */
export function expiredSegments(log: Log, limits: RetentionLimits, nowMs: number): number {
  if (limits.retentionMs < 0) return 0
  return countWhile(log, (segment) => isExpired(segment, limits, nowMs))
}

/** A segment of records without timestamps never comes of age by them. */
const isExpired = (segment: SegmentInfo, { retentionMs }: RetentionLimits, nowMs: number): boolean =>
  segment.maxTimestampMs >= 0 && nowMs - segment.maxTimestampMs > retentionMs

/** How many of the oldest segments can go while the log keeps at least its size. */
export function excessSegments(log: Log, limits: RetentionLimits): number {
  if (limits.retentionBytes < 0) return 0
  let excess = log.bytes - limits.retentionBytes
  return countWhile(log, (segment) => {
    if (segment.bytes > excess) return false
    excess -= segment.bytes
    return true
  })
}

/** Counts from the oldest on; an empty active segment and what is not committed are never counted. */
function countWhile(log: Log, goes: (segment: SegmentInfo) => boolean): number {
  let count = 0
  for (const segment of log.segments()) {
    if (segment.next === segment.base || segment.next > log.committed || !goes(segment)) break
    count++
  }
  return count
}

/** All segments in the order the budget takes them; a log's own stay in theirs. */
function oldestFirst(all: readonly Kept[]): { readonly kept: Kept; readonly segment: SegmentInfo }[] {
  const segments = all.flatMap((kept) => {
    // A log's segments go from its start, so none goes before an older one of its own.
    let atLeastMs = -1
    return kept.log.segments().map((segment) => {
      atLeastMs = Math.max(atLeastMs, segment.maxTimestampMs)
      return { kept, segment, ageMs: atLeastMs }
    })
  })
  return segments.filter(({ segment }) => segment.bytes > 0).sort((one, other) => one.ageMs - other.ageMs)
}
