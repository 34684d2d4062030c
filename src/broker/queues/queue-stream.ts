// A stream at run time: a queue whose messages stay when they are read, until retention drops them.
// Promises: each consumer reads at its own pace from where it asked; acknowledging gives credit back and nothing else.
// Does not know: ledgers, limits beyond the topic's retention; where one consumer stands (stream-reader.ts).

import { assert } from '../../base/assert.ts'
import { findField } from '../../base/fields.ts'
import type { AppendEntry } from '../../log/store.ts'
import type { Topic } from '../catalog.ts'
import { isRefusal, refuse, type Refusal } from '../errors.ts'
import type { CancelReason, Receipt } from '../queue-door.ts'
import type { QueuePolicy } from './facts.ts'
import type { LedgerClosing, NewMessage, QueueConsumer, QueuePart, StoredMessage } from './parts.ts'
import type { QueueRooms } from './queue.ts'
import { goneRefusal, QueueLog, type PlacedAt } from './queue-log.ts'
import { storedReceipt } from './receipt.ts'
import type { SharedBatch } from './shared-batch.ts'
import { StreamReader, streamStartOf } from './stream-reader.ts'

/** No ledger, no priorities. */
const noLevels = 0
const place: PlacedAt = { level: 0, expiryMs: undefined }
const retryMs = 1000

export class StreamQueue implements QueuePart {
  topic: Topic
  policy: QueuePolicy
  isDeleted = false
  readonly delayed = 0
  readonly unacknowledged = 0
  readonly #rooms: QueueRooms
  readonly #log: QueueLog
  #readers: StreamReader[] = []
  /** Who has the first turn. */
  #turn = 0

  constructor(rooms: QueueRooms, topic: Topic) {
    this.#rooms = rooms
    this.topic = topic
    this.policy = rooms.policyOf(topic)
    const partition = rooms.partitions.of(topic, 0)
    assert(partition !== undefined, 'a stream has a log')
    this.#log = new QueueLog(rooms, { task: this, changed: () => this.resume() }, () => this.topic, partition, noLevels)
  }

  async ready(): Promise<Refusal | undefined> {
    if (this.isDeleted) return goneRefusal()
    return this.isReady ? undefined : this.#log.open()
  }

  get isReady(): boolean {
    return this.#log.canAppend
  }

  /** Everything that is stored. */
  get messages(): number {
    return this.#log.isOpen ? this.#log.log.committed - this.#log.log.start : 0
  }

  get consumers(): number {
    return this.#readers.length
  }

  // --- storing ---

  add(message: NewMessage, shared?: SharedBatch): Receipt | Refusal {
    return this.isDeleted ? storedReceipt : this.#log.add(message, place.level, place.expiryMs, shared)
  }

  accepts(): boolean {
    return true
  }

  entriesFor(messages: readonly NewMessage[]): readonly AppendEntry[] {
    this.flush()
    return this.#log.entriesFor(messages, () => place)
  }

  closings(): readonly LedgerClosing[] {
    return []
  }

  appended(outcome: Promise<void>): void {
    this.#log.appended(outcome)
  }

  async settled(): Promise<void> {
    const receipt = this.#log.lastReceipt
    if (receipt !== undefined) await new Promise<void>((done) => receipt.whenSettled(done))
  }

  flush(): void {
    this.#log.flush()
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
    const reader: StreamReader = new StreamReader(
      consumer,
      this,
      this.#log.log,
      this.#log.openReading(),
      () => this.resume(),
      (error) => this.#failed(reader, error),
    )
    this.#readers.push(reader)
    reader.begin(start)
    this.#rooms.used(this)
    return undefined
  }

  #failed(reader: StreamReader, error: unknown): void {
    const { clock, trace } = this.#rooms.world
    trace.error('stream not readable, trying again', { queue: this.topic.name, why: String(error) })
    clock.after(retryMs, () => reader.goOn())
  }

  cancel(consumer: QueueConsumer): void {
    const reader = this.#readers.find((one) => one.consumer === consumer)
    if (reader === undefined) return
    reader.close()
    this.#readers = this.#readers.filter((one) => one !== reader)
    this.#rooms.used(this)
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

  async readEach(offsets: readonly number[], see: (message: StoredMessage) => void): Promise<undefined> {
    assert(offsets.length === 0 && see !== undefined, 'nothing of a stream is dead-lettered')
  }

  /** Its credit is back. */
  acknowledge(): void {
    this.resume()
  }

  /** Nothing is taken from a stream, so nothing comes back. */
  giveBack(): void {
    this.resume()
  }

  reject(): void {
    this.resume()
  }

  async purge(): Promise<Refusal> {
    const { name, vhost } = this.topic
    const why = `queue.purge not supported by stream queues queue '${name}' in vhost '${vhost}'`
    return refuse('notForThisQueue', why)
  }

  // --- changes and the end ---

  setPolicy(policy: QueuePolicy): void {
    this.policy = policy
  }

  drop(reason: CancelReason): void {
    if (this.isDeleted) return
    this.isDeleted = true
    this.#log.drop()
    const readers = this.#readers
    this.#readers = []
    for (const reader of readers) {
      reader.close()
      reader.consumer.cancelled(reason)
    }
  }

  async close(): Promise<void> {
    this.flush()
    for (const reader of this.#readers) reader.close()
    await this.settled()
  }
}
