// A stage for channels: queues that are lists, exchanges that are tables of names, ledgers that do what a test says.
// Promises: nothing is delivered, stored or failed on its own: a test pumps, settles and decides appends.
// Does not know: logs, records. What a queue was told is kept for looking at.

import { CorruptLog, type AppendEntry } from '../../../log/store.ts'
import { testWorld, type TestWorld } from '../../broker-world.contract.ts'
import type { Topic } from '../../catalog.ts'
import { isRefusal, refuse, type Refusal } from '../../errors.ts'
import type { CancelReason, Channel, ChannelSink, Delivery, Publication, Receipt } from '../../queue-door.ts'
import { openChannel } from './channel.ts'
import { channelLimits, type ChannelHost, type ChannelIdentity, type ChannelLimits } from './channel-host.ts'
import { plainPolicy, type QueuePolicy } from '../facts.ts'
import type {
  Ahead,
  ClosedReason,
  LanePart,
  LedgerClosing,
  LedgerPart,
  LedgersPart,
  NewMessage,
  QueueConsumer,
  QueuePart,
  QueuesPart,
  Router,
  StoredMessage,
} from '../parts.ts'
import { BatchReceipt } from '../receipt.ts'
import { ReplyDesk } from './reply-to.ts'

export interface StageMessage {
  readonly offset: number
  readonly exchange: string
  readonly routingKey: string
  readonly properties: Buffer
  readonly body: string
  readonly isDeadLetter: boolean
  redelivered: boolean
  returns: number
}

/** What stands for an entry of an append: the messages it would store. */
export interface StageEntry {
  readonly queue: StageQueue
  readonly messages: readonly StageMessage[]
}

/** Its one lane is itself. */
export class StageQueue implements QueuePart, LanePart {
  readonly topic: Topic
  policy: QueuePolicy
  isDeleted = false
  isReady = true
  isFull = false
  bodyBytesMax = Infinity
  readonly queue = this
  readonly partition = 0
  readonly lanes: readonly LanePart[] = [this]
  unreadable: 'refused' | 'broken' | undefined
  /** By offset. */
  readonly all = new Map<number, StageMessage>()
  readonly ready_: number[] = []
  readonly acquired = new Set<number>()
  readonly closed = new Map<number, ClosedReason>()
  /** What channels did, in order. */
  readonly told: string[] = []
  readonly taking: QueueConsumer[] = []
  readonly rejected: number[] = []
  readonly notTaken: NewMessage[] = []
  resumed = 0
  readonly delayed = 0
  receipt = new BatchReceipt()
  #end = 0

  constructor(name: string, policy: Partial<QueuePolicy> = {}) {
    this.topic = { vhost: '/', name } as unknown as Topic
    this.policy = { ...plainPolicy, ...policy }
  }

  get messages(): number {
    return this.ready_.length
  }

  get unacknowledged(): number {
    return this.acquired.size
  }

  get consumers(): number {
    return this.taking.length
  }

  get bodies(): string[] {
    return this.ready_.map((offset) => this.at(offset).body)
  }

  at(offset: number): StageMessage {
    return this.all.get(offset) as StageMessage
  }

  async ready(): Promise<Refusal | undefined> {
    this.isReady = true
    return undefined
  }

  opened(): Promise<Refusal | undefined> {
    return this.ready()
  }

  get isVoid(): boolean {
    return this.isDeleted
  }

  add(message: NewMessage): Receipt | Refusal {
    if (this.isFull) {
      this.notTaken.push({ ...message })
      return refuse('storageFull', 'full')
    }
    this.store([this.make(message)])
    return this.receipt
  }

  make(message: NewMessage): StageMessage {
    return {
      offset: this.#end++,
      exchange: message.exchange,
      routingKey: message.routingKey,
      properties: Buffer.from(message.properties),
      body: Buffer.concat(message.body, message.bodyBytes).toString(),
      isDeadLetter: message.isDeadLetter,
      redelivered: false,
      returns: 0,
    }
  }

  store(messages: readonly StageMessage[]): void {
    for (const message of messages) {
      this.all.set(message.offset, message)
      this.ready_.push(message.offset)
    }
  }

  entriesFor(messages: readonly NewMessage[]): readonly AppendEntry[] {
    const entry: StageEntry = { queue: this, messages: messages.map((message) => this.make(message)) }
    return [entry as unknown as AppendEntry]
  }

