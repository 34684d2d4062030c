// What a queue's arguments and policies ask of the messages of one lane: how long, how often, and what is written on them.
// Promises: one place that is told of everything that happens to a message, and passes it to each rule.
// Does not know: consumers' order, how messages are stored.

import { assert } from '../../../base/assert.ts'
import { withHeaders, readProperties } from '../../../base/properties.ts'
import type { FieldEntry } from '../../../base/fields.ts'
import type { Clock, World } from '../../../base/world.ts'
import type { Log } from '../../../log/store.ts'
import type { DeliveryRules } from './dispatch.ts'
import type { QueuePolicy } from '../facts.ts'
import { LaneBytes, type CountedLane } from './lane-bytes.ts'
import type { LimitedLane } from './limits.ts'
import { filterOf, type MessageFilter } from '../messages/message-filter.ts'
import { blankMessage, type MessageWriter } from '../messages/message.ts'
import type { DeadLettering, LanePart, LedgerPart, QueueConsumer, StoredMessage } from '../parts.ts'
import { Departures } from './queue-departures.ts'
import { Expiry, type ExpiringLane } from './queue-expiry.ts'
import { Retries } from './queue-retries.ts'
import { DeliveryTimeouts } from './queue-timeouts.ts'
import type { Reading } from '../messages/reading.ts'
import { retryDelayMs } from './retry-delay.ts'

export interface RuledLane {
  readonly world: World
  readonly lane: LanePart
  readonly ledger: LedgerPart
  readonly reading: Reading
  readonly log: Log
  readonly writer: MessageWriter
  deadLettering(): DeadLettering
  flushLater(): void
  /** The queue's limit in bytes is to be looked at. */
  counted(): void
  /** There may be more to give out. */
  woken(): void
  /** The consumer was too slow: it ends, and what it holds in any lane goes back. */
  timedOut(consumer: QueueConsumer): void
}

/** Messages that came back and how often they were handed out, for so many at most. */
const returnsMax = 100_000
/** Messages that begin to wait anew in one turn. */
const anewPerTurn = 4096

export class QueueRules implements DeliveryRules, CountedLane, LimitedLane, ExpiringLane {
  readonly ledger: LedgerPart
  readonly reading: Reading
  readonly log: Log
  readonly clock: Clock
  readonly writer: MessageWriter
  readonly scratch: StoredMessage
  readonly departures: Departures
  readonly bytes: LaneBytes
  readonly #world: World
  readonly #lane: LanePart
  readonly #counted: () => void
  readonly #woken: () => void
  readonly #expiry: Expiry
  readonly #filter: MessageFilter | undefined
  readonly #timeouts: DeliveryTimeouts
  readonly #retries: Retries
  /** Those that are to wait anew, in no order, and how many of them do. */
  #anew: Float64Array | undefined
  #anewAt = 0
  /** Where consumers are told: how often what came back was handed out before. */
  readonly #returns = new Map<number, number>()

