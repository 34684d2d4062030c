// A channel's transaction: publishes and settlements kept until they are committed together, or forgotten.
// Promises: what is committed is one atomic append over all queues; a refused commit or a rollback leaves every
// delivery unsettled as before and nothing stored.
// Does not know: credit and slots of deliveries, how queues store and close.

import { AppendFailure, type AppendEntry } from '../../../log/store.ts'
import { isRefusal, refuse, type Refusal } from '../../errors.ts'
import { isDeadLettered } from '../facts.ts'
import type { Publication, Published } from '../../queue-door.ts'
import type { Holding } from './channel-consumer.ts'
import type { ChannelHost } from './channel-host.ts'
import type { Destinations, LanePart, LedgerClosing, NewMessage, QueuePart } from '../parts.ts'
import type { Publishing } from './publishing.ts'
import { BatchReceipt } from '../receipt.ts'
import type { SettledBy } from './unsettled.ts'

export type Settling = 'acknowledge' | 'giveBack' | 'giveBackCounting' | 'reject'

/** What a transaction asks of its channel. */
export interface TransactionChannel {
  holdingOf(slot: number): Holding
  /** A delivery is settled for good: its credit comes back. */
  release(holding: Holding): void
  /** Sorted by tag: unsettled again. */
  restore(tags: readonly number[], slots: readonly number[], offsets: readonly number[]): void
}

interface KeptPublish {
  readonly message: NewMessage
  readonly destinations: Destinations
  readonly replies: readonly string[]
}

interface KeptSettlement {
  readonly settling: Settling
  readonly tag: number
  readonly slot: number
  readonly offset: number
  /** The append of the commit closes it: also when the queue asks for something else by the time it is made. */
  isClosing: boolean
}

/** What a kept publish or settlement costs beside its bytes. */
const publishOverheadBytes = 512
const settlementBytes = 64

export class Transaction implements SettledBy {
  readonly #host: ChannelHost
  readonly #publishing: Publishing
  readonly #channel: TransactionChannel
  #publishes: KeptPublish[] = []
  #settlements: KeptSettlement[] = []
  #bytes = 0
  /** What publishers hold: pending until the commit. */
  #receipt = new BatchReceipt()
  #settling: Settling = 'acknowledge'
  #isAppending = false
  #isClosed = false

  constructor(host: ChannelHost, publishing: Publishing, channel: TransactionChannel) {
    this.#host = host
    this.#publishing = publishing
    this.#channel = channel
  }

