// One log of a queue: what is published gathered into batches and appended, its ledger, and reading it.
// Promises: batches are appended in the order they were made, also while the log opens; a receipt is settled at the
// commit or refusal of the append that carried it, after the ledger knows of it.
// Does not know: consumers, limits, why messages leave.

import { assert } from '../../../base/assert.ts'
import type { BufferPool } from '../../../base/buffer-pool.ts'
import type { World } from '../../../base/world.ts'
import { BatchBuilder, type SealedBatch } from '../../../log/batch-builder.ts'
import { AppendFailure, partitionOf, type AppendEntry, type Log, type Store } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import { refuse, type Refusal } from '../../errors.ts'
import type { Partition } from '../../streams/partition.ts'
import type { MessageWriter } from '../messages/message.ts'
import { asStored } from '../messages/own-batch.ts'
import type { LedgerPart, LedgersPart, NewMessage } from '../parts.ts'
import { keepsConsumed } from '../keeping/queue-keeping.ts'
import type { FlushTask, QueueTurns } from '../queue-turns.ts'
import type { Trimming, TrimmedLog } from '../keeping/queue-trimming.ts'
import { Reading, type ReadFrom, type ReadingBudget } from '../messages/reading.ts'
import { BatchReceipt } from '../receipt.ts'
import type { SharedBatch } from '../messages/shared-batch.ts'

/** What all queues share. */
export interface QueueTools {
  readonly world: World
  readonly store: Store
  readonly ledgers: LedgersPart
  readonly turns: QueueTurns
  readonly pool: BufferPool
  readonly writer: MessageWriter
  readonly budget: ReadingBudget
  readonly trimming: Trimming
}

/** A record's bytes beside body and properties, at most about: for the question whether a batch has room. */
const recordOverheadBytes = 600

/** Where a ledger begins that nobody wrote down: what the log lost since its queue was declared was in the queue. */
const firstOffset = 0

/** A batch with what its ledger is told. */
interface LevelBatch {
  readonly sealed: SealedBatch
  readonly level: number
  readonly earliestExpiryMs: number | undefined
}

/** What one turn brought. */
interface Turn {
  readonly batches: LevelBatch[]
  readonly receipt: BatchReceipt
}

interface Level {
  readonly builder: BatchBuilder
  earliestExpiryMs: number | undefined
}

export interface QueueLogHost {
  readonly task: FlushTask
  /** The ledger knows more; `isAnew`: of messages it knew already some are closed, or ready again, all at once. */
  changed(isAnew: boolean): void
}

export class QueueLog implements TrimmedLog {
  readonly #tools: QueueTools
  readonly #host: QueueLogHost
  /** Whose log it is. */
  readonly #topic: () => Topic
  readonly #ledgerFacts: { readonly number: number; readonly isVolatile: boolean; readonly neutral: number }
  readonly partition: Partition
  /** 0: a stream, which has no ledger. */
  readonly #levelCount: number
  readonly #levels: (Level | undefined)[] = []
  /** Sealed in this turn. */
  #sealed: LevelBatch[] = []
  /** Of what is in the builders and sealed; undefined: nothing. */
  #receipt: BatchReceipt | undefined
  /** When the first message of this turn came: the time of all of them. */
  #turnMs = 0
  /** The receipt of the last turn that held anything: when it is settled, all before it are. */
  #last: BatchReceipt | undefined
  /** Turns that wait for the log, in order. */
  #held: Turn[] = []
  #opening: Promise<Refusal | undefined> | undefined
  #opened: { readonly log: Log; readonly ledger: LedgerPart | undefined } | undefined
  #reading: Reading | undefined
  #stopWatching: (() => void) | undefined
  /** Handed to somebody else's append of this turn. */
  #lent: Turn | undefined
  isGone = false
  /** The last try to open it was refused. */
  isFailing = false
  /** Nothing of it is given out any more; what was added is still stored. */
  #isLeft = false
  /** Messages that were added and not committed yet. */
  pendingMessages = 0
  isListed = false