  constructor(ruled: RuledLane) {
    const { world, lane, ledger } = ruled
    this.#world = world
    this.#lane = lane
    this.#counted = () => ruled.counted()
    this.#woken = () => ruled.woken()
    this.ledger = ledger
    this.reading = ruled.reading
    this.log = ruled.log
    this.clock = world.clock
    this.writer = ruled.writer
    this.scratch = blankMessage(lane)
    this.departures = new Departures(
      lane,
      ledger,
      () => ruled.deadLettering(),
      () => ruled.flushLater(),
    )
    this.bytes = new LaneBytes(this)
    this.#expiry = new Expiry(this)
    this.#filter = filterOf(lane.queue.topic.queue?.arguments ?? [])
    this.#timeouts = new DeliveryTimeouts(
      world.clock,
      () => lane.queue.policy.consumerTimeoutMs,
      (consumer) => ruled.timedOut(consumer),
    )
    this.#retries = new Retries({ clock: world.clock, due: (offset) => this.#dueAgain(offset) })
    const { retry } = this.policy
    if (retry === undefined || retry.of === 'returned') return
    this.#anew = this.ledger.counted()
    this.#waitAnew()
  }

  get policy(): QueuePolicy {
    return this.#lane.queue.policy
  }

  get isVoid(): boolean {
    return this.#lane.isVoid
  }

  // --- what happens to messages ---

  begin(): void {
    this.#expiry.begin()
  }

  drops(offset: number, isGot: boolean): boolean {
    if (this.#filter !== undefined && !this.#takes(this.#filter, offset)) {
      this.#pushedOut(offset)
      this.ledger.close(offset, 'filtered')
      return true
    }
    if (!this.#expiry.isDue(offset, isGot)) return false
    this.expire(offset)
    return true
  }

  #takes(filter: MessageFilter, offset: number): boolean {
    this.reading.fill(offset, this.scratch)
    return filter.takes(this.scratch)
  }

  taken(message: StoredMessage, consumer: QueueConsumer | undefined, isKept: boolean): void {
    const { offset } = message
    this.bytes.taken(offset, message.body.length, isKept)
    if (isKept && consumer !== undefined) this.#timeouts.given(offset, consumer)
    if (message.redelivered && this.#tellsCounts) this.#writeCounts(message)
    if (!isKept) this.#returns.delete(offset)
  }

  /** Quorum queues do, and whatever else has a use for the count. */
  get #tellsCounts(): boolean {
    const { type, deliveryLimit, retry } = this.policy
    return type === 'quorum' || deliveryLimit !== undefined || retry !== undefined
  }

  /** As RabbitMQ's quorum queues tell a consumer how often the message was handed out and came back. */
  #writeCounts(message: StoredMessage): void {
    const deliveries = this.ledger.deliveryCount(message.offset)
    const acquired = Math.max(this.#returns.get(message.offset) ?? 1, deliveries)
    const { headers = [] } = readProperties(message.properties)
    const counted: FieldEntry[] = headers.filter(({ name }) => name !== acquiredHeader && name !== deliveriesHeader)
    counted.push({ name: acquiredHeader, value: { type: 'int64', value: acquired } })
    if (deliveries > 0) counted.push({ name: deliveriesHeader, value: { type: 'int64', value: deliveries } })
    message.properties = withHeaders(message.properties, counted)
  }

  settled(offset: number): void {
    this.bytes.settled(offset)
    this.#timeouts.settled(offset)
    if (this.#returns.size > 0) this.#returns.delete(offset)
  }

  /** An acquired message comes back. */
  giveBack(offset: number, counts: boolean): void {
    const { ledger, policy } = this
    this.#timeouts.settled(offset)
    if (!ledger.isAcquired(offset) || this.departures.isLeaving(offset)) return
    if (counts && policy.deliveryLimit !== undefined && ledger.deliveryCount(offset) >= policy.deliveryLimit) {
      this.settled(offset)
      this.departures.leave(offset, 'deliveryLimit')
      return
    }
    const { retry } = policy
    if (retry !== undefined && (retry.of === 'all' || (retry.of === 'failed') === counts)) {
      if (counts) ledger.countReturn(offset)
      this.#park(offset)
    } else {
      ledger.giveBack(offset, counts)
      this.#ready(offset)
    }
    if (!this.#tellsCounts) return
    const before = this.#returns.get(offset)
    if (before !== undefined || this.#returns.size < returnsMax) this.#returns.set(offset, (before ?? 0) + 1)
  }

  /** A ready message is taken by nobody's consumer, to be moved. False: it is not ready. */
  hold(offset: number, bodyBytes: number): boolean {
    const { ledger } = this
    if (ledger.nextReady(offset) !== offset) return false
    ledger.acquire(offset)
    this.bytes.taken(offset, bodyBytes, true)
    return true
  }

  /** It was not moved. */
  letGo(offset: number): void {
    if (!this.ledger.isAcquired(offset)) return
    this.ledger.giveBack(offset, false)
    this.#ready(offset)
  }

  /** It is ready again. */
  #ready(offset: number): void {
    this.bytes.returned(offset)
    this.#expiry.returned(offset)
  }

  // --- waiting for the next try ---

  get delayed(): number {
    return this.#retries.count
  }

  get isFull(): boolean {
    return this.#retries.isFull || this.#anew !== undefined
  }

  /** An acquired message waits. */
  #park(offset: number): void {
    const { retry } = this.policy
    assert(retry !== undefined, 'only a queue that delays parks messages')
    const wasFull = this.#retries.isFull
    this.#retries.park(offset, retryDelayMs(retry, this.ledger.deliveryCount(offset), this.#world.random.fraction()))
    if (this.#retries.isFull && !wasFull) this.#world.trace.count('retries.full')
  }

  #dueAgain(offset: number): void {
    if (!this.ledger.isAcquired(offset) || this.departures.isLeaving(offset)) return
    this.ledger.giveBack(offset, false)
    this.#ready(offset)
    this.#woken()
  }

  /**
   * When each was due is not kept: what came back before the queue was opened waits its whole delay again. There may be
   * very many: until the last of them waits, nothing is given out.
   */
  #waitAnew(): void {
    const { ledger } = this
    const anew = this.#anew
    if (anew === undefined || this.isVoid) return
    const to = Math.min(anew.length, this.#anewAt + anewPerTurn)
    while (this.#anewAt < to) {
      const offset = anew[this.#anewAt++]
      // What came to it meanwhile decided about it.
      if (offset >= ledger.end || ledger.isClosed(offset) || ledger.isAcquired(offset)) continue
      ledger.acquire(offset)
      this.#park(offset)
    }
    if (to < anew.length) return this.clock.endOfTurn(() => this.#waitAnew())
    this.#anew = undefined
    if (to > anewPerTurn) this.#woken()
  }

  #forgetClosed(): void {
    for (const offset of this.#retries.offsets()) if (!this.ledger.isAcquired(offset)) this.#retries.forget(offset)
  }

  reject(offset: number): void {
    if (!this.ledger.isAcquired(offset) || this.departures.isLeaving(offset)) return
    this.settled(offset)
    this.departures.leave(offset, 'rejected')
  }

  /** The consumer was too slow: what it holds here goes back. */
  giveBackFrom(consumer: QueueConsumer): void {
    for (const offset of this.#timeouts.heldBy(consumer)) this.giveBack(offset, true)
  }

  // --- what rules decide ---

  expire(offset: number): void {
    this.#pushedOut(offset)
    this.#returns.delete(offset)
    this.departures.leave(offset, 'expired')
  }

  /** The log loses what lies below: at most so many leave, ready or in somebody's hands. */
  retire(below: number, messagesMax: number): void {
    const { ledger, departures } = this
    const wasFull = this.isFull
    let left = messagesMax
    for (let at = ledger.floor; left > 0; at++) {
      at = Math.min(ledger.nextReady(at) ?? below, ledger.nextAcquired(at) ?? below)
      if (at >= below) break
      if (departures.isLeaving(at)) continue
      this.#retries.forget(at)
      this.settled(at)
      departures.leave(at, 'retention')
      left--
    }
    if (left < messagesMax) this.bytes.countAnew()
    if (wasFull && !this.isFull) this.#woken()
  }

  /** Whether the queue's filter lets it in. */
  takes(message: StoredMessage): boolean {
    return this.#filter === undefined || this.#filter.takes(message)
  }

  expireAllBelow(below: number): void {
    if (this.departures.closeReady(below, 'expired') > 0) this.#closedMany()
  }

  failed(what: string, error: unknown): void {
    if (this.isVoid) return
    const { partition, queue } = this.#lane
    this.#world.trace.warn('queue not readable', { queue: queue.topic.name, partition, what, why: String(error) })
  }

  get areDeadLettered(): boolean {
    return this.departures.areDeadLettered
  }

  lies(offset: number): boolean {
    if (!this.areDeadLettered) return false
    this.departures.leave(offset, 'malformed')
    return true
  }

  pushOut(offset: number): void {
    this.#returns.delete(offset)
    this.departures.leave(offset, 'maxlen')
  }

  /** A ready message goes whose bytes were counted. */
  #pushedOut(offset: number): void {
    if (this.policy.lengthBytesMax === undefined) return
    if (this.reading.seek(offset) !== undefined) return this.bytes.countAnew()
    this.reading.fill(offset, this.scratch)
    this.bytes.taken(offset, this.scratch.body.length, false)
  }

  /** Closes everything that is ready, or waits to be ready again. */
  purge(): number {
    let purged = this.departures.closeReady(this.ledger.end, 'purged')
    for (const offset of this.#retries.offsets()) {
      this.#retries.forget(offset)
      this.settled(offset)
      if (this.ledger.close(offset, 'purged')) purged++
    }
    this.#closedMany()
    return purged
  }

  // --- when to look ---

  /** The ledger knows of more; `isAnew`: what it knew changed without a word to the rules. */
  extended(isAnew: boolean): void {
    if (!isAnew) return this.bytes.extended()
    this.#forgetClosed()
    this.#closedMany()
  }

  /** At once, and nobody said which. */
  #closedMany(): void {
    for (const offset of this.#returns.keys()) if (this.ledger.isClosed(offset)) this.#returns.delete(offset)
    this.bytes.countAnew()
  }

  counted(): void {
    this.#counted()
  }

  /** Nobody can take any more now. */
  idle(): void {
    this.#expiry.look()
  }

  policyChanged(before: QueuePolicy): void {
    if (before.retry !== undefined && this.policy.retry === undefined) {
      this.#anew = undefined
      this.#retries.release()
    }
    if (before.lengthBytesMax === undefined && this.policy.lengthBytesMax !== undefined) this.bytes.countAnew()
  }

  close(): void {
    this.#expiry.close()
    this.#timeouts.close()
    this.#anew = undefined
    this.#retries.close()
  }
}

const acquiredHeader = 'x-acquired-count'
const deliveriesHeader = 'x-delivery-count'
