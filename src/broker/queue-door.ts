// The door's vocabulary for queues: exchanges, queues, channels, deliveries, and the values that pass.
// Promises: types only, in the broker's own words; outcomes are values or refusals, never wire codes.
// Does not know: any protocol's frames. Properties travel as AMQP 0-9-1 writes them, because that is what is stored.

import type { FieldTable } from '../base/fields.ts'
import type { Refusal } from './errors.ts'

export type ExchangeType = string

export interface DeclareExchangeCall {
  readonly name: string
  readonly type: ExchangeType
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: FieldTable
}

export interface BindCall {
  readonly source: string
  /** The queue or exchange that is bound. */
  readonly destination: string
  readonly destinationKind: 'queue' | 'exchange'
  readonly routingKey: string
  readonly arguments: FieldTable
}

export interface DeclareQueueCall {
  /** '': the broker makes up a name, `amq.gen-…`. */
  readonly name: string
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  readonly arguments: FieldTable
}

/** What declare answers: messages are those ready to be delivered, unacknowledged ones are not counted. */
export interface QueueCount {
  readonly name: string
  readonly messages: number
  readonly consumers: number
}

/** Where a queue goes on: one place in each of its partitions. */
export type RewindTo =
  | { readonly kind: 'first' }
  | { readonly kind: 'next' }
  | { readonly kind: 'offset'; readonly offset: number }
  /** The first message stored at that time or later, ms since 1970. */
  | { readonly kind: 'time'; readonly timeMs: number }

export interface RewoundPartition {
  readonly partition: number
  /** The first that is delivered again. */
  readonly offset: number
  /** What was asked for, or may have been, is not kept any more: it begins with what is. */
  readonly isCut: boolean
}

// --- publishing ---------------------------------------------------------------------------------------------------

/** One published message. All slices are the caller's again when publish() returns. May be one object used again. */
export interface Publication {
  exchange: string
  routingKey: string
  /** Property flags and list of class basic, as on the wire; judged by the broker (DecodeError is thrown). */
  properties: Buffer
  /** The body, in order. */
  body: readonly Buffer[]
  bodyBytes: number
}

/**
 * The promise of what was published: kept for the whole of a batch, so that consecutive publishes often get the
 * very same receipt; whoever waits for many compares it by identity and waits once.
 */
export interface Receipt {
  /** `stored`: the promise of the queue's durability holds. `refused`: some queue did not take it (nack). */
  readonly state: 'pending' | 'stored' | 'refused'
  /** Calls `done` once the state is no longer pending; not during the call. */
  whenSettled(done: () => void): void
}

/**
 * 'unroutable': no queue took it, and nothing failed: returned when mandatory, confirmed in any case. In a transaction
 * routing is decided at the publish and the return belongs before the answer to its commit (none after a rollback).
 */
export type Published = Receipt | 'unroutable' | Refusal

// --- deliveries ---------------------------------------------------------------------------------------------------

/** One message on its way to a consumer. The object is used again and its slices are valid during the call only. */
export interface Delivery {
  /** Counts from 1 in its channel, deliveries and gets together. */
  tag: number
  consumerTag: string
  redelivered: boolean
  /** Bytes of the names as they were published. */
  exchange: Buffer
  routingKey: Buffer
  properties: Buffer
  body: Buffer
}

/** A message fetched by get(): its slices are the caller's to keep. */
export interface Got {
  readonly tag: number
  readonly redelivered: boolean
  readonly exchange: Buffer
  readonly routingKey: Buffer
  readonly properties: Buffer
  readonly body: Buffer
  /** Messages still ready in the queue. */
  readonly messages: number
}

export interface ConsumeCall {
  readonly queue: string
  /** '': the broker makes one up, `amq.ctag-…`. */
  readonly consumerTag: string
  readonly noAck: boolean
  readonly exclusive: boolean
  readonly arguments: FieldTable
}