  constructor(
    tools: QueueTools,
    host: QueueLogHost,
    topic: () => Topic,
    partition: Partition,
    levelCount: number,
    ledger = { number: 0, isVolatile: topic().isVolatile, neutral: 0 },
  ) {
    this.#ledgerFacts = ledger
    this.#tools = tools
    this.#host = host
    this.#topic = topic
    this.partition = partition
    this.#levelCount = levelCount
  }

  // --- opening ---

  get isOpen(): boolean {
    return this.#opened !== undefined
  }

  /** Whether a batch may be appended now. */
  get canAppend(): boolean {
    return this.#opened !== undefined && this.partition.isReady && this.#held.length === 0
  }

  get ledger(): LedgerPart {
    assert(this.#opened?.ledger !== undefined, 'the queue is ready, and has a ledger')
    return this.#opened.ledger
  }

  /** A place to read at, held by the caller until he releases it. */
  openReading(): Reading {
    return new Reading(this.#tools.world, this.#tools.budget, this.log, readFrom(this.#topic, this.partition))
  }

  /** The place where the queue's own messages are read. */
  get reading(): Reading {
    return (this.#reading ??= this.openReading())
  }

  get log(): Log {
    assert(this.#opened !== undefined, 'the queue is ready')
    return this.#opened.log
  }

  get topic(): Topic {
    return this.#topic()
  }

  /** Messages of it may have been closed, by whomever: disk may be given back. */
  #closed(): void {
    if (!this.isListed) this.#tools.trimming.closed(this)
  }

  /** Opens log and ledger, and makes the log ready to be appended to. */
  open(): Promise<Refusal | undefined> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
      if (this.#held.length > 0 && !this.isGone) void this.open()
    })
    return this.#opening
  }

  async #open(): Promise<Refusal | undefined> {
    const refused = await this.#prepare()
    if (this.isGone) return goneRefusal()
    this.isFailing = refused !== undefined
    if (refused === undefined && this.#opened === undefined) this.#found()
    const held = this.#held
    this.#held = []
    for (const turn of held) {
      if (refused !== undefined) this.#settle(turn, 'refused')
      else if (this.canAppend) this.#append(turn)
      else this.#hold(turn)
    }
    return refused
  }

  async #prepare(): Promise<Refusal | undefined> {
    try {
      return await this.partition.prepare(this.#topic().policy)
    } catch (error) {
      this.#tools.world.trace.error('queue not opened', { log: this.partition.id, why: String(error) })
      return refuse('storageFailed', `The queue's log could not be read: ${String(error)}`)
    }
  }

  #found(): void {
    const { log } = this.partition
    assert(log !== undefined, 'a prepared partition has its log')
    const { id } = this.partition
    const { number, isVolatile, neutral } = this.#ledgerFacts
    const levels = this.#levelCount
    // What was left before it was open only stores what it holds.
    const hasLedger = levels > 0 && !this.#isLeft
    const ledger = hasLedger
      ? this.#tools.ledgers.open({ log: id, number }, firstOffset, levels, isVolatile, neutral)
      : undefined
    this.#opened = { log, ledger }
    if (ledger !== undefined) {
      ledger.onReplayed = () => this.#host.changed(true)
      ledger.onCommitted = () => this.#closed()
    }
    // What was kept when it was worked off may go by now.
    if (keepsConsumed(this.#topic().policy)) this.#closed()
    if (!this.#isLeft) this.#stopWatching = log.watch(() => this.#extend())
    this.#extend()
  }

  #extend(): void {
    const opened = this.#opened
    if (opened === undefined || this.isGone || this.#isLeft) return
    const { log, ledger } = opened
    let isAnew = false
    if (ledger !== undefined) {
      // Also when it knows: what is there when it is opened may have been handed out, what comes later was not.
      ledger.extend(log.committed)
      if (log.start > ledger.floor) isAnew = ledger.closeBelow(log.start, 'retention') > 0
    }
    this.#host.changed(isAnew)
  }

  // --- adding ---

  /** `expiryMs`: when the message expires by its own expiration. */
  add(message: NewMessage, level: number, expiryMs: number | undefined, shared?: SharedBatch): BatchReceipt {
    if (shared !== undefined) return this.#addShared(message, level, expiryMs, shared)
    const to = this.#levelOf(level)
    if (!to.builder.hasRoom(message.bodyBytes + message.properties.length + recordOverheadBytes)) this.#seal(level, to)
    if (this.#receipt === undefined) this.#begin()
    this.#tools.writer.write(to.builder, message, this.#turnMs)
    if (expiryMs !== undefined && !(expiryMs >= (to.earliestExpiryMs ?? Infinity))) to.earliestExpiryMs = expiryMs
    this.pendingMessages++
    return this.#last as BatchReceipt
  }

  #addShared(message: NewMessage, level: number, expiryMs: number | undefined, shared: SharedBatch): BatchReceipt {
    const to = this.#levelOf(level)
    if (to.builder.count > 0) this.#seal(level, to)
    if (this.#receipt === undefined) this.#begin()
    const sealed = shared.take(() => {
      this.#tools.writer.write(to.builder, message, this.#turnMs)
      return to.builder.seal()
    })
    this.#sealed.push({ sealed, level, earliestExpiryMs: expiryMs })
    this.pendingMessages++
    return this.#last as BatchReceipt
  }

  #begin(): void {
    this.#turnMs = this.#tools.world.clock.nowMs()
    this.#receipt = this.#last = new BatchReceipt()
    this.#tools.turns.flushLater(this.#host.task)
  }

  #levelOf(level: number): Level {
    assert(level >= 0 && level < Math.max(1, this.#levelCount), 'a level of this queue')
    return (this.#levels[level] ??= { builder: new BatchBuilder(this.#tools.pool), earliestExpiryMs: undefined })
  }

  #seal(index: number, level: Level): void {
    this.#sealed.push({ sealed: level.builder.seal(), level: index, earliestExpiryMs: level.earliestExpiryMs })
    level.earliestExpiryMs = undefined
  }

  /** Everything added since the last time, as batches. */
  #sealAll(): LevelBatch[] {
    for (const [index, level] of this.#levels.entries())
      if (level !== undefined && level.builder.count > 0) this.#seal(index, level)
    const batches = this.#sealed
    this.#sealed = []
    return batches
  }

  flush(): void {
    const receipt = this.#receipt
    if (receipt === undefined) return
    this.#receipt = undefined
    const turn = { batches: this.#sealAll(), receipt }
    if (this.isGone) this.#settle(turn, 'stored')
    else if (this.canAppend) this.#append(turn)
    else this.#hold(turn)
  }

  #hold(turn: Turn): void {
    this.#held.push(turn)
    void this.open()
  }

  #append(turn: Turn): void {
    const { store, ledgers } = this.#tools
    const { entries, isNoted } = this.#entriesOf(turn.batches)
    this.#follow(turn, isNoted ? ledgers.append(entries) : store.append(entries))
  }

  #follow(turn: Turn, committed: Promise<void>): void {
    this.partition.follow(committed)
    committed.then(
      () => this.#committed(turn),
      (failure: unknown) => this.#refused(turn, failure),
    )
    // The engine copied what it keeps.
    for (const { sealed } of turn.batches) if (sealed.shared?.leave() ?? true) this.#tools.pool.giveBack(sealed.buffer)
  }

  /** The ledger is told of priorities and expirations before the append that stores both. */
  #entriesOf(batches: readonly LevelBatch[]): { entries: AppendEntry[]; isNoted: boolean } {
    const entries: AppendEntry[] = []
    const { policy } = this.#topic()
    let isNoted = false
    for (const { sealed, level, earliestExpiryMs } of batches) {
      const entry = this.partition.entryFor(asStored(sealed.bytes, policy), sealed.count, sealed.maxTimestampMs)
      entries.push(entry)
      if (level > 0 || earliestExpiryMs !== undefined) isNoted = true
      // Of the lowest level too: what was noted at these offsets of a refused append holds no more.
      else if (this.#levelCount <= 1) continue
      this.#opened?.ledger?.note({ base: entry.expectedEnd, count: sealed.count, level, earliestExpiryMs })
    }
    return { entries, isNoted }
  }

  #committed(turn: Turn): void {
    this.#extend()
    this.#settle(turn, 'stored')
  }

  #refused(turn: Turn, failure: unknown): void {
    if (!(failure instanceof AppendFailure)) throw failure
    // What was published to a queue that is gone is where it belongs.
    this.#settle(turn, this.isGone ? 'stored' : 'refused')
  }

