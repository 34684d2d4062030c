// One queue at run time: what is published to it, who consumes it, and what became of each message.
// Promises: messages are stored in the order of add(); a receipt is settled after the commit of what it stands for; a
// message leaves with a reason: acknowledged, rejected, expired, pushed out.
// Does not know: routing, channels, delivery tags; how messages are stored (queue-log.ts), found and read (dispatch.ts).

import { assert } from '../../base/assert.ts'
import { AppendFailure, type AppendEntry } from '../../log/store.ts'
import type { Topic } from '../catalog.ts'
import { refuse, type Refusal } from '../errors.ts'
import type { CancelReason, Receipt } from '../queue-door.ts'
import type { Partitions } from '../streams/partitions.ts'
import { Consumers, Dispatch } from './dispatch.ts'
import type { QueuePolicy } from './facts.ts'
import type {
  ClosedReason,
  DeadLettering,
  LedgerClosing,
  NewMessage,
  QueueConsumer,
  QueuePart,
  StoredMessage,
} from './parts.ts'
import { goneRefusal, QueueLog, type QueueTools } from './queue-log.ts'
import { QueueRules } from './queue-rules.ts'
import { refusedReceipt, storedReceipt } from './receipt.ts'
import type { SharedBatch } from './shared-batch.ts'

/** What a queue is made with. */
export interface QueueRooms extends QueueTools {
  readonly partitions: Partitions
  /** The topic whose logs the queue is over: its own, but for a further ledger. */
  sourceOf(topic: Topic): Topic
  policyOf(topic: Topic): QueuePolicy
  deadLettering(): DeadLettering
  /** Behind each consume(), cancel() and take(): auto-delete and x-expires look at `consumers`. */
  used(queue: QueuePart): void
}

/** Messages given to consumers at a time before one who asks is answered. */
const takenAheadMax = 256

export class Queue implements QueuePart {
  topic: Topic
  policy: QueuePolicy
  isDeleted = false
  readonly #rooms: QueueRooms
  readonly #log: QueueLog
  readonly #consumers = new Consumers()
  /** What look() found of the last message. */
  #level = 0
  #expiryMs: number | undefined
  /** There once the log is open. */
  #opened: { readonly dispatch: Dispatch; readonly rules: QueueRules } | undefined