/** Why the broker ended a consumer. */
export type CancelReason = 'queueDeleted' | 'consumerTimeout' | 'accessLost' | 'shuttingDown'

/** Where the deliveries of a channel go: one socket's side. */
export interface ChannelSink {
  /** False while the socket holds more than it should: nothing is delivered until Channel.resume(). */
  readonly hasRoom: boolean
  deliver(delivery: Delivery): void
  /** The broker ended a consumer; what it holds unacknowledged stays with the channel. */
  cancelled(consumerTag: string, reason: CancelReason): void
}

export interface Consumer {
  readonly tag: string
  /** Deliveries begin: called once the answer to consume is on its way. */
  start(): void
}

/**
 * What one client publishes and is given in order: its prefetch, its unsettled deliveries, its transaction.
 * Calls are made in the client's order; a call that answers a promise is followed by the next one only when it is
 * answered. Publishes of the same channel to the same queue keep their order.
 */
export interface Channel {
  publish(publication: Publication): Published
  consume(call: ConsumeCall): Promise<Consumer | Refusal>
  /** Unknown tags are no fault. What the consumer holds stays unsettled. */
  cancel(consumerTag: string): Promise<void>
  /** undefined: the queue is empty. */
  get(queue: string, noAck: boolean): Promise<Got | undefined | Refusal>
  /** tag 0 with multiple: all. Refused as preconditionFailed when a tag is unknown. */
  acknowledge(tag: number, multiple: boolean): true | Refusal
  /**
   * Requeued to its original position, or dropped (dead-lettered when the queue says where). `counts`: whether a
   * requeue counts towards a delivery limit (reject does, nack does not).
   */
  reject(tag: number, multiple: boolean, requeue: boolean, counts: boolean): true | Refusal
  /** Everything unsettled is requeued. */
  recover(): void
  /** 0: no limit. 'consumer': for each consumer that comes later; 'channel': for all of them together. */
  setPrefetch(count: number, scope: 'consumer' | 'channel'): void
  /** The client stops or restarts all deliveries of the channel (channel.flow). */
  setFlow(active: boolean): void
  /** From now on publishes and settlements are kept until commit(). */
  beginTransactions(): void
  /** One atomic append of everything kept. */
  commit(): Promise<true | Refusal>
  rollback(): void
  /** The sink has room again. */
  resume(): void
  /** Ends its consumers and requeues what is unsettled. */
  close(): void
}

// --- what operators see -------------------------------------------------------------------------------------------

/** The topic whose log a queue is over, and what of it is kept. */
export interface QueueTopicView {
  readonly name: string
  readonly origin: 'kafka' | 'amqp'
  readonly partitions: number
  readonly cleanupPolicy: string
  /** With cleanup.policy=consumed of what is worked off, 0: nothing; else of everything, −1: no limit. */
  readonly retentionMs: number
  readonly retentionBytes: number
  readonly holdGroups: readonly string[]
}

export interface QueueView {
  readonly name: string
  readonly type: 'classic' | 'quorum' | 'stream'
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  readonly arguments: FieldTable
  readonly policy: string | undefined
  readonly operatorPolicy: string | undefined
  /** undefined: the queue's log was not opened since the start, so nobody has counted. */
  readonly ready: number | undefined
  readonly unacknowledged: number
  /** Came back, and wait for their next try. */
  readonly delayed: number
  readonly consumers: number
  readonly bytes: number
  readonly topic: QueueTopicView
}

export interface ExchangeView {
  readonly name: string
  readonly type: ExchangeType
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: FieldTable
  readonly policy: string | undefined
}

export interface PolicyCall {
  readonly name: string
  readonly pattern: string
  readonly appliesTo: 'queues' | 'classic_queues' | 'quorum_queues' | 'streams' | 'exchanges' | 'all'
  readonly priority: number
  /** By RabbitMQ's policy keys: `message-ttl`, `dead-letter-exchange` … */
  readonly definition: Readonly<Record<string, string | number | boolean>>
}

export interface PolicyView extends PolicyCall {
  readonly isOperators: boolean
}

