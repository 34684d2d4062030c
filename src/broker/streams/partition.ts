// One partition at run time: its log, opened when first needed, its producers, and the order of what is produced.
// Promises: batches are appended in call order, also while the log opens; an answer waits for the commit its acks ask
// for; after a refused append nothing is decided until log and producers are again what is committed.
// Does not know: topics' names, sessions, quotas. Reading is reading.ts, dropping old data retention.ts.

import { assert } from '../../base/assert.ts'
import type { World } from '../../base/world.ts'
import { forEachBatch, readBatchHead, stampLogAppendTime, type BatchHead } from '../../log/batch.ts'
import {
  AppendFailure,
  offset,
  type AppendEntry,
  type Log,
  type LogId,
  type Offset,
  type Store,
} from '../../log/store.ts'
import type { Acks, ActiveProducer, Produced, ProduceRefusal } from '../door.ts'
import { isRefusal, refuse, type Refusal } from '../errors.ts'
import { logSettingsOf, type TopicPolicy } from '../settings/topic-policy.ts'
import { judgeBatch } from './batch-judge.ts'
import { needsRework, rework } from './batch-rework.ts'
import type { ProducerSnapshots } from './producer-snapshots.ts'
import { Producers, type Duplicate } from './producers.ts'

/** What all partitions of a broker share. */
export interface PartitionHost {
  readonly world: World
  readonly store: Store
  readonly snapshots: ProducerSnapshots
  readonly producerIdExpirationMs: number
  /** An offset of the log that somebody else refers to: none below it may be given again. */
  referredEnd?(id: LogId): number
  /** Why nothing may be produced now (a full disk); undefined: it may. */
  produceRefusal(): Refusal | undefined
  /** A log that was not open is: something may be produced to it. */
  opened?(id: LogId): void
}

/** A snapshot of the producers is taken after this much was appended: what a start reads again at most. */
const snapshotEveryBytes = 64 * 1024 * 1024
const snapshotEveryBatches = 8192
const rebuildReadBytes = 1024 * 1024

type Outcome = Produced | ProduceRefusal

interface Waiting {
  readonly policy: TopicPolicy
  readonly batch: Buffer
  readonly acks: Acks
  readonly answer: (outcome: Outcome | Promise<Outcome>) => void
}

export class Partition {
  readonly id: LogId
  readonly #host: PartitionHost
  #log: Log | undefined
  #opening: Promise<Log | Refusal> | undefined
  /** undefined: not known (again); built from the log before the next append. */
  #producers: Producers | undefined
  /** What was decided when an append was refused, until the log told what is so. */
  #refuted: Producers | undefined
  readonly #waiting: Waiting[] = []
  #draining = false
  #gone = false
  /** Counts the failures survived: an append that fails later than one already handled is no news. */
  #generation = 0
  /** Where the next batch must land; differs from log.end only when the log was set back. */
  #next = 0
  #lastAppend: Promise<void> = Promise.resolve()
  #bytesSinceSnapshot = 0
  #batchesSinceSnapshot = 0

  constructor(host: PartitionHost, id: LogId) {
    this.#host = host
    this.id = id
  }

  /** The log when it is open already. */
  get log(): Log | undefined {
    return this.#log
  }

