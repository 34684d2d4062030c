// One channel: its consumers, its credit, its unsettled deliveries, what it publishes.
// Promises: calls take effect in the order made; a delivery is numbered, counted and given to the sink in one step.
// Does not know: frames, sockets; where messages lie.

import { fieldInteger, fieldTypeName, findField, type FieldTable } from '../../../base/fields.ts'
import { isRefusal, refuse, type Refusal } from '../../errors.ts'
import type {
  CancelReason,
  Channel,
  ChannelSink,
  Consumer,
  ConsumeCall,
  Delivery,
  Got,
  Publication,
  Published,
} from '../../queue-door.ts'
import { ChannelConsumer, Holding, type ConsumerChannel } from './channel-consumer.ts'
import type { ChannelHost, ChannelIdentity } from './channel-host.ts'
import type { LanePart, NewMessage, QueuePart, StoredMessage } from '../parts.ts'
import { Publishing } from './publishing.ts'
import { ReplyConsumer, replyQueue, type ReplyChannel } from './reply-to.ts'
import { Transaction, type Settling } from './transaction.ts'
import { Unsettled, type SettledBy } from './unsettled.ts'

export function openChannel(host: ChannelHost, identity: ChannelIdentity, sink: ChannelSink): Channel {
  return new OpenChannel(host, identity, sink)
}

class OpenChannel implements Channel, ConsumerChannel, ReplyChannel, SettledBy {
  readonly #host: ChannelHost
  readonly #identity: ChannelIdentity
  readonly #sink: ChannelSink
  readonly #publishing: Publishing
  readonly #unsettled = new Unsettled()
  /** By slot; 0 is nobody's. */
  readonly #holdings: (Holding | undefined)[] = [undefined]
  readonly #freeSlots: number[] = []
  readonly #gets = new Map<LanePart, Holding>()
  readonly #consumers = new Map<string, ChannelConsumer>()
  /** Tags of consumers that are being made. */
  readonly #reserved = new Set<string>()
  #replies: ReplyConsumer | undefined
  #transaction: Transaction | undefined
  #settling: Settling = 'acknowledge'
  /** Prefetch of consumers to come, and of all together; 0: no limit. */
  #prefetch = 0
  #prefetchTogether = 0
  /** Unsettled deliveries, those settled in an open transaction too. */
  #held = 0
  #isFlowing = true
  #isClosed = false
  readonly #delivery: Delivery

