// A bucket of waiting messages: those of one vhost that are due in one span of time, in a log of their own.
// Promises: stored like what is published to a queue, in one append with whatever else a publisher decides; while its
// span is far nothing of it is in memory but its name; once near it knows when each message is due.
// Does not know: which span a message belongs to, when it is looked at (delays.ts), where messages go (delay-moves.ts).

import type { World } from '../../../base/world.ts'
import type { AppendEntry } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import { refuse, type Refusal } from '../../errors.ts'
import type { Receipt } from '../../queue-door.ts'
import type { Partition } from '../../streams/partition.ts'
import { delayOfWaiting, waitingProperties } from './delay-header.ts'
import { DelayIndex } from './delay-index.ts'
import { plainPolicy } from '../facts.ts'
import type {
  ClosedReason,
  Destinations,
  LanePart,
  LedgerClosing,
  NewMessage,
  QueuePart,
  StoredMessage,
} from '../parts.ts'
import { QueueLog, type QueueTools } from '../lanes/queue-log.ts'
import { storedReceipt } from '../receipt.ts'

/** Which bucket it is: kept in the machine log when it is durable. */
export interface BucketFacts {
  readonly number: number
  readonly vhost: string
  readonly isDurable: boolean
  /** Due at or after `fromMs` and before `toMs`: what the bucket was made for; a message may be due later. */
  readonly fromMs: number
  readonly toMs: number
}

/** Messages looked at for their time before others have their turn. */
const indexedPerTurn = 512

const nothing = Buffer.alloc(0)

/** Its one lane is itself: nobody is given messages of it but those who move them. */
export class DelayBucket implements QueuePart, LanePart {
  readonly facts: BucketFacts
  readonly topic: Topic
  readonly policy = plainPolicy
  readonly unacknowledged = 0
  readonly delayed = 0
  readonly partition = 0
  readonly queue = this
  readonly lanes: readonly LanePart[] = [this]
  readonly consumers = 0
  /** What a route to it answers. */
  readonly destinations: Destinations
  isDeleted = false
  /** Its time has come: it is read, and says when its messages are due. */
  isNear = false
  /** It could not be read on, and has to be approached again. */
  isBehind = false
  readonly #world: Pick<World, 'clock'>
  readonly #log: QueueLog
  readonly #changed: () => void
  readonly #index = new DelayIndex()
  /** When what was taken was due. */
  readonly #taken = new Map<number, number>()
  /** Offsets below it are in the index, or closed. */
  #indexedTo = 0
  #indexing: Promise<void> | undefined
  readonly #message: StoredMessage