  /** The log, opened if need be. */
  open(policy: TopicPolicy): Promise<Log | Refusal> {
    if (this.#gone) return Promise.resolve(goneRefusal())
    if (this.#log !== undefined && !this.#log.failed) return Promise.resolve(this.#log)
    this.#opening ??= this.#openNow(policy).finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #openNow(policy: TopicPolicy): Promise<Log | Refusal> {
    const { store, snapshots, world } = this.#host
    try {
      if (this.#log === undefined) {
        const referredEnd = this.#host.referredEnd?.(this.id) ?? 0
        const endAtLeast = offset(Math.max(snapshots.of(this.id)?.offset ?? 0, referredEnd))
        this.#log = await store.open(this.id, logSettingsOf(policy, this.id), endAtLeast)
        if (!this.#gone) this.#host.opened?.(this.id)
      } else if (this.#log.failed) await this.#log.reopen()
      return this.#log
    } catch (error) {
      if (this.#gone) return goneRefusal()
      world.trace.error('partition log not opened', { log: this.id, why: String(error) })
      return refuse('storageFailed', `The partition's log could not be opened: ${String(error)}`)
    }
  }

  // --- producing ---

  produce(policy: TopicPolicy, batch: Buffer, acks: Acks): Promise<Outcome> {
    const log = this.#log
    const isReady = log !== undefined && this.#producers !== undefined && this.#waiting.length === 0
    if (isReady && this.#next === log.end && !log.failed && !needsRework(policy, batch))
      return this.#append(log, this.#producers as Producers, policy, batch, acks)
    return new Promise((answer) => {
      // A copy: the buffer is the caller's again when this returns.
      this.#waiting.push({ policy, batch: Buffer.from(batch), acks, answer })
      if (!this.#draining) void this.#drain()
    })
  }

  /** Serves those who wait, in their order, each once log and producers are ready and its batch in its final form. */
  async #drain(): Promise<void> {
    this.#draining = true
    while (this.#waiting.length > 0) {
      const next = this.#waiting[0]
      const outcome = await this.#prepare(next)
      const log = this.#log
      const producers = this.#producers
      if (isRefusal(outcome)) next.answer(outcome)
      else if (log !== undefined && producers !== undefined && this.#next === log.end)
        next.answer(this.#append(log, producers, next.policy, outcome, next.acks))
      // An append failed since prepare() looked: once more.
      else continue
      this.#waiting.shift()
    }
    this.#draining = false
  }

  async #prepare(next: Waiting): Promise<Buffer | ProduceRefusal> {
    try {
      let batch = next.batch
      if (needsRework(next.policy, batch)) {
        const judged = judgeBatch(batch, next.policy, this.#host.world.clock.nowMs())
        if (isRefusal(judged)) return judged
        const reworked = await rework(next.policy, batch, judged, this.#host.world.clock)
        if (isRefusal(reworked)) return reworked
        batch = reworked
      }
      const refused = await this.#makeReady(next.policy)
      if (refused !== undefined) this.#owe(batch)
      return refused ?? batch
    } catch (error) {
      this.#owe(next.batch)
      this.#host.world.trace.error('partition not ready', { log: this.id, why: String(error) })
      return refuse('storageFailed', `The partition's log could not be read: ${String(error)}`)
    }
  }

  async #makeReady(policy: TopicPolicy): Promise<Refusal | undefined> {
    let log = await this.open(policy)
    if (isRefusal(log)) return log
    if (this.#next !== log.end) this.#forget()
    while (this.#producers === undefined) {
      const generation = this.#generation
      const producers = await this.#rebuild(log)
      if (log.failed) {
        log = await this.open(policy)
        if (isRefusal(log)) return log
        continue
      }
      // Somebody else was faster, or an append failed meanwhile.
      if (generation !== this.#generation || this.#producers !== undefined) continue
      if (this.#refuted !== undefined) producers.follow(this.#refuted)
      this.#refuted = undefined
      this.#producers = producers
      this.#next = log.end
    }
    return undefined
  }

  /** Refused for now: what its producer has in flight behind it must not be written before its retry. */
  #owe(batch: Buffer): void {
    const head = readBatchHead(batch)
    if (head === undefined || head.producerId < 0) return
    const known = this.#producers ?? (this.#refuted ??= new Producers(this.#host.producerIdExpirationMs))
    known.owe(head, this.#host.world.clock.nowMs())
  }

  #forget(): void {
    this.#refuted = this.#producers ?? this.#refuted
    this.#producers = undefined
  }

  /** Producers as the log tells: the last snapshot and the heads of what came after it. */
  async #rebuild(log: Log): Promise<Producers> {
    const { snapshots, producerIdExpirationMs, world } = this.#host
    const snapshot = snapshots.of(this.id)
    const isUsable = snapshot !== undefined && snapshot.offset <= log.end
    const producers = isUsable
      ? Producers.read(snapshot.producers, producerIdExpirationMs)
      : new Producers(producerIdExpirationMs)
    const nowMs = world.clock.nowMs()
    let at = Math.max(log.start, isUsable ? snapshot.offset : 0)
    this.#bytesSinceSnapshot = 0
    this.#batchesSinceSnapshot = 0
    while (at < log.end) {
      // The log may be trimmed while it is read.
      at = Math.max(at, log.start)
      const batches = await log.read(offset(at), rebuildReadBytes, log.end)
      if (batches.bytes === 0) break
      for (const chunk of batches.chunks)
        forEachBatch(chunk, (head) => {
          this.#batchesSinceSnapshot++
          if (head.producerId >= 0 && head.baseOffset >= at)
            producers.appended(head, head.baseOffset, head.maxTimestampMs, nowMs)
        })
      this.#bytesSinceSnapshot += batches.bytes
      at = batches.next
    }
    return producers
  }

  /** Judges and appends, in this turn; the answer waits for the commit where acks ask for it. */
  #append(log: Log, producers: Producers, policy: TopicPolicy, batch: Buffer, acks: Acks): Promise<Outcome> {
    const { world, store } = this.#host
    if (this.#gone) return Promise.resolve(goneRefusal())
    const full = this.#host.produceRefusal()
    if (full !== undefined) {
      this.#owe(batch)
      return Promise.resolve(full)
    }
    const nowMs = world.clock.nowMs()
    const head = judgeBatch(batch, policy, nowMs)
    if (isRefusal(head)) return Promise.resolve({ ...head, logStart: log.start })
    if (head.producerId >= 0) {
      const verdict = producers.judge(head, nowMs)
      if (verdict !== undefined)
        return isRefusal(verdict)
          ? Promise.resolve({ ...verdict, logStart: log.start })
          : this.#answerDuplicate(log, policy, verdict, acks)
    }
    const stamps = policy.stampsAppendTime
    if (stamps) stampLogAppendTime(batch, nowMs)
    const maxTimestampMs = stamps ? nowMs : head.maxTimestampMs
    const baseOffset = log.end
    const committed = store.append([
      { log, batch, offsets: head.lastOffsetDelta + 1, maxTimestampMs, epoch: log.epoch, expectedEnd: baseOffset },
    ])
    this.#appended(log, producers, head, baseOffset, maxTimestampMs, nowMs, committed)
    const generation = this.#generation
    const produced: Produced = { baseOffset, logAppendTimeMs: stamps ? nowMs : -1, logStart: log.start }
    const answered = committed.then(
      () => produced,
      (failure: unknown) => this.#failed(failure, generation),
    )
    return acks === 0 ? Promise.resolve(produced) : answered
  }

  #appended(
    log: Log,
    producers: Producers,
    head: BatchHead,
    baseOffset: Offset,
    maxTimestampMs: number,
    nowMs: number,
    committed: Promise<void>,
  ): void {
    this.#lastAppend = committed
    this.#next = baseOffset + head.lastOffsetDelta + 1
    if (head.producerId >= 0) {
      producers.appended(head, baseOffset, maxTimestampMs, nowMs)
      if (producers.evicted > 0) this.#host.world.trace.count('producers.evicted', producers.takeEvicted())
    }
    this.#count(head.bytes)
    if (this.#snapshotIsDue()) this.#snapshot(log, producers, nowMs)
  }

  #count(bytes: number): void {
    this.#batchesSinceSnapshot++
    this.#bytesSinceSnapshot += bytes
  }

  #snapshotIsDue(): boolean {
    return this.#bytesSinceSnapshot >= snapshotEveryBytes || this.#batchesSinceSnapshot >= snapshotEveryBatches
  }

  /** Taken now, kept once all it tells of is committed. */
  #snapshot(log: Log, producers: Producers, nowMs: number): void {
    this.#bytesSinceSnapshot = 0
    this.#batchesSinceSnapshot = 0
    // Nobody reads it after a start.
    if (log.settings.durability === 'scratch') return
    const snapshot = { log: log.id, offset: this.#next, producers: producers.write(nowMs) }
    this.#lastAppend
      .then(() => (this.#gone ? undefined : this.#host.snapshots.keep([snapshot])))
      .catch((error: unknown) =>
        this.#host.world.trace.warn('producer snapshot not kept', { log: this.id, why: String(error) }),
      )
  }

  /** The original was appended; its promise may still be open. */
  #answerDuplicate(log: Log, policy: TopicPolicy, duplicate: Duplicate, acks: Acks): Promise<Outcome> {
    this.#host.world.trace.count('produce.duplicates')
    const produced: Produced = {
      baseOffset: offset(duplicate.duplicateOf),
      logAppendTimeMs: policy.stampsAppendTime ? duplicate.timestampMs : -1,
      logStart: log.start,
    }
    if (acks === 0 || log.committed > duplicate.lastOffset) return Promise.resolve(produced)
    const generation = this.#generation
    return this.#lastAppend.then(
      () => produced,
      (failure: unknown) => this.#failed(failure, generation),
    )
  }

  /** Nothing was written: what was decided on it is forgotten, and the log made usable before the next decision. */
  #failed(failure: unknown, generation: number): ProduceRefusal {
    if (this.#gone) return goneRefusal()
    if (generation === this.#generation) {
      this.#generation++
      this.#forget()
      this.#host.world.trace.warn('append refused', { log: this.id, why: String(failure) })
    }
    if (!(failure instanceof AppendFailure)) throw failure
    switch (failure.kind) {
      case 'full':
        return refuse('storageFull', `The record could not be stored: ${failure.message}`)
      case 'closed':
        return refuse('shuttingDown', 'The broker is shutting down.')
      default:
        return refuse('storageFailed', `The record could not be stored: ${failure.message}`)
    }
  }

  // --- the broker's own batches (queues) ---

  /** Whether entryFor() may be called now; prepare() makes it so. */
  get isReady(): boolean {
    const log = this.#log
    return !this.#gone && log !== undefined && this.#producers !== undefined && this.#next === log.end && !log.failed
  }

  /** Opens the log and makes it ready for entryFor(). */
  async prepare(policy: TopicPolicy): Promise<Refusal | undefined> {
    while (!this.isReady) {
      const refused = await this.#makeReady(policy)
      if (refused !== undefined) return refused
    }
    return undefined
  }

  /** A batch of ours as part of an append that the caller makes in this turn, and whose outcome it tells by follow(). */
  entryFor(batch: Buffer, offsets: number, maxTimestampMs: number): AppendEntry {
    const log = this.#log
    assert(log !== undefined && this.#producers !== undefined, 'a partition is ready for a batch of ours')
    const expectedEnd = this.#next as Offset
    this.#next += offsets
    this.#count(batch.length)
    return { log, batch, offsets, maxTimestampMs, epoch: log.epoch, expectedEnd }
  }

  /** The append that carries what entryFor() gave. */
  follow(committed: Promise<void>): void {
    this.#lastAppend = committed
    const generation = this.#generation
    committed.catch((failure: unknown) => void this.#failed(failure, generation))
    const producers = this.#producers
    if (producers !== undefined && this.#log !== undefined && this.#snapshotIsDue())
      this.#snapshot(this.#log, producers, this.#host.world.clock.nowMs())
  }

  // --- the rest of a partition's life ---

  /** Calls `changed` when more may be read, and when the partition is gone; a log not open yet is opened for it. */
  watch(policy: TopicPolicy, changed: () => void): () => void {
    if (this.#log !== undefined) return this.#log.watch(changed)
    let stop: (() => void) | undefined
    let isStopped = false
    void this.open(policy).then((log) => {
      if (isStopped) return
      if (!isRefusal(log)) stop = log.watch(changed)
      // What came while the log opened was not told.
      changed()
    })
    return () => {
      isStopped = true
      stop?.()
    }
  }

  /** Raises the log start (KIP-107); -1 means the high watermark. */
  async deleteRecords(policy: TopicPolicy, before: number): Promise<Offset | Refusal> {
    const log = await this.open(policy)
    if (isRefusal(log)) return log
    const to = before === -1 ? log.committed : before
    if (to < 0 || to > log.committed)
      return refuse('offsetOutOfRange', `Offset ${before} is not between ${log.start} and ${log.committed}.`)
    return (await this.trim(policy, log, to)) ?? log.start
  }

  /**
   * Raises the log start. What the producers wrote below it is kept first where only the log knows it: a retry of a
   * deleted batch is still a retry, after the next start too.
   */
  async trim(policy: TopicPolicy, log: Log, to: number): Promise<Refusal | undefined> {
    if (to <= log.start) return undefined
    try {
      if (to > (this.#host.snapshots.of(this.id)?.offset ?? 0)) {
        const refused = (await this.#makeReady(policy)) ?? (await this.#keepProducers())
        if (refused !== undefined) return refused
      }
      await log.trim(offset(Math.min(to, log.committed)))
      return undefined
    } catch (error) {
      if (this.#gone) return goneRefusal()
      if (!(error instanceof AppendFailure)) throw error
      return refuse('storageFailed', `The records could not be deleted: ${error.message}`)
    }
  }

  async #keepProducers(): Promise<Refusal | undefined> {
    const producers = this.#producers
    const nowMs = this.#host.world.clock.nowMs()
    producers?.expire(nowMs)
    if (producers === undefined || producers.size === 0) return undefined
    const snapshot = { log: this.id, offset: this.#next, producers: producers.write(nowMs) }
    await this.#lastAppend
    if (await this.#host.snapshots.keep([snapshot])) return undefined
    return refuse('storageFailed', 'The records cannot be deleted while the catalog is being recovered: try again.')
  }

  async listProducers(policy: TopicPolicy): Promise<readonly ActiveProducer[] | Refusal> {
    const producers = await this.producers(policy)
    return isRefusal(producers) ? producers : producers.list(this.#host.world.clock.nowMs())
  }

  /** The settings changed: from now on for this log too, if it is open. */
  async configure(policy: TopicPolicy): Promise<void> {
    if (this.#log !== undefined && !this.#gone) await this.#log.configure(logSettingsOf(policy, this.id))
  }

  /** Producers that wrote lately; the log is read for them if need be. */
  async producers(policy: TopicPolicy): Promise<Producers | Refusal> {
    if (this.#producers === undefined) {
      const refused = await this.#makeReady(policy)
      if (refused !== undefined) return refused
    }
    assert(this.#producers !== undefined, 'a ready partition knows its producers')
    return this.#producers
  }

  expireProducers(nowMs: number): void {
    this.#producers?.expire(nowMs)
  }

  /** Resolves when every append made so far is committed or refused. */
  async settled(): Promise<void> {
    await this.#lastAppend.catch(() => undefined)
  }

  /** What a clean end keeps, so that the next start reads nothing; undefined: nothing new. */
  async lastSnapshot(): Promise<{ log: LogId; offset: number; producers: Buffer } | undefined> {
    await this.settled()
    if (this.#gone || this.#producers === undefined || this.#batchesSinceSnapshot === 0) return undefined
    if (this.#log?.settings.durability === 'scratch') return undefined
    return { log: this.id, offset: this.#next, producers: this.#producers.write(this.#host.world.clock.nowMs()) }
  }

  /** The topic is deleted: everyone who waits or comes is told so. */
  drop(): void {
    this.#gone = true
  }
}

const goneRefusal = (): Refusal => refuse('unknownTopic', 'The topic was deleted.')