  /** Judged and routed now, as RabbitMQ does; stored at the commit. */
  publish(publication: Publication): Published {
    const destinations = this.#publishing.route(publication)
    if (isRefusal(destinations)) return destinations
    const { message, replies } = this.#publishing
    if (destinations.length === 0 && replies.length === 0) return 'unroutable'
    const { transactionBytesMax } = this.#host.limits
    const bytes = message.bodyBytes + message.properties.length
    this.#bytes += bytes + publishOverheadBytes
    if (this.#bytes > transactionBytesMax)
      return refuse('limitReached', `the transaction holds more than ${transactionBytesMax} bytes`)
    const copy = Buffer.concat([message.properties, ...message.body], bytes)
    const properties = copy.subarray(0, message.properties.length)
    const body = [copy.subarray(message.properties.length)]
    this.#publishes.push({ message: { ...message, properties, body }, destinations, replies })
    return this.#receipt
  }

  /** Whether settlements may be kept; then whom to tell of them. */
  keeping(settling: Settling): SettledBy {
    this.#settling = settling
    return this
  }

  settled(slot: number, offset: number, tag: number): void {
    this.#bytes += settlementBytes
    this.#settlements.push({ settling: this.#settling, tag, slot, offset, isClosing: false })
  }

  /** Whether more was settled than a transaction may keep. */
  get isOverfull(): boolean {
    return this.#bytes > this.#host.limits.transactionBytesMax
  }

  async commit(): Promise<true | Refusal> {
    if (this.#publishes.length === 0 && this.#settlements.length === 0) return true
    for (let queue = this.#closedQueue(); queue !== undefined; queue = this.#closedQueue()) {
      const refused = await queue.ready()
      if (refused !== undefined && !queue.isDeleted) return this.#fail(refused)
    }
    // From here on to the append all is decided in one turn.
    const refused = this.#refusalNow()
    if (refused !== undefined) return this.#fail(refused)
    this.#isAppending = true
    try {
      await this.#append()
    } catch (error) {
      if (!(error instanceof AppendFailure)) throw error
      return this.#fail(refusalOf(error))
    } finally {
      this.#isAppending = false
    }
    this.#done()
    return true
  }

  #closedQueue(): QueuePart | undefined {
    for (const { destinations } of this.#publishes)
      for (const queue of this.#publishing.queuesOf(destinations)) if (!queue.isReady) return queue
    return undefined
  }

  #refusalNow(): Refusal | undefined {
    if (this.#isClosed) return refuse('shuttingDown', 'the channel is closed')
    if (this.#publishes.length === 0) return undefined
    for (const { destinations, message } of this.#publishes)
      for (const queue of this.#publishing.queuesOf(destinations))
        if (!queue.accepts(message.bodyBytes)) return refuse('limitReached', 'partial tx completion')
    return this.#host.produceRefusal()
  }

  /** One append of all publishes, and of the acknowledged and dropped as closed. */
  #append(): Promise<void> {
    const byQueue = new Map<QueuePart, NewMessage[]>()
    for (const { destinations, message } of this.#publishes)
      for (const queue of this.#publishing.queuesOf(destinations)) listIn(byQueue, queue).push(message)
    const entries: AppendEntry[] = []
    for (const [queue, messages] of byQueue) entries.push(...queue.entriesFor(messages))
    const closings: LedgerClosing[] = []
    for (const settling of ['acknowledge', 'reject'] as const) {
      const offsetsOf = new Map<LanePart, number[]>()
      for (const kept of this.#settlements) {
        const holding = this.#channel.holdingOf(kept.slot)
        if (kept.settling !== settling || !closesWithCommit(kept, holding)) continue
        kept.isClosing = true
        listIn(offsetsOf, holding.lane).push(kept.offset)
      }
      for (const [lane, offsets] of offsetsOf) {
        offsets.sort((a, b) => a - b)
        closings.push(...lane.closings(offsets, settling === 'acknowledge' ? 'acked' : 'rejected'))
      }
    }
    const outcome = this.#host.ledgers.appendClosing(entries, closings)
    for (const queue of byQueue.keys()) queue.appended(outcome)
    return outcome
  }

  #done(): void {
    for (const { replies, message } of this.#publishes) if (replies.length > 0) this.#publishing.reply(replies, message)
    for (const kept of this.#settlements) {
      const holding = this.#channel.holdingOf(kept.slot)
      settleNow(kept, holding)
      this.#channel.release(holding)
    }
    this.#receipt.settle('stored')
    this.#begin()
  }

  #fail(refused: Refusal): Refusal {
    if (!this.#isClosed) this.rollback()
    else {
      for (const { slot, offset } of this.#settlements) {
        const { lane, isVoid } = this.#channel.holdingOf(slot)
        if (!isVoid) lane.giveBack(offset, true)
      }
      this.#begin()
    }
    return refused
  }

  #begin(): void {
    this.#publishes = []
    this.#settlements = []
    this.#bytes = 0
    if (this.#receipt.state === 'pending') this.#receipt.settle('refused')
    this.#receipt = new BatchReceipt()
  }

  rollback(): void {
    const sorted = this.#settlements.toSorted((a, b) => a.tag - b.tag)
    this.#channel.restore(
      sorted.map(({ tag }) => tag),
      sorted.map(({ slot }) => slot),
      sorted.map(({ offset }) => offset),
    )
    this.#begin()
  }

  /** What is being appended stays with its outcome; all else is unsettled again. */
  close(): void {
    this.#isClosed = true
    if (!this.#isAppending) this.rollback()
  }
}

/** Acks and drops close with the append; what comes back or becomes a dead letter does so once it is committed. */
function closesWithCommit({ settling }: KeptSettlement, { lane, isVoid }: Holding): boolean {
  if (isVoid) return false
  return settling === 'acknowledge' || (settling === 'reject' && !isDeadLettered(lane.queue.policy))
}

/** After the commit. What closed with it is told too: the queue keeps count of what it handed out. */
function settleNow(kept: KeptSettlement, holding: Holding): void {
  const { lane, isVoid } = holding
  if (isVoid) return
  if (kept.isClosing) lane.acknowledge(kept.offset)
  else if (kept.settling === 'reject') lane.reject(kept.offset)
  else lane.giveBack(kept.offset, kept.settling === 'giveBackCounting')
}

function listIn<Key, Item>(lists: Map<Key, Item[]>, key: Key): Item[] {
  let list = lists.get(key)
  if (list === undefined) lists.set(key, (list = []))
  return list
}

function refusalOf(failure: AppendFailure): Refusal {
  switch (failure.kind) {
    case 'full':
      return refuse('storageFull', `the transaction could not be stored: ${failure.message}`)
    case 'closed':
      return refuse('shuttingDown', 'the broker is shutting down')
    default:
      return refuse('storageFailed', `the transaction could not be stored: ${failure.message}`)
  }
}