  #settle(turn: Turn, state: 'stored' | 'refused'): void {
    for (const { sealed } of turn.batches) this.pendingMessages -= sealed.count
    if (turn.receipt.state === 'pending') turn.receipt.settle(state)
  }

  // --- as part of somebody else's append ---

  /** After flush(), when canAppend. To be followed by appended() in this turn. */
  entriesFor(
    messages: readonly NewMessage[],
    levelAndExpiry: (message: NewMessage) => PlacedAt,
  ): readonly AppendEntry[] {
    assert(this.#lent === undefined, 'one append at a time takes entries of a queue')
    // It was ready. If the append of what it was given failed just now, the one of these entries will be refused as well.
    assert(
      this.#receipt === undefined && this.isOpen && this.#held.length === 0,
      'entries are for a queue that is ready, behind what it was given',
    )
    for (const message of messages) {
      const { level, expiryMs } = levelAndExpiry(message)
      this.add(message, level, expiryMs)
    }
    const receipt = this.#receipt as BatchReceipt | undefined
    if (receipt === undefined) return []
    this.#receipt = undefined
    this.#lent = { batches: this.#sealAll(), receipt }
    return this.#entriesOf(this.#lent.batches).entries
  }

  /** The append that carries entries (if any) was made. */
  appended(outcome: Promise<void>): void {
    const turn = this.#lent
    if (turn === undefined) return
    this.#lent = undefined
    this.#follow(turn, outcome)
  }

  /** The receipt that settles after all others so far; undefined: nothing is under way. */
  get lastReceipt(): BatchReceipt | undefined {
    return this.#last?.state === 'pending' ? this.#last : undefined
  }

  // --- the end ---

  /** Its queue goes on without it. After flush(). */
  leave(): void {
    this.#isLeft = true
    this.#stopWatching?.()
    this.#reading?.close()
    const ledger = this.#opened?.ledger
    if (ledger !== undefined) ledger.onReplayed = ledger.onCommitted = undefined
  }

  /** Deleted: what waits counts as stored, nothing is held any more. */
  drop(): void {
    this.isGone = true
    this.#stopWatching?.()
    this.#reading?.close()
    const held = this.#held
    this.#held = []
    for (const turn of held) this.#settle(turn, 'stored')
    this.flush()
  }
}

/** Where a message goes and how long it may wait. */
export interface PlacedAt {
  readonly level: number
  readonly expiryMs: number | undefined
}

/** Whether what is read of it has its place among its headers. */
const tellsPlace = ({ partitions, origin }: Topic): boolean => partitions > 1 || origin === 'kafka'

/** A topic's name and the number of a partition never change; how many partitions it has may. */
function readFrom(topic: () => Topic, partition: Partition): ReadFrom {
  return {
    name: topic().name,
    partition: partitionOf(partition.id),
    get tellsPlace() {
      return tellsPlace(topic())
    },
  }
}

export const goneRefusal = (): Refusal => refuse('queueMissing', 'the queue was deleted')