  constructor(tools: QueueTools, facts: BucketFacts, topic: Topic, partition: Partition, changed: () => void) {
    this.#world = tools.world
    this.facts = facts
    this.topic = topic
    this.destinations = [topic.name]
    this.#changed = changed
    const host = { task: this, changed: () => this.#extended() }
    this.#log = new QueueLog(tools, host, () => topic, partition, 1)
    const empty = { exchange: nothing, routingKey: nothing, properties: nothing, body: nothing }
    this.#message = { lane: this, offset: 0, redelivered: false, isDeadLetter: false, isPlaced: false, ...empty }
  }

  // --- storing ---

  get isReady(): boolean {
    return this.#log.canAppend
  }

  async ready(): Promise<Refusal | undefined> {
    return this.isReady ? undefined : this.#log.open()
  }

  opened(): Promise<Refusal | undefined> {
    return this.ready()
  }

  get isVoid(): boolean {
    return this.isDeleted
  }

  get messages(): number {
    return this.#log.isOpen ? this.#log.ledger.ready : 0
  }

  get bytes(): number {
    return this.#log.isOpen ? this.#log.log.bytes : 0
  }

  accepts(): boolean {
    return true
  }

  add(message: NewMessage): Receipt | Refusal {
    return this.isDeleted ? storedReceipt : this.#log.add(waiting(message), 0, undefined)
  }

  entriesFor(messages: readonly NewMessage[]): readonly AppendEntry[] {
    this.#log.flush()
    return this.#log.entriesFor(messages.map(waiting), () => ({ level: 0, expiryMs: undefined }))
  }

  closings(offsets: readonly number[], reason: ClosedReason): readonly LedgerClosing[] {
    return [{ ledger: this.#log.ledger, offsets, reason }]
  }

  appended(outcome: Promise<void>): void {
    this.#log.appended(outcome)
  }

  flush(): void {
    this.#log.flush()
  }

  async settled(): Promise<void> {
    const receipt = this.#log.lastReceipt
    if (receipt !== undefined) await new Promise<void>((done) => receipt.whenSettled(done))
  }

  // --- when messages are due ---

  /** From now on it knows when its messages are due. Rejects when the log cannot be read: to be called again. */
  approach(): Promise<void> {
    this.isNear = true
    this.isBehind = false
    return this.#indexAll()
  }

  #extended(): void {
    if (this.isDeleted) return
    if (this.isNear && this.isReady) this.#indexAll().catch(() => undefined)
    // Its log failed, and what is new in it is committed: it is opened again for that.
    else if (this.isNear) this.isBehind = true
    this.#changed()
  }

  #indexAll(): Promise<void> {
    this.#indexing ??= this.#indexNow()
      .catch((error: unknown) => {
        this.isBehind = true
        throw error
      })
      .finally(() => {
        this.#indexing = undefined
        this.#changed()
      })
    return this.#indexing
  }

  async #indexNow(): Promise<void> {
    const refused = await this.ready()
    if (refused !== undefined) throw new Error(refused.why)
    const { ledger, reading } = this.#log
    for (let seen = 1; ; seen++) {
      const offset = ledger.nextReady(this.#indexedTo)
      if (offset === undefined || this.isDeleted) break
      let missing = reading.seek(offset)
      while (missing instanceof Promise) {
        await missing
        missing = reading.seek(offset)
      }
      this.#indexedTo = offset + 1
      if (missing !== undefined) ledger.close(offset, missing)
      else {
        reading.fill(offset, this.#message)
        this.#index.add(reading.timestampMs(offset) + delayOfWaiting(this.#message.properties), offset)
        reading.passed(offset)
      }
      if (seen % indexedPerTurn === 0) await new Promise<void>((resolve) => this.#world.clock.endOfTurn(resolve))
    }
  }

  /** When the next message is due; undefined: nothing waits, or nobody looked yet. */
  get nextMs(): number | undefined {
    return this.#index.nextMs
  }

  /** How many messages it holds in memory. */
  get indexed(): number {
    return this.#index.count
  }

  /** At most `most` of those due by `dueMs`, in the order they are due; they are acquired. */
  takeDue(dueMs: number, most: number): number[] {
    const offsets: number[] = []
    while (offsets.length < most) {
      const nextMs = this.#index.nextMs
      if (nextMs === undefined || nextMs > dueMs) break
      const offset = this.#index.take()
      this.#taken.set(offset, nextMs)
      this.#log.ledger.acquire(offset)
      offsets.push(offset)
    }
    return offsets
  }

  /** What was taken and moved. */
  moved(offsets: readonly number[]): void {
    for (const offset of offsets) this.#taken.delete(offset)
  }

  /** What was taken and could not be moved now: due as before. */
  putBack(offsets: readonly number[]): void {
    for (const offset of offsets) {
      const dueMs = this.#taken.get(offset)
      this.#taken.delete(offset)
      if (dueMs === undefined || this.isDeleted) continue
      this.#log.ledger.giveBack(offset, false)
      this.#index.add(dueMs, offset)
    }
  }

  async readEach(offsets: readonly number[], see: (message: StoredMessage) => void): Promise<undefined> {
    await this.readWhile(offsets, (message) => {
      see(message)
      return true
    })
  }

  /** As readEach(), in the order given, until `see` says that it was enough. */
  async readWhile(offsets: readonly number[], see: (message: StoredMessage) => boolean): Promise<void> {
    const { reading } = this.#log
    for (const offset of offsets) {
      let missing = reading.seek(offset)
      while (missing instanceof Promise) {
        await missing
        missing = reading.seek(offset)
      }
      if (missing !== undefined) continue
      reading.fill(offset, this.#message)
      this.#message.offset = offset
      if (!see(this.#message)) return
    }
  }

  /** Whether all it ever held is moved, and its span is over. */
  isOver(nowMs: number): boolean {
    if (!this.isNear || this.facts.toMs > nowMs || this.#indexing !== undefined || !this.#log.isOpen) return false
    const { ledger, log, pendingMessages } = this.#log
    return pendingMessages === 0 && log.committed === log.end && ledger.floor === log.end && this.#index.count === 0
  }

  drop(): void {
    this.isDeleted = true
    this.#log.drop()
  }

  async close(): Promise<void> {
    this.flush()
    await this.settled()
  }

  // --- what clients cannot do here ---

  #missing(): Refusal {
    return refuse('queueMissing', `no queue '${this.topic.name}' in vhost '${this.topic.vhost}'`)
  }

  consume(): Refusal {
    return this.#missing()
  }

  async take(): Promise<Refusal> {
    return this.#missing()
  }

  async purge(): Promise<Refusal> {
    return this.#missing()
  }

  cancel(): void {}

  resume(): void {}

  acknowledge(): void {}

  giveBack(): void {}

  reject(): void {}

  setPolicy(): void {}
}

const waiting = (message: NewMessage): NewMessage => ({
  ...message,
  properties: waitingProperties(message.properties),
})
