// One queue at run time: its lanes, what is published to them and who consumes what they hold.
// Promises: messages of one key are stored in the order of add(), and first given out in that order; a receipt is settled
// after the commit of what it stands for; a lane that cannot be read holds up none of the others.
// Does not know: routing, channels, delivery tags; how a lane stores messages, reads them and lets them go (lane.ts).

import { assert } from '../../base/assert.ts'
import { AppendFailure, type AppendEntry } from '../../log/store.ts'
import type { Topic } from '../catalog.ts'
import { isRefusal, refuse, type Refusal } from '../errors.ts'
import type { CancelReason, Receipt } from '../queue-door.ts'
import type { Partitions } from '../streams/partitions.ts'
import { epochEntry } from './lanes/consumer-epoch.ts'
import { Consumers } from './lanes/consumers.ts'
import type { QueuePolicy } from './facts.ts'
import { Lane, type LaneHost } from './lanes/lane.ts'
import { LaneTurns } from './lanes/lane-turns.ts'
import { Limits } from './lanes/limits.ts'
import type {
  Ahead,
  DeadLettering,
  EpochsPart,
  LaneSource,
  NewMessage,
  QueueConsumer,
  QueuePart,
  StoredMessage,
} from './parts.ts'
import { goneRefusal, type PlacedAt, type QueueTools } from './lanes/queue-log.ts'
import type { QueueRules } from './lanes/queue-rules.ts'
import type { PumpTask } from './queue-turns.ts'
import { PartitionChoice } from './lanes/partition-choice.ts'
import { refusedReceipt, storedReceipt } from './receipt.ts'
import type { SharedBatch } from './messages/shared-batch.ts'

/** What a queue is made with. */
export interface QueueRooms extends QueueTools {
  readonly partitions: Partitions
  readonly epochs: EpochsPart
  policyOf(topic: Topic): QueuePolicy
  /** By partition. Asked again when the queue's topic changes, or lanesChanged() is called. */
  lanesOf(topic: Topic): readonly LaneSource[]
  deadLettering(): DeadLettering
  /** Behind each consume(), cancel() and take(): auto-delete and x-expires look at `consumers`. */
  used(queue: QueuePart): void
}

/** Messages given to consumers at a time before one who asks is answered. */
const takenAheadMax = 256

export class Queue implements QueuePart, PumpTask {
  policy: QueuePolicy
  isDeleted = false
  /** What lanes ask of their queue. */
  readonly #host: LaneHost
  readonly #rooms: QueueRooms
  readonly #levels: number
  readonly #consumers = new Consumers()
  readonly #limits: Limits
  readonly #choice: PartitionChoice
  readonly #turns = new LaneTurns()
  #topic: Topic
  #lanes: readonly Lane[] = []
  /** The rules of lanes that are open. */
  #open: readonly QueueRules[] = []
  /** Lanes to look at when nobody takes any more; a second list to put those in that come meanwhile. */
  #toLookAt: Lane[] = []
  #spare: Lane[] = []
  /** The lane that is asked first for one message. */
  #getTurn = 0
  /** What look() found of the last message. */
  #level = 0
  #expiryMs: number | undefined