// --- dead letters sent back ---------------------------------------------------------------------------------------

/** How far a redrive is: the caller's to keep from step to step. */
export interface RedrivePlace {
  /** Which partition of those the source has, and its next offset. */
  readonly lane: number
  readonly from: number
  /** Where each partition begins. */
  readonly begin: number
  /** Where each ended when it began: what comes later is left. */
  readonly ends: readonly number[]
}

export interface RedriveCall {
  /** A queue, whose messages are moved, or a topic that is none, whose messages are copied. */
  readonly source: string
  /** undefined: where each message was when it first died. */
  readonly target: string | undefined
  /** All have to hold: `key=PATTERN`, `header:NAME=VALUE`, `reason=REASON`, `queue=NAME`. */
  readonly filters: readonly string[]
  /** Only looks. */
  readonly isDryRun: boolean
  /** The first offset, of each partition. */
  readonly from: number
  readonly messagesMax: number
  /** As the step before answered; undefined: this is the first. */
  readonly place: RedrivePlace | undefined
}

export interface RedriveSample {
  readonly partition: number
  readonly offset: number
  readonly exchange: string
  readonly routingKey: string
  readonly reason: string | undefined
  readonly queue: string | undefined
  /** undefined: its headers do not say. */
  readonly to: string | undefined
}

export interface RedriveStep {
  readonly looked: number
  /** Of a dry run: would be. */
  readonly moved: number
  readonly filtered: number
  /** Nobody says where to, or that is not there. */
  readonly stranded: number
  /** Their target takes no more now. */
  readonly notTaken: number
  readonly samples: readonly RedriveSample[]
  /** undefined: that was all. */
  readonly next: RedrivePlace | undefined
}

/** Exchanges, queues and channels, behind the door. Every promise is answered after what it promises is committed. */
export interface QueueCalls {
  declareExchange(call: DeclareExchangeCall): Promise<true | Refusal>
  /** Passive declare. */
  checkExchange(name: string): true | Refusal
  deleteExchange(name: string, ifUnused: boolean): Promise<true | Refusal>
  bind(call: BindCall): Promise<true | Refusal>
  unbind(call: BindCall): Promise<true | Refusal>
  declareQueue(call: DeclareQueueCall): Promise<QueueCount | Refusal>
  /** Passive declare: counts after all that was published before it is stored. */
  checkQueue(name: string): Promise<QueueCount | Refusal>
  /** Answers how many ready messages went with it; 0 for a queue that is not there. */
  deleteQueue(name: string, only: { readonly ifUnused: boolean; readonly ifEmpty: boolean }): Promise<number | Refusal>
  purgeQueue(name: string): Promise<number | Refusal>
  /**
   * The queue's ledger begins anew there: what lies behind it is ready, what lies before it is none of the queue's.
   * Consumers stay; what they hold is nobody's any more, and settling it gives back their credit and nothing else.
   */
  rewindQueue(name: string, to: RewindTo): Promise<readonly RewoundPartition[] | Refusal>
  openChannel(sink: ChannelSink): Channel
  /** Why publishes are refused for want of room; undefined: they are not. `changed` is called when that changes. */
  storagePressure(): string | undefined
  watchPressure(changed: () => void): () => void
  /** One step of it. */
  redrive(call: RedriveCall): Promise<RedriveStep | Refusal>
  listQueues(): Promise<readonly QueueView[]>
  describeQueue(name: string): Promise<QueueView | Refusal>
  listExchanges(): readonly ExchangeView[] | Refusal
  listBindings(): readonly BindCall[] | Refusal
  listPolicies(): readonly PolicyView[] | Refusal
  setPolicy(policy: PolicyCall, isOperators: boolean): Promise<true | Refusal>
  deletePolicy(name: string, isOperators: boolean): Promise<true | Refusal>
  /** The client is gone: its exclusive queues are deleted. Its channels were closed before. */
  close(): Promise<void>
}
