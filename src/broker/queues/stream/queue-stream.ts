// A stream at run time: a queue or topic whose messages stay when they are read, until retention drops them.
// Promises: each consumer reads at its own pace from where it asked, all partitions, each in its order; acknowledging
// gives credit back and nothing else. What is stored goes to the partition that its key says.
// Does not know: ledgers, limits beyond the topic's own; where one consumer stands in a partition (stream-reader.ts).

import { assert } from '../../../base/assert.ts'
import { findField } from '../../../base/fields.ts'
import type { AppendEntry } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import { isRefusal, refuse, type Refusal } from '../../errors.ts'
import type { CancelReason, Receipt } from '../../queue-door.ts'
import { plainPolicy, type QueuePolicy } from '../facts.ts'
import { PartitionChoice } from '../lanes/partition-choice.ts'
import { blankMessage } from '../messages/message.ts'
import type { LedgerClosing, MovableLane, MovablePart, NewMessage, QueueConsumer, StoredMessage } from '../parts.ts'
import type { QueueRooms } from '../queue.ts'
import { goneRefusal, QueueLog, type PlacedAt } from '../lanes/queue-log.ts'
import type { PumpTask } from '../queue-turns.ts'
import { refusedReceipt, storedReceipt } from '../receipt.ts'
import type { SharedBatch } from '../messages/shared-batch.ts'
import { StreamReader } from './stream-reader.ts'
import { streamStartOf, type StreamStart } from './stream-start.ts'

/** No ledger, no priorities. */
const noLevels = 0
const place: PlacedAt = { level: 0, expiryMs: undefined }
const retryMs = 1000
/** What a batch of one message has beside the body, at most about: head, names and the record's lengths. */
const batchOverheadBytes = 1024

export class StreamQueue implements MovablePart, PumpTask {
  policy: QueuePolicy
  isDeleted = false
  readonly delayed = 0
  readonly unacknowledged = 0
  readonly #rooms: QueueRooms
  /** It is the queue of that name, not only a topic seen as a stream. */
  readonly #isQueue: boolean
  #topic: Topic
  /** By partition. */
  readonly lanes: StreamLane[] = []
  readonly #choice: PartitionChoice
  readonly #consumers = new Set<QueueConsumer>()
  #readers: StreamReader[] = []
  /** Who has the first turn. */
  #turn = 0

  constructor(rooms: QueueRooms, topic: Topic, isQueue: boolean) {
    this.#rooms = rooms
    this.#isQueue = isQueue
    this.#topic = topic
    this.policy = isQueue ? rooms.policyOf(topic) : plainPolicy
    this.#choice = new PartitionChoice(Math.floor(rooms.world.random.fraction() * topic.partitions))
    this.#grow()
  }

  get topic(): Topic {
    return this.#topic
  }

  /** Its settings may have changed, and it may have more partitions. */
  set topic(topic: Topic) {
    this.#topic = topic
    if (topic.partitions > this.lanes.length) this.#grow()
  }