  constructor(rooms: QueueRooms, topic: Topic) {
    this.#rooms = rooms
    this.topic = topic
    this.policy = rooms.policyOf(topic)
    this.#consumers.isSingleActive = this.policy.singleActiveConsumer
    const partition = rooms.partitions.of(rooms.sourceOf(topic), 0)
    assert(partition !== undefined, 'a queue has a log')
    const host = { task: this, changed: (isAnew: boolean) => this.#changed(isAnew) }
    const ledgerNumber = topic.ledger ?? 0
    const source = (): Topic => rooms.sourceOf(this.topic)
    this.#log = new QueueLog(rooms, host, source, partition, this.policy.priorityMax + 1, {
      number: ledgerNumber,
      isVolatile: topic.isVolatile,
    })
  }

  // --- opening and counting ---

  async ready(): Promise<Refusal | undefined> {
    if (this.isDeleted) return goneRefusal()
    if (this.isReady) return undefined
    return this.#log.open()
  }

  get isReady(): boolean {
    return this.#log.canAppend
  }

  get messages(): number {
    return this.#log.isOpen ? this.#log.ledger.ready : 0
  }

  get unacknowledged(): number {
    return this.#log.isOpen ? this.#log.ledger.acquired - this.delayed : 0
  }

  get delayed(): number {
    return this.#opened?.rules.delayed ?? 0
  }

  get consumers(): number {
    return this.#consumers.count
  }

  // --- storing ---

  add(message: NewMessage, shared?: SharedBatch): Receipt | Refusal {
    if (this.isDeleted) return storedReceipt
    if (!this.accepts(message.bodyBytes)) return this.#refuse(message)
    this.#look(message)
    return this.#log.add(message, this.#level, this.#expiryMs, shared)
  }

  #refuse(message: NewMessage): Receipt {
    if (this.policy.overflow === 'reject-publish-dlx') this.#rooms.deadLettering().deadLetterRefused(this, message)
    return refusedReceipt
  }

  /** Where the message goes and how long it may wait: no object for it, since every message comes by. */
  #look(message: NewMessage): void {
    const { writer, world } = this.#rooms
    const { priorityMax, priorityDefault } = this.policy
    writer.look(message.properties)
    const { priority, expirationMs } = writer
    this.#level = priorityMax === 0 ? 0 : Math.min(priority < 0 ? priorityDefault : priority, priorityMax)
    this.#expiryMs = expirationMs < 0 ? undefined : world.clock.nowMs() + expirationMs
  }

  accepts(bodyBytes: number): boolean {
    const { policy } = this
    if (policy.overflow === 'drop-head' || this.#opened === undefined) return true
    // What consumers wait for is gone from the queue before it could be too long.
    const pending = this.#consumers.canAnyTake ? 0 : this.#log.pendingMessages
    return !this.#opened.rules.limits.wouldOverflow(bodyBytes, pending)
  }

  entriesFor(messages: readonly NewMessage[]): readonly AppendEntry[] {
    this.flush()
    return this.#log.entriesFor(messages, (message) => {
      this.#look(message)
      return { level: this.#level, expiryMs: this.#expiryMs }
    })
  }

  closings(offsets: readonly number[], reason: ClosedReason): readonly LedgerClosing[] {
    return [{ ledger: this.#log.ledger, offsets, reason }]
  }

  appended(outcome: Promise<void>): void {
    this.#log.appended(outcome)
  }

  async settled(): Promise<void> {
    const receipt = this.#log.lastReceipt
    if (receipt !== undefined) await new Promise<void>((done) => receipt.whenSettled(done))
  }

  /** At the end of a turn: appends what it brought, and passes on what leaves. */
  flush(): void {
    this.#log.flush()
    if (!this.isDeleted) this.#opened?.rules.departures.flush()
  }

  // --- giving out ---

  consume(consumer: QueueConsumer): Refusal | undefined {
    if (this.isDeleted) return goneRefusal()
    const isTaken = this.#consumers.isExclusive || (consumer.isExclusive && this.#consumers.count > 0)
    // RabbitMQ has the same words for an exclusive consumer of a queue with a single active one.
    if (isTaken || (consumer.isExclusive && this.policy.singleActiveConsumer))
      return refuse('exclusiveUse', `queue '${this.topic.name}' in vhost '${this.topic.vhost}' in exclusive use`)
    this.#consumers.add(consumer)
    this.#rooms.used(this)
    return undefined
  }

  cancel(consumer: QueueConsumer): void {
    if (!this.#consumers.remove(consumer)) return
    this.resume()
    this.#rooms.used(this)
  }

  resume(): void {
    if (!this.isDeleted) this.#rooms.turns.pumpLater(this)
  }

  #changed(isAnew: boolean): void {
    if (this.isDeleted) return
    if (this.#log.isOpen) this.#open().rules.extended(isAnew)
    this.resume()
  }

  pump(messagesMax: number): boolean {
    if (this.isDeleted) return false
    if (!this.#log.isOpen) {
      if (this.#consumers.count > 0) void this.#log.open()
      return false
    }
    const { dispatch, rules } = this.#open()
    if (this.#consumers.count > 0) {
      if (dispatch.pump(this.#consumers, messagesMax)) return true
      if (dispatch.isWaiting) return false
    }
    rules.idle()
    return false
  }

  #open(): { readonly dispatch: Dispatch; readonly rules: QueueRules } {
    if (this.#opened !== undefined) return this.#opened
    const rooms = this.#rooms
    const { ledger, reading, log } = this.#log
    const rules = new QueueRules({
      world: rooms.world,
      queue: this,
      ledger,
      reading,
      log,
      writer: rooms.writer,
      deadLettering: () => rooms.deadLettering(),
      flushLater: () => rooms.turns.flushLater(this),
    })
    const dispatch = new Dispatch(rooms.world, this, ledger, reading, rules, () => this.resume())
    return (this.#opened = { dispatch, rules })
  }

  async take(noAck: boolean): Promise<StoredMessage | undefined | Refusal> {
    if (this.policy.singleActiveConsumer && this.policy.type === 'quorum') return this.#singleActiveRefusal()
    const refused = await this.ready()
    if (refused !== undefined) return refused
    await this.settled()
    if (this.isDeleted) return goneRefusal()
    this.#rooms.used(this)
    const { dispatch, rules } = this.#open()
    // What was stored a moment ago may have made it too long.
    rules.limits.enforce()
    // Consumers that are ready come first: they were told nothing of it yet only because a turn has not ended.
    while (this.#consumers.canAnyTake && dispatch.pump(this.#consumers, takenAheadMax));
    return dispatch.take(noAck)
  }

  #singleActiveRefusal(): Refusal {
    const { name, vhost } = this.topic
    return refuse(
      'queueLocked',
      `cannot obtain access to locked queue '${name}' in vhost '${vhost}'. ` +
        'basic.get operations are not supported by quorum queues with single active consumer',
    )
  }

  async readEach(
    offsets: readonly number[],
    see: (message: StoredMessage) => void,
    raw = false,
  ): Promise<Refusal | undefined> {
    const refused = await this.ready()
    if (refused !== undefined) return refused
    const isWhole = await this.#open().dispatch.readEach(offsets, see, raw)
    return isWhole ? undefined : goneRefusal()
  }

  // --- what becomes of messages ---

  acknowledge(offset: number): void {
    if (this.isDeleted) return
    this.#log.ledger.acknowledge(offset)
    this.#opened?.rules.settled(offset)
  }

  giveBack(offset: number, counts: boolean): void {
    if (this.isDeleted) return
    this.#open().rules.giveBack(offset, counts)
    this.resume()
  }

  reject(offset: number): void {
    if (!this.isDeleted) this.#open().rules.reject(offset)
  }

  async purge(): Promise<number | Refusal> {
    const refused = await this.ready()
    if (refused !== undefined) return refused
    await this.settled()
    if (this.isDeleted) return goneRefusal()
    const purged = this.#open().rules.purge()
    try {
      await this.#rooms.ledgers.append([])
    } catch (error) {
      if (!(error instanceof AppendFailure)) throw error
      return refuse('storageFailed', `the purge could not be stored: ${error.message}`)
    }
    return purged
  }

  // --- changes and the end ---

  setPolicy(policy: QueuePolicy): void {
    const before = this.policy
    this.policy = policy
    this.#consumers.isSingleActive = policy.singleActiveConsumer
    this.#opened?.rules.policyChanged(before)
    this.resume()
  }

  drop(reason: CancelReason): void {
    if (this.isDeleted) return
    this.isDeleted = true
    this.#opened?.dispatch.close()
    this.#opened?.rules.close()
    this.#log.drop()
    for (const consumer of this.#consumers.all()) {
      this.#consumers.remove(consumer)
      consumer.cancelled(reason)
    }
  }

  async close(): Promise<void> {
    this.flush()
    this.#opened?.dispatch.close()
    this.#opened?.rules.close()
    await this.settled()
  }
}