  closings(offsets: readonly number[], reason: ClosedReason): readonly LedgerClosing[] {
    return [{ ledger: this as unknown as LedgerPart, offsets, reason }]
  }

  appended(outcome: Promise<void>): void {
    outcome.catch(() => undefined)
  }

  accepts(bodyBytes: number, ahead?: Ahead): boolean {
    const { lengthMax = Infinity } = this.policy
    if (this.messages + (ahead?.messages ?? 0) >= lengthMax && this.policy.overflow !== 'drop-head') return false
    return !this.isFull && bodyBytes <= this.bodyBytesMax
  }

  async readEach(offsets: readonly number[], see: (message: StoredMessage) => void): Promise<Refusal | undefined> {
    for (const offset of offsets) {
      if (this.unreadable === 'refused') return refuse('storageFailed', 'the log cannot be read')
      if (this.unreadable === 'broken') throw new CorruptLog('the log cannot be read')
      if (this.all.has(offset)) see(this.stored(offset))
    }
    return undefined
  }

  stored(offset: number): StoredMessage {
    const { redelivered, exchange, routingKey, properties, body, isDeadLetter } = this.at(offset)
    return {
      lane: this,
      offset,
      redelivered,
      exchange: Buffer.from(exchange),
      routingKey: Buffer.from(routingKey),
      properties,
      body: Buffer.from(body),
      isDeadLetter,
      isPlaced: false,
    }
  }

  async settled(): Promise<void> {}

  consume(consumer: QueueConsumer): Refusal | undefined {
    if (consumer.isExclusive && this.taking.length > 0)
      return refuse('exclusiveUse', `queue '${this.topic.name}' in vhost '/' in exclusive use`)
    this.taking.push(consumer)
    return undefined
  }

  cancel(consumer: QueueConsumer): void {
    this.taking.splice(this.taking.indexOf(consumer), 1)
  }

  resume(): void {
    this.resumed++
  }

  /** Gives out what can be given out, if somebody asked for it; one message to each consumer in turn. */
  pump(): void {
    if (this.resumed === 0) return
    this.resumed = 0
    for (let given = true; given && this.ready_.length > 0;) {
      given = false
      for (const consumer of this.taking) {
        if (this.ready_.length === 0 || !consumer.canTake) continue
        const offset = this.acquire(consumer.noAck)
        consumer.deliver(this.stored(offset))
        this.at(offset).redelivered = true
        given = true
      }
    }
  }

  acquire(noAck: boolean): number {
    const offset = this.ready_.shift() as number
    if (noAck) this.closed.set(offset, 'acked')
    else this.acquired.add(offset)
    return offset
  }

  async take(noAck: boolean): Promise<StoredMessage | undefined | Refusal> {
    return this.ready_.length === 0 ? undefined : this.stored(this.acquire(noAck))
  }

  close_(offset: number, reason: ClosedReason): void {
    if (!this.acquired.delete(offset)) throw new Error(`${offset} was not acquired`)
    this.closed.set(offset, reason)
  }

  acknowledge(offset: number): void {
    // Closed with a transaction already: that is all.
    if (this.closed.has(offset)) return
    this.told.push(`ack ${offset}`)
    this.close_(offset, 'acked')
  }

  giveBack(offset: number, counts: boolean): void {
    this.told.push(`back ${offset}${counts ? ' counting' : ''}`)
    if (!this.acquired.delete(offset)) throw new Error(`${offset} was not acquired`)
    if (counts) this.at(offset).returns++
    this.ready_.push(offset)
    this.ready_.sort((a, b) => a - b)
    this.resume()
  }

  reject(offset: number): void {
    this.told.push(`reject ${offset}`)
    if (this.policy.deadLetterExchange === undefined) this.close_(offset, 'rejected')
    else this.rejected.push(offset)
  }

  async purge(): Promise<number> {
    return 0
  }

  setPolicy(policy: QueuePolicy): void {
    this.policy = policy
  }

  drop(reason: CancelReason): void {
    this.isDeleted = true
    for (const consumer of this.taking.splice(0)) consumer.cancelled(reason)
  }

  async close(): Promise<void> {}
}

/** A client's side, which keeps what it was given. */
export class StageSink implements ChannelSink {
  hasRoom = true
  readonly given: (Omit<Delivery, 'exchange' | 'routingKey' | 'body'> & { body: string; routingKey: string })[] = []
  readonly ended: string[] = []

