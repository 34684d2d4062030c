// Facts of queues, exchanges and bindings: what their declarations say, and what follows from arguments and policies.
// Promises: plain values; nothing here changes once made.
// Does not know: how they are stored (catalog, topology) or what is done with them.

import type { FieldTable } from '../../base/fields.ts'

/** What makes a topic a queue too: its declaration. Kept with the topic in the catalog. */
export interface QueueFacts {
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  /** The arguments of the first declare, as they came. */
  readonly arguments: FieldTable
}

export interface ExchangeFacts {
  readonly vhost: string
  readonly name: string
  readonly type: string
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: FieldTable
}

export interface BindingFacts {
  readonly vhost: string
  readonly source: string
  readonly destination: string
  readonly destinationKind: 'queue' | 'exchange'
  readonly routingKey: string
  readonly arguments: FieldTable
}

export type QueueType = 'classic' | 'quorum' | 'stream'
export type Overflow = 'drop-head' | 'reject-publish' | 'reject-publish-dlx'

/** What comes back waits before it is ready again. */
export interface RetryPolicy {
  /** Which: those whose return counts as a failed delivery, the others, all. */
  readonly of: 'all' | 'failed' | 'returned'
  readonly backoff: 'fixed' | 'linear' | 'exponential'
  readonly minMs: number
  readonly maxMs: number
  /** The fraction of a delay by which it may be longer: 0 to 1. */
  readonly jitter: number
}

/** A queue's arguments, its policy and its operator policy, read into what the broker works with. undefined: not set. */
export interface QueuePolicy {
  readonly type: QueueType
  readonly messageTtlMs: number | undefined
  /** Unused for this long, the queue is deleted. */
  readonly expiresMs: number | undefined
  /** Most ready messages. */
  readonly lengthMax: number | undefined
  /** Most bytes of ready bodies. */
  readonly lengthBytesMax: number | undefined
  readonly overflow: Overflow
  readonly deadLetterExchange: string | undefined
  /** A topic or queue of this name, instead of an exchange. */
  readonly deadLetterTopic: string | undefined
  readonly deadLetterRoutingKey: string | undefined
  /** Highest priority; 0: all messages are equal. Levels are 0 to this. */
  readonly priorityMax: number
  /** Priority of a message that does not say. */
  readonly priorityDefault: number
  readonly singleActiveConsumer: boolean
  /** How often a message may come back before it is dead-lettered or dropped. */
  readonly deliveryLimit: number | undefined
  /** undefined: what comes back is ready at once. */
  readonly retry: RetryPolicy | undefined
  /** A delivery unacknowledged for this long ends its consumer. */
  readonly consumerTimeoutMs: number | undefined
  /** Streams only: retention. */
  readonly maxAgeMs: number | undefined
}

/** Of a queue without arguments and policies. */
export const plainPolicy: QueuePolicy = {
  type: 'classic',
  messageTtlMs: undefined,
  expiresMs: undefined,
  lengthMax: undefined,
  lengthBytesMax: undefined,
  overflow: 'drop-head',
  deadLetterExchange: undefined,
  deadLetterTopic: undefined,
  deadLetterRoutingKey: undefined,
  priorityMax: 0,
  priorityDefault: 0,
  singleActiveConsumer: false,
  deliveryLimit: undefined,
  retry: undefined,
  consumerTimeoutMs: undefined,
  maxAgeMs: undefined,
}

/** Whether what leaves unacknowledged has somewhere to go. */
export const isDeadLettered = ({ deadLetterExchange, deadLetterTopic }: QueuePolicy): boolean =>
  deadLetterExchange !== undefined || deadLetterTopic !== undefined