  constructor(rooms: QueueRooms, topic: Topic) {
    this.#rooms = rooms
    this.#topic = topic
    this.policy = rooms.policyOf(topic)
    // With a default priority nothing is said of it, and the lowest is of a level of its own.
    const { priorityMax, priorityDefault } = this.policy
    this.#levels = priorityMax + (priorityDefault > 0 ? 2 : 1)
    this.#consumers.isSingleActive = this.policy.singleActiveConsumer
    const first = Math.floor(rooms.world.random.fraction() * topic.partitions)
    this.#choice = new PartitionChoice(first, (index) => this.#takes(this.#lanes[index]))
    this.#limits = new Limits(this, () => this.#open, rooms.world.clock)
    this.#host = {
      tools: rooms,
      queue: this,
      deadLettering: () => rooms.deadLettering(),
      woken: (lane) => this.#woken(lane),
      flushed: () => this.#choice.next(),
      opened: () => this.#opened(),
      counted: () => this.#limits.enforce(),
      timedOut: (consumer) => this.#timedOut(consumer),
    }
    this.lanesChanged()
  }

  // --- lanes ---

  get topic(): Topic {
    return this.#topic
  }

  /** Its settings, or the number of its partitions, may be others. */
  set topic(topic: Topic) {
    if (topic === this.#topic) return
    this.#topic = topic
    if (!this.isDeleted) this.lanesChanged()
  }

  get lanes(): readonly Lane[] {
    return this.#lanes
  }

  /** Takes up new lanes, and leaves those that are none any more. */
  lanesChanged(): void {
    const before = this.#lanes
    this.#lanes = this.#rooms.lanesOf(this.#topic).map((source) => this.#laneOf(before, source))
    // What was at work goes on so: limits and times to live hold though nobody consumes.
    const isAtWork = this.#consumers.count > 0 || this.#open.length > 0
    for (const lane of before) if (!this.#lanes.includes(lane)) this.#leave(lane)
    if (isAtWork) this.#openLanes()
  }

  #laneOf(before: readonly Lane[], source: LaneSource): Lane {
    for (const lane of before) {
      const { topic, partition, ledger } = lane.source
      if (partition !== source.partition || ledger !== source.ledger || topic.id !== source.topic.id) continue
      lane.source = source
      return lane
    }
    const partition = this.#rooms.partitions.of(source.topic, source.partition)
    assert(partition !== undefined, 'a lane has a log')
    return new Lane(this.#host, source, partition, this.#levels)
  }

  #leave(lane: Lane): void {
    lane.leave()
    this.#turns.remove(lane)
    this.#listOpen()
  }

  #listOpen(): void {
    this.#open = this.#lanes.filter((lane) => lane.isOpen).map((lane) => lane.rules)
  }

  #opened(): void {
    this.#listOpen()
    this.#openForLimits()
  }

  /** A limit is of all lanes: while one is at work the others are counted. */
  #openForLimits(): void {
    const { lengthMax, lengthBytesMax } = this.policy
    if (this.#open.length > 0 && (lengthMax !== undefined || lengthBytesMax !== undefined)) this.#openLanes()
  }

  #openLanes(): void {
    for (const lane of this.#lanes) if (!lane.isOpen) lane.openForGood()
  }

  // --- opening and counting ---

  async ready(): Promise<Refusal | undefined> {
    return this.#ready('all')
  }

  async opened(): Promise<Refusal | undefined> {
    return this.#ready('any')
  }

  async #ready(what: 'all' | 'any'): Promise<Refusal | undefined> {
    for (;;) {
      if (this.isDeleted) return goneRefusal()
      if (this.isReady) return undefined
      const lanes = this.#lanes
      const outcomes = await Promise.all(lanes.map((lane) => lane.ready()))
      // It may go on with others by now.
      if (lanes !== this.#lanes) continue
      const refused = outcomes.filter((outcome) => outcome !== undefined)
      return what === 'any' && refused.length < outcomes.length ? undefined : refused.at(0)
    }
  }

  get isReady(): boolean {
    for (const lane of this.#lanes) if (!lane.log.canAppend) return false
    return true
  }

  get messages(): number {
    let ready = 0
    for (const { ledger } of this.#open) ready += ledger.ready
    return ready
  }

  get unacknowledged(): number {
    let acquired = 0
    for (const rules of this.#open) acquired += rules.ledger.acquired - rules.delayed
    return acquired
  }

  get delayed(): number {
    let delayed = 0
    for (const rules of this.#open) delayed += rules.delayed
    return delayed
  }

  get consumers(): number {
    return this.#consumers.count
  }

  // --- storing ---

  add(message: NewMessage, shared?: SharedBatch): Receipt | Refusal {
    if (this.isDeleted) return storedReceipt
    if (!this.accepts(message.bodyBytes)) return this.#refuse(message)
    this.#look(message)
    return this.#laneFor(message).log.add(message, this.#level, this.#expiryMs, shared)
  }

  #laneFor({ properties }: NewMessage): Lane {
    return this.#lanes[this.#choice.of(properties, this.#lanes.length)]
  }

  /** Whether what may go anywhere goes there. */
  #takes(lane: Lane): boolean {
    if (!lane.isOutOfOrder) return true
    lane.passedOver()
    return false
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
    const level = priorityMax === 0 ? 0 : Math.min(priority < 0 ? priorityDefault : priority, priorityMax)
    // Of a record that a Kafka client writes nothing is said either.
    this.#level = priorityDefault === 0 ? level : level === priorityDefault ? 0 : level === 0 ? this.#levels - 1 : level
    this.#expiryMs = expirationMs < 0 ? undefined : world.clock.nowMs() + expirationMs
  }

  accepts(bodyBytes: number, ahead?: Ahead): boolean {
    if (this.policy.overflow === 'drop-head' || this.#open.length === 0) return true
    // What consumers wait for is gone from the queue before it could be too long.
    if (this.#consumers.canAnyTake) return !this.#limits.wouldOverflow(bodyBytes, 0)
    let pending = ahead?.messages ?? 0
    for (const { log } of this.#lanes) pending += log.pendingMessages
    return !this.#limits.wouldOverflow(bodyBytes + (ahead?.bytes ?? 0), pending)
  }

  entriesFor(messages: readonly NewMessage[]): readonly AppendEntry[] {
    const placeOf = (message: NewMessage): PlacedAt => {
      this.#look(message)
      return { level: this.#level, expiryMs: this.#expiryMs }
    }
    if (this.#lanes.length === 1) return this.#lanes[0].entriesFor(messages, placeOf)
    const byLane = new Map<Lane, NewMessage[]>()
    for (const message of messages) {
      const lane = this.#laneFor(message)
      const those = byLane.get(lane)
      if (those === undefined) byLane.set(lane, [message])
      else those.push(message)
    }
    const entries: AppendEntry[] = []
    for (const [lane, those] of byLane) entries.push(...lane.entriesFor(those, placeOf))
    return entries
  }

  appended(outcome: Promise<void>): void {
    for (const { log } of this.#lanes) log.appended(outcome)
  }

  async settled(): Promise<void> {
    // All at once: what is added while the first of many lanes is waited for is not waited for too.
    const receipts: Receipt[] = []
    for (const { log } of this.#lanes) if (log.lastReceipt !== undefined) receipts.push(log.lastReceipt)
    for (const receipt of receipts) await new Promise<void>((done) => receipt.whenSettled(done))
  }

  // --- giving out ---

  consume(consumer: QueueConsumer): Refusal | undefined {
    if (this.isDeleted) return goneRefusal()
    const isTaken = this.#consumers.isExclusive || (consumer.isExclusive && this.#consumers.count > 0)
    // RabbitMQ has the same words for an exclusive consumer of a queue with a single active one.
    if (isTaken || (consumer.isExclusive && this.policy.singleActiveConsumer))
      return refuse('exclusiveUse', `queue '${this.topic.name}' in vhost '${this.topic.vhost}' in exclusive use`)
    this.#consumers.add(consumer)
    this.#openLanes()
    this.#rooms.used(this)
    return undefined
  }

  cancel(consumer: QueueConsumer): void {
    if (!this.#consumers.remove(consumer)) return
    this.resume()
    this.#rooms.used(this)
  }

  /** It held a delivery for too long. */
  #timedOut(consumer: QueueConsumer): void {
    this.cancel(consumer)
    consumer.cancelled('consumerTimeout')
    for (const lane of this.#lanes) lane.giveBackFrom(consumer)
  }

  resume(): void {
    if (!this.isDeleted) this.#rooms.turns.pumpLater(this)
  }

  #woken(lane: Lane): void {
    // What cannot be opened has nothing to give out; it comes by itself once it is open.
    if (this.isDeleted || lane.isVoid || !lane.isOpen) return
    this.#turns.add(lane)
    this.#lookLater(lane)
    this.resume()
  }

  #lookLater(lane: Lane): void {
    if (lane.isToBeLookedAt) return
    lane.isToBeLookedAt = true
    this.#toLookAt.push(lane)
  }

  pump(messagesMax: number): boolean {
    if (this.isDeleted) return false
    if (this.#consumers.count > 0) {
      if (this.#consumers.lacksEpoch && !this.#takeEpoch()) return false
      if (this.#turns.pump(this.#consumers, messagesMax)) return true
    }
    this.#idle()
    return false
  }

  /** Another consumer is the active one. False: it has to wait for its epoch. */
  #takeEpoch(): boolean {
    const epoch = this.#rooms.epochs.next(() => this.resume())
    if (epoch === undefined) return false
    this.#consumers.giveEpoch(epochEntry(epoch))
    return true
  }

  /** Nobody can take any more now. */
  #idle(): void {
    const isAnyoneThere = this.#consumers.count > 0
    // What a lane reads now may be for somebody who waits for it.
    if (!isAnyoneThere || !this.#isReading()) this.#limits.enforce()
    const lanes = this.#toLookAt
    this.#toLookAt = this.#spare
    for (const lane of lanes) {
      lane.isToBeLookedAt = false
      if (!lane.isOpen || lane.isVoid) continue
      if (isAnyoneThere && lane.dispatch.isWaiting) this.#lookLater(lane)
      else lane.rules.idle()
    }
    lanes.length = 0
    this.#spare = lanes
  }

  #isReading(): boolean {
    for (const lane of this.#toLookAt)
      if (lane.isOpen && lane.dispatch.isWaiting && !lane.dispatch.isFailing) return true
    return false
  }

  async take(noAck: boolean): Promise<StoredMessage | undefined | Refusal> {
    if (this.policy.singleActiveConsumer && this.policy.type === 'quorum') return this.#singleActiveRefusal()
    const refused = await this.opened()
    if (refused !== undefined) return refused
    await this.settled()
    if (this.isDeleted) return goneRefusal()
    this.#rooms.used(this)
    // What was stored a moment ago may have made it too long.
    this.#limits.enforce()
    if (this.#consumers.lacksEpoch) this.#takeEpoch()
    // Consumers that are ready come first: they were told nothing of it yet only because a turn has not ended.
    while (this.#consumers.canAnyTake && this.#turns.pump(this.#consumers, takenAheadMax));
    return this.#take(noAck)
  }

  /** Of the next lane that has one; refused when the only ones that might cannot be read. */
  async #take(noAck: boolean): Promise<StoredMessage | undefined | Refusal> {
    let refused: Refusal | undefined
    const lanes = this.#lanes
    const first = this.#getTurn
    for (let tried = 0; tried < lanes.length; tried++) {
      const index = (first + tried) % lanes.length
      const lane = lanes[index]
      if (!lane.isOpen || lane.isVoid) continue
      const taken = await lane.dispatch.take(noAck)
      if (isRefusal(taken)) refused ??= taken
      else if (taken !== undefined) {
        this.#getTurn = index + 1
        return taken
      }
    }
    return refused
  }

  #singleActiveRefusal(): Refusal {
    const { name, vhost } = this.topic
    return refuse(
      'queueLocked',
      `cannot obtain access to locked queue '${name}' in vhost '${vhost}'. ` +
        'basic.get operations are not supported by quorum queues with single active consumer',
    )
  }

  async purge(): Promise<number | Refusal> {
    const refused = await this.opened()
    if (refused !== undefined) return refused
    await this.settled()
    if (this.isDeleted) return goneRefusal()
    let purged = 0
    for (const rules of this.#open) purged += rules.purge()
    for (const lane of this.#lanes) this.#woken(lane)
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
    for (const rules of this.#open) rules.policyChanged(before)
    this.#openForLimits()
    for (const lane of this.#lanes) this.#woken(lane)
    this.resume()
  }

  /** Of what was consumed and comes again nobody knows any more when it expires: all of it is looked at. */
  async lookForExpired(): Promise<Refusal | undefined> {
    const refused = await this.ready()
    if (refused !== undefined) return refused
    const earliestExpiryMs = this.#rooms.world.clock.nowMs()
    for (const lane of this.#lanes) {
      const { floor, end } = lane.log.ledger
      if (end > floor) lane.log.ledger.note({ base: floor, count: end - floor, level: 0, earliestExpiryMs })
      this.#woken(lane)
    }
    return undefined
  }

  drop(reason: CancelReason): void {
    if (this.isDeleted) return
    this.isDeleted = true
    for (const lane of this.#lanes) lane.drop()
    for (const consumer of this.#consumers.all()) {
      this.#consumers.remove(consumer)
      consumer.cancelled(reason)
    }
  }

  async close(): Promise<void> {
    for (const lane of this.#lanes) {
      lane.flush()
      lane.close()
    }
    await this.settled()
  }
}
