// A consumer of one channel, as its queue sees it: whether it may be given more, and what it is given.
// Promises: canTake costs a few comparisons; a consumer is given nothing before start() nor after its end.
// Does not know: tags of deliveries, the sink; those are its channel's.

import type { FieldTable } from '../../../base/fields.ts'
import type { CancelReason, Consumer, ConsumeCall } from '../../queue-door.ts'
import type { LanePart, QueueConsumer, QueuePart, StoredMessage } from '../parts.ts'

/** What a consumer asks of its channel. */
export interface ConsumerChannel {
  /** It flows, and its socket has room. */
  readonly hasRoom: boolean
  /** Not at the limit of unsettled deliveries that all its consumers share. */
  readonly hasCredit: boolean
  give(consumer: ChannelConsumer, message: StoredMessage): void
  ended(consumer: ChannelConsumer, reason: CancelReason): void
}

/** Unsettled deliveries of one lane: a consumer's, also after its end, or those of a channel's gets. */
export class Holding {
  /** Its number in the channel, from 1; 0: none any more. */
  slot = 0
  readonly lane: LanePart
  /** undefined: gets. */
  readonly consumer: ChannelConsumer | undefined
  held = 0

  constructor(lane: LanePart, consumer: ChannelConsumer | undefined) {
    this.lane = lane
    this.consumer = consumer
  }

  /** Settling what it holds says nothing to anybody any more, but credit comes back. */
  get isVoid(): boolean {
    return this.lane.isVoid || this.consumer?.isVoid === true
  }
}

export class ChannelConsumer implements QueueConsumer, Consumer {
  readonly tag: string
  readonly queue: QueuePart
  readonly priority: number
  readonly noAck: boolean
  readonly isExclusive: boolean
  readonly arguments: FieldTable
  /** Most unsettled deliveries; 0: no limit of its own. */
  readonly prefetch: number
  /** Unsettled deliveries of all lanes. */
  held = 0
  /** The queue took back what it holds. */
  isVoid = false
  isEnded = false
  /** Of the lane it was given the last message of. */
  holding: Holding | undefined
  /** By partition of the lane. */
  readonly holdings: (Holding | undefined)[] = []
  readonly #channel: ConsumerChannel
  #isStarted = false

  constructor(
    channel: ConsumerChannel,
    queue: QueuePart,
    call: ConsumeCall,
    tag: string,
    priority: number,
    prefetch: number,
  ) {
    this.#channel = channel
    this.queue = queue
    this.tag = tag
    this.priority = priority
    this.noAck = call.noAck
    this.isExclusive = call.exclusive
    this.arguments = call.arguments
    this.prefetch = prefetch
  }

  get canTake(): boolean {
    if (!this.#isStarted || this.isEnded || !this.#channel.hasRoom) return false
    return this.noAck || ((this.prefetch === 0 || this.held < this.prefetch) && this.#channel.hasCredit)
  }

  start(): void {
    this.#isStarted = true
    if (!this.isEnded) this.queue.resume()
  }

  deliver(message: StoredMessage): void {
    this.#channel.give(this, message)
  }

  cancelled(reason: CancelReason): void {
    // One that was too slow, its client may have ended it before: others are given what it holds.
    if (reason === 'consumerTimeout') this.isVoid = true
    if (this.isEnded) return
    this.isEnded = true
    this.#channel.ended(this, reason)
  }
}