  constructor(host: ChannelHost, identity: ChannelIdentity, sink: ChannelSink) {
    this.#host = host
    this.#identity = identity
    this.#sink = sink
    this.#publishing = new Publishing(host, identity, () => this.#replies?.address)
    const none = Buffer.alloc(0)
    this.#delivery = {
      tag: 0,
      consumerTag: '',
      redelivered: false,
      exchange: none,
      routingKey: none,
      properties: none,
      body: none,
    }
  }

  publish(publication: Publication): Published {
    if (this.#isClosed) return closedRefusal()
    const transaction = this.#transaction
    return transaction === undefined ? this.#publishing.publish(publication) : transaction.publish(publication)
  }

  // --- consumers ---

  async consume(call: ConsumeCall): Promise<Consumer | Refusal> {
    const tag = call.consumerTag === '' ? this.#madeUpTag() : call.consumerTag
    if (this.#consumers.has(tag) || this.#reserved.has(tag) || this.#replies?.tag === tag)
      return refuse('consumerTagTaken', `attempt to reuse consumer tag '${tag}'`)
    const { consumersMax } = this.#host.limits
    if (this.#consumers.size + this.#reserved.size >= consumersMax)
      return refuse('notAllowed', `reached maximum (${consumersMax}) of consumers per channel`)
    if (call.queue === replyQueue) return this.#consumeReplies(tag, call)
    this.#reserved.add(tag)
    try {
      return await this.#consume(tag, call)
    } finally {
      this.#reserved.delete(tag)
    }
  }

  async #consume(tag: string, call: ConsumeCall): Promise<Consumer | Refusal> {
    const isStream = findField(call.arguments, 'x-stream-offset') !== undefined
    const queue = await this.#openQueue(call.queue, isStream)
    if (isRefusal(queue)) return queue
    const priority = priorityOf(call.arguments, call.queue, this.#identity.vhost)
    if (isRefusal(priority)) return priority
    const consumer = new ChannelConsumer(this, queue, call, tag, priority, this.#prefetch)
    const refused = queue.consume(consumer)
    if (refused !== undefined) return refused
    this.#consumers.set(tag, consumer)
    return consumer
  }

  /** The queue, its counts known and open to this client; or what is there of that name, as a stream. */
  async #openQueue(name: string, isStream = false): Promise<QueuePart | Refusal> {
    const { vhost } = this.#identity
    const missing = (): Refusal => refuse('queueMissing', `no queue '${name}' in vhost '${vhost}'`)
    const { queues } = this.#host
    const queue = isStream ? queues.findStream(vhost, name) : queues.find(vhost, name)
    if (queue === undefined || queue.isDeleted) return missing()
    const refused = this.#identity.mayUse(queue) ?? (await queue.opened())
    if (this.#isClosed) return closedRefusal()
    return queue.isDeleted ? missing() : (refused ?? queue)
  }

  #consumeReplies(tag: string, call: ConsumeCall): Consumer | Refusal {
    if (!call.noAck) return refuse('replyConsumer', 'reply consumer cannot acknowledge')
    if (this.#replies !== undefined) return refuse('replyConsumer', 'reply consumer already set')
    if (this.#isClosed) return closedRefusal()
    return (this.#replies = new ReplyConsumer(this.#host.replies, this.#identity.vhost, tag, this))
  }

  #madeUpTag(): string {
    return `amq.ctag-${this.#host.world.random.bytes(16).toString('base64url')}`
  }

  async cancel(consumerTag: string): Promise<void> {
    if (this.#replies?.tag === consumerTag) {
      this.#replies.close()
      this.#replies = undefined
      return
    }
    const consumer = this.#consumers.get(consumerTag)
    if (consumer === undefined) return
    consumer.isEnded = true
    this.#forget(consumer)
    consumer.queue.cancel(consumer)
  }

  /** The queue ended it. */
  ended(consumer: ChannelConsumer, reason: CancelReason): void {
    this.#forget(consumer)
    if (!this.#isClosed) this.#sink.cancelled(consumer.tag, reason)
  }

  #forget(consumer: ChannelConsumer): void {
    this.#consumers.delete(consumer.tag)
    for (const holding of consumer.holdings) if (holding !== undefined) this.#freeWhenDone(holding)
  }

  // --- slots of those who hold deliveries ---

  #newHolding(lane: LanePart, consumer: ChannelConsumer | undefined): Holding {
    const holding = new Holding(lane, consumer)
    holding.slot = this.#freeSlots.pop() ?? this.#holdings.length
    this.#holdings[holding.slot] = holding
    return holding
  }

  /** A consumer keeps the slots of its lanes as long as it is given messages of them. */
  #freeWhenDone(holding: Holding): void {
    const { lane, consumer } = holding
    if (holding.held > 0 || (consumer?.isEnded === false && consumer.holdings[lane.partition] === holding)) return
    if (consumer === undefined) this.#gets.delete(lane)
    this.#holdings[holding.slot] = undefined
    this.#freeSlots.push(holding.slot)
    holding.slot = 0
  }

  #holdingOf(consumer: ChannelConsumer, lane: LanePart): Holding {
    const before = consumer.holdings[lane.partition]
    if (before?.lane === lane) return (consumer.holding = before)
    // The queue goes on with another ledger: of the one before nothing is given out any more.
    consumer.holding = consumer.holdings[lane.partition] = this.#newHolding(lane, consumer)
    if (before !== undefined) this.#freeWhenDone(before)
    return consumer.holding
  }

  #getsOf(lane: LanePart): Holding {
    let holding = this.#gets.get(lane)
    if (holding === undefined) this.#gets.set(lane, (holding = this.#newHolding(lane, undefined)))
    return holding
  }

  // --- deliveries ---

  get hasRoom(): boolean {
    return this.#isFlowing && this.#sink.hasRoom
  }

  get hasCredit(): boolean {
    if (this.#prefetchTogether !== 0 && this.#held >= this.#prefetchTogether) return false
    return this.#held < this.#host.limits.unsettledMax
  }

  give(consumer: ChannelConsumer, message: StoredMessage): void {
    const delivery = this.#delivery
    if (consumer.noAck) delivery.tag = this.#unsettled.skip()
    else {
      let { holding } = consumer
      if (holding === undefined || holding.lane !== message.lane) holding = this.#holdingOf(consumer, message.lane)
      delivery.tag = this.#unsettled.add(holding.slot, message.offset)
      holding.held++
      consumer.held++
      this.#held++
    }
    delivery.consumerTag = consumer.tag
    delivery.redelivered = message.redelivered
    delivery.exchange = message.exchange
    delivery.routingKey = message.routingKey
    delivery.properties = message.properties
    delivery.body = message.body
    this.#sink.deliver(delivery)
  }

  giveReply(consumerTag: string, message: NewMessage): void {
    const delivery = this.#delivery
    delivery.tag = this.#unsettled.skip()
    delivery.consumerTag = consumerTag
    delivery.redelivered = false
    delivery.exchange = Buffer.from(message.exchange)
    delivery.routingKey = Buffer.from(message.routingKey)
    delivery.properties = message.properties
    delivery.body = message.body.length === 1 ? message.body[0] : Buffer.concat(message.body, message.bodyBytes)
    this.#sink.deliver(delivery)
  }

  async get(queueName: string, noAck: boolean): Promise<Got | undefined | Refusal> {
    const queue = await this.#openQueue(queueName)
    if (isRefusal(queue)) return queue
    // What this client published, and what it let die, is there to be got; queues pass on their dead with the turn.
    await new Promise<void>((resolve) => this.#host.world.clock.endOfTurn(resolve))
    await this.#host.deadLetters.settled()
    await queue.settled()
    const message = this.#isClosed ? closedRefusal() : await queue.take(noAck)
    if (message === undefined || isRefusal(message)) return message
    if (this.#isClosed) {
      if (!noAck) message.lane.giveBack(message.offset, true)
      return closedRefusal()
    }
    const { redelivered, exchange, routingKey, properties, body } = message
    const tag = noAck ? this.#unsettled.skip() : this.#hold(message.lane, message.offset)
    return { tag, redelivered, exchange, routingKey, properties, body, messages: queue.messages }
  }

  #hold(lane: LanePart, offset: number): number {
    const holding = this.#getsOf(lane)
    holding.held++
    this.#held++
    return this.#unsettled.add(holding.slot, offset)
  }

  // --- settling ---

  acknowledge(tag: number, multiple: boolean): true | Refusal {
    return this.#settle('acknowledge', tag, multiple)
  }

  reject(tag: number, multiple: boolean, requeue: boolean, counts: boolean): true | Refusal {
    return this.#settle(requeue ? (counts ? 'giveBackCounting' : 'giveBack') : 'reject', tag, multiple)
  }

  #settle(settling: Settling, tag: number, multiple: boolean): true | Refusal {
    this.#settling = settling
    const by = this.#transaction?.keeping(settling) ?? this
    if (multiple && tag === 0) this.#unsettled.settleAll(by)
    else if (!(multiple ? this.#unsettled.settleUpTo(tag, by) : this.#unsettled.settle(tag, by)))
      return refuse('unknownDelivery', `unknown delivery tag ${tag}`)
    if (this.#transaction?.isOverfull === true) return refuse('limitReached', 'the transaction holds more than it may')
    return true
  }

  /** One delivery, told by `unsettled`. */
  settled(slot: number, offset: number): void {
    const holding = this.#holdings[slot] as Holding
    const { lane } = holding
    if (!holding.isVoid) {
      switch (this.#settling) {
        case 'acknowledge':
          lane.acknowledge(offset)
          break
        case 'giveBack':
          lane.giveBack(offset, false)
          break
        case 'giveBackCounting':
          lane.giveBack(offset, true)
          break
        case 'reject':
          lane.reject(offset)
      }
    }
    this.#release(holding)
  }

  /** Credit comes back. */
  #release(holding: Holding): void {
    const { consumer } = holding
    const held = this.#held--
    if (held === this.#prefetchTogether || held === this.#host.limits.unsettledMax) this.#resumeAll()
    holding.held--
    if (consumer !== undefined && consumer.held-- === consumer.prefetch && !consumer.isEnded) consumer.queue.resume()
    if (holding.held === 0) this.#freeWhenDone(holding)
  }

  recover(): void {
    this.#settling = 'giveBack'
    this.#unsettled.settleAll(this)
  }

  // --- flow ---

  setPrefetch(count: number, scope: 'consumer' | 'channel'): void {
    if (scope === 'consumer') this.#prefetch = count
    else {
      this.#prefetchTogether = count
      this.#resumeAll()
    }
  }

  setFlow(active: boolean): void {
    this.#isFlowing = active
    if (active) this.resume()
  }

  resume(): void {
    this.#replies?.resume()
    this.#resumeAll()
  }

  #resumeAll(): void {
    for (const consumer of this.#consumers.values()) consumer.queue.resume()
  }

  // --- transactions ---

  beginTransactions(): void {
    this.#transaction ??= new Transaction(this.#host, this.#publishing, {
      holdingOf: (slot) => this.#holdings[slot] as Holding,
      release: (holding) => this.#release(holding),
      restore: (tags, slots, offsets) => this.#unsettled.restore(tags, slots, offsets),
    })
  }

  async commit(): Promise<true | Refusal> {
    if (this.#isClosed) return closedRefusal()
    return (await this.#transaction?.commit()) ?? true
  }

  rollback(): void {
    this.#transaction?.rollback()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#replies?.close()
    this.#replies = undefined
    const consumers = [...this.#consumers.values()]
    this.#consumers.clear()
    for (const consumer of consumers) {
      consumer.isEnded = true
      consumer.queue.cancel(consumer)
    }
    this.#transaction?.close()
    // A message whose consumer is lost came back in a way that counts, as RabbitMQ's quorum queues have it.
    this.#settling = 'giveBackCounting'
    this.#unsettled.settleAll(this)
  }
}

const closedRefusal = (): Refusal => refuse('shuttingDown', 'the channel is closed')

/** The consumer's priority among its queue's: argument `x-priority`. */
function priorityOf(given: FieldTable, queue: string, vhost: string): number | Refusal {
  const field = findField(given, 'x-priority')
  if (field === undefined) return 0
  const priority = fieldInteger(field)
  if (priority !== undefined) return priority
  const why = `invalid arg 'x-priority' for queue '${queue}' in vhost '${vhost}': "expected integer, got ${fieldTypeName(field)}"`
  return refuse('invalidArgument', why)
}