  #grow(): void {
    const first: StreamStart = { kind: 'first' }
    for (let index = this.lanes.length; index < this.#topic.partitions; index++) {
      const partition = this.#rooms.partitions.of(this.#topic, index)
      assert(partition !== undefined, 'a topic has its partitions')
      const host = { task: this, changed: () => this.resume() }
      const log = new QueueLog(this.#rooms, host, () => this.#topic, partition, noLevels)
      const lane = new StreamLane(this, index, log)
      this.lanes.push(lane)
      for (const consumer of this.#consumers) this.#begin(consumer, lane, first)
    }
  }

  async ready(): Promise<Refusal | undefined> {
    if (this.isDeleted) return goneRefusal()
    return this.isReady ? undefined : (await this.#open()).find((refused) => refused !== undefined)
  }

  async opened(): Promise<Refusal | undefined> {
    if (this.isDeleted) return goneRefusal()
    if (this.isReady) return undefined
    const outcomes = await this.#open()
    return outcomes.includes(undefined) ? undefined : outcomes[0]
  }

  /** What each refused. */
  #open(): Promise<(Refusal | undefined)[]> {
    return Promise.all(this.lanes.map(({ log }) => (log.canAppend ? undefined : log.open())))
  }

  get isReady(): boolean {
    for (const { log } of this.lanes) if (!log.canAppend) return false
    return true
  }

  /** Everything that is stored. */
  get messages(): number {
    let messages = 0
    for (const { log } of this.lanes) if (log.isOpen) messages += log.log.committed - log.log.start
    return messages
  }

  get consumers(): number {
    return this.#consumers.size
  }

  // --- storing ---

  add(message: NewMessage, shared?: SharedBatch): Receipt | Refusal {
    if (this.isDeleted) return storedReceipt
    if (!this.accepts(message.bodyBytes)) {
      this.#rooms.world.trace.count('streams.refused.tooLarge')
      return refusedReceipt
    }
    return this.#logOf(message).add(message, place.level, place.expiryMs, shared)
  }

  #logOf(message: NewMessage): QueueLog {
    return this.lanes[this.#choice.of(message.properties, this.lanes.length)].log
  }

  /** A topic takes no batch that is larger than it says. */
  accepts(bodyBytes: number): boolean {
    return this.#isQueue || bodyBytes + batchOverheadBytes <= this.#topic.policy.batchBytesMax
  }

  entriesFor(messages: readonly NewMessage[]): readonly AppendEntry[] {
    this.flush()
    const byLog = new Map<QueueLog, NewMessage[]>()
    for (const message of messages) {
      const log = this.#logOf(message)
      const list = byLog.get(log)
      if (list === undefined) byLog.set(log, [message])
      else list.push(message)
    }
    const entries: AppendEntry[] = []
    for (const [log, list] of byLog) entries.push(...log.entriesFor(list, () => place))
    return entries
  }

  appended(outcome: Promise<void>): void {
    for (const { log } of this.lanes) log.appended(outcome)
    this.#choice.next()
  }

  async settled(): Promise<void> {
    for (const { log } of this.lanes) {
      const { lastReceipt } = log
      if (lastReceipt !== undefined) await new Promise<void>((done) => lastReceipt.whenSettled(done))
    }
  }

  flush(): void {
    for (const { log } of this.lanes) log.flush()
    this.#choice.next()
  }

  // --- reading ---

  consume(consumer: QueueConsumer): Refusal | undefined {
    if (this.isDeleted) return goneRefusal()
    const { name, vhost } = this.topic
    const queue = `queue '${name}' in vhost '${vhost}'`
    if (consumer.noAck) return refuse('notForThisQueue', `automatic acknowledgement not supported by stream ${queue}`)
    if (findField(consumer.arguments, 'x-priority') !== undefined)
      return refuse('invalidArgument', `invalid arg 'x-priority' for ${queue} of queue type rabbit_stream_queue`)
    if (consumer.prefetch === 0)
      return refuse('invalidArgument', `consumer prefetch count is not set for stream ${queue}`)
    const start = streamStartOf(consumer.arguments, name, vhost, this.#rooms.world.clock.nowMs())
    if (isRefusal(start)) return start
    this.#consumers.add(consumer)
    for (const lane of this.lanes) this.#begin(consumer, lane, start)
    this.#used()
    return undefined
  }

  /** Reads a partition for a consumer, once its log is open. */
  #begin(consumer: QueueConsumer, lane: StreamLane, start: StreamStart): void {
    const { log } = lane
    // It may have left while it waited for the log.
    if (this.isDeleted || !this.#consumers.has(consumer)) return
    if (!log.isOpen) {
      void log.open().then((refused) => {
        if (refused === undefined) this.#begin(consumer, lane, start)
        else this.#later(refused.why, () => this.#begin(consumer, lane, start))
      })
      return
    }
    const reader: StreamReader = new StreamReader(
      consumer,
      lane,
      // Who reads a stream of one partition has always known where he is by the offset alone.
      this.#isQueue && this.#topic.partitions === 1 ? -1 : lane.partition,
      log.log,
      log.openReading(),
      () => this.resume(),
      (error) => this.#later(String(error), () => reader.goOn()),
    )
    this.#readers.push(reader)
    reader.begin(start)
    this.resume()
  }

  #later(why: string, goOn: () => void): void {
    const { clock, trace } = this.#rooms.world
    trace.error('stream not readable, trying again', { queue: this.topic.name, why })
    clock.after(retryMs, goOn)
  }

  cancel(consumer: QueueConsumer): void {
    if (!this.#consumers.delete(consumer)) return
    for (const reader of this.#readers) if (reader.consumer === consumer) reader.close()
    this.#readers = this.#readers.filter((one) => one.consumer !== consumer)
    this.#used()
  }

  /** Whoever reads a topic without its queue's ledger is no consumer of that queue. */
  #used(): void {
    if (this.#isQueue) this.#rooms.used(this)
  }

  resume(): void {
    if (!this.isDeleted && this.#readers.length > 0) this.#rooms.turns.pumpLater(this)
  }

  pump(messagesMax: number): boolean {
    if (this.isDeleted) return false
    const readers = this.#readers
    let hasMore = false
    const share = Math.max(1, Math.floor(messagesMax / Math.max(1, readers.length)))
    for (let index = 0; index < readers.length; index++) {
      const reader = readers[(this.#turn + index) % readers.length]
      if (reader.pump(share)) hasMore = true
    }
    this.#turn++
    return hasMore
  }

  async take(): Promise<Refusal> {
    const { name, vhost } = this.topic
    const why = `basic.get not supported by stream queues queue '${name}' in vhost '${vhost}'`
    return refuse('notForThisQueue', why)
  }

  async purge(): Promise<Refusal> {
    const { name, vhost } = this.topic
    const why = `queue.purge not supported by stream queues queue '${name}' in vhost '${vhost}'`
    return refuse('notForThisQueue', why)
  }

  // --- changes and the end ---

  setPolicy(policy: QueuePolicy): void {
    if (this.#isQueue) this.policy = policy
  }

  drop(reason: CancelReason): void {
    if (this.isDeleted) return
    this.isDeleted = true
    for (const { log } of this.lanes) log.drop()
    for (const reader of this.#readers) reader.close()
    this.#readers = []
    const consumers = [...this.#consumers]
    this.#consumers.clear()
    for (const consumer of consumers) consumer.cancelled(reason)
  }

  async close(): Promise<void> {
    this.flush()
    for (const reader of this.#readers) reader.close()
    await this.settled()
  }
}

/** One log of a stream, as those see it who are given messages of it. */
class StreamLane implements MovableLane {
  readonly queue: StreamQueue
  readonly partition: number
  readonly log: QueueLog

  constructor(queue: StreamQueue, partition: number, log: QueueLog) {
    this.queue = queue
    this.partition = partition
    this.log = log
  }

  get isVoid(): boolean {
    return this.queue.isDeleted
  }

  /** Its credit is back. */
  acknowledge(): void {
    this.queue.resume()
  }

  /** Nothing is taken from a stream, so nothing comes back. */
  giveBack(): void {
    this.queue.resume()
  }

  reject(): void {
    this.queue.resume()
  }

  closings(): readonly LedgerClosing[] {
    return []
  }

  get topic(): Topic {
    return this.queue.topic
  }

  get end(): number {
    return this.log.log.committed
  }

  /** All that there are, and perhaps some that are not. */
  readyFrom(from: number, below: number, messagesMax: number): number[] {
    const { start, committed } = this.log.log
    const first = Math.max(from, start)
    const count = Math.min(below, committed, first + messagesMax) - first
    return Array.from({ length: Math.max(0, count) }, (_, index) => first + index)
  }

  /** Everybody may have it. */
  hold(): boolean {
    return !this.isVoid
  }

  letGo(): void {}

  async readEach(offsets: readonly number[], see: (message: StoredMessage) => void): Promise<Refusal | undefined> {
    const refused = this.log.isOpen ? undefined : await this.log.open()
    if (refused !== undefined) return refused
    const reading = this.log.openReading()
    const message = blankMessage(this)
    try {
      for (const offset of offsets) {
        let missing = reading.seek(offset)
        while (missing instanceof Promise) {
          await missing
          if (this.isVoid) return goneRefusal()
          missing = reading.seek(offset)
        }
        if (missing !== undefined) continue
        reading.fill(offset, message)
        message.offset = offset
        see(message)
      }
      return undefined
    } finally {
      reading.close()
    }
  }
}