  deliver(delivery: Delivery): void {
    const { tag, consumerTag, redelivered, routingKey, properties, body } = delivery
    this.given.push({
      tag,
      consumerTag,
      redelivered,
      properties: Buffer.from(properties),
      routingKey: routingKey.toString(),
      body: body.toString(),
    })
  }

  cancelled(consumerTag: string, reason: CancelReason): void {
    this.ended.push(`${consumerTag} ${reason}`)
  }

  get bodies(): string[] {
    return this.given.map(({ body }) => body)
  }
}

export class Stage {
  readonly world: TestWorld = testWorld()
  readonly queues = new Map<string, StageQueue>()
  /** Queues by exchange and routing key; the default exchange names a queue by its key. */
  readonly routes = new Map<string, readonly string[]>()
  readonly replies = new ReplyDesk(this.world)
  readonly appends: { entries: readonly StageEntry[]; closings: readonly LedgerClosing[] }[] = []
  /** What the next appends do: nothing said, they are committed. */
  readonly failures: Error[] = []
  full: Refusal | undefined
  /** Why no topic can be made now. */
  noTopics: Refusal | undefined
  readonly host: ChannelHost

  constructor(limits: Partial<ChannelLimits> = {}) {
    const find: QueuesPart['find'] = (_, name) => this.queues.get(name)
    const queues: QueuesPart = { find, findLog: find, findStream: find }
    this.host = {
      world: this.world,
      router: this.router,
      queues,
      ledgers: this.ledgers,
      replies: this.replies,
      deadLetters: { settled: () => undefined },
      limits: { ...channelLimits, ...limits },
      produceRefusal: () => this.full,
    }
  }

  /** A topic for dead letters. */
  makeTopic(name: string): true | Refusal {
    if (this.noTopics !== undefined) return this.noTopics
    this.queue(name)
    return true
  }

  get router(): Router {
    return {
      route: (vhost, exchange, keys) => {
        if (exchange === '') return keys.filter((key, index) => this.queues.has(key) && keys.indexOf(key) === index)
        const found = keys.flatMap((key) => this.routes.get(`${exchange} ${key}`) ?? this.routes.get(exchange) ?? [])
        if (![...this.routes.keys()].some((route) => route.split(' ')[0] === exchange))
          return refuse('exchangeMissing', `no exchange '${exchange}' in vhost '${vhost}'`)
        return keys.length === 1 ? (this.routes.get(exchange) ?? found) : [...new Set(found)]
      },
    }
  }

  get ledgers(): LedgersPart {
    return {
      appendClosing: async (alongside: readonly AppendEntry[], closings: readonly LedgerClosing[]) => {
        const entries = alongside as unknown as readonly StageEntry[]
        this.appends.push({ entries, closings })
        await Promise.resolve()
        const failure = this.failures.shift()
        if (failure !== undefined) throw failure
        for (const { queue, messages } of entries) queue.store(messages)
        for (const { ledger, offsets, reason } of closings)
          for (const offset of offsets) (ledger as unknown as StageQueue).close_(offset, reason)
      },
    } as unknown as LedgersPart
  }

  queue(name: string, policy: Partial<QueuePolicy> = {}): StageQueue {
    const queue = new StageQueue(name, policy)
    this.queues.set(name, queue)
    return queue
  }

  channel(sink: ChannelSink = new StageSink(), identity: Partial<ChannelIdentity> = {}): Channel {
    return openChannel(
      this.host,
      { vhost: '/', principal: 'guest', mayImpersonate: false, mayUse: () => undefined, ...identity },
      sink,
    )
  }

  /** Until nobody asks for more. */
  pump(): void {
    while ([...this.queues.values()].some(({ resumed }) => resumed > 0))
      for (const queue of this.queues.values()) queue.pump()
  }
}

export const publication = (said: Partial<Omit<Publication, 'body'>> & { body?: string }): Publication => {
  const body = Buffer.from(said.body ?? 'body')
  return { exchange: '', routingKey: 'q', properties: Buffer.alloc(2), bodyBytes: body.length, ...said, body: [body] }
}

/** A consumer that takes at once. */
export async function consume(
  channel: Channel,
  queue: string,
  said: { readonly consumerTag?: string; readonly noAck?: boolean } = {},
): Promise<string> {
  const consumer = await channel.consume({
    queue,
    consumerTag: '',
    noAck: false,
    exclusive: false,
    arguments: [],
    ...said,
  })
  if (isRefusal(consumer)) throw new Error(consumer.why)
  consumer.start()
  return consumer.tag
}
