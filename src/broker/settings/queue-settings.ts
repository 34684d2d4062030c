// What a topic's settings tell of the queue over it: facts of its declaration and its policies, to be read, not set.
// Promises: each is in force as shown; names that no setting of Kafka has.
// Does not know: how a queue is declared, who asks.

import type { QueuePolicy } from '../queues/facts.ts'
import type { SettingType } from './setting-values.ts'

export interface QueueSetting {
  readonly name: string
  readonly value: string
  readonly type: SettingType
  readonly documentation: string
}

/** All of them begin with it. */
export const queueSettingPrefix = 'queue.'

interface QueueSettingRow {
  readonly name: string
  readonly type: SettingType
  /** undefined: the queue has none. */
  readonly value: (policy: QueuePolicy) => string | number | undefined
  readonly documentation: string
}

const hasNumber = (value: number): number | undefined => (value === 0 ? undefined : value)
const isLimited = ({ lengthMax, lengthBytesMax }: QueuePolicy): boolean =>
  lengthMax !== undefined || lengthBytesMax !== undefined

/** Sorted by name. */
export const queueSettingRows: readonly QueueSettingRow[] = [
  {
    name: 'queue.dead.letter.exchange',
    type: 'string',
    value: (policy) => policy.deadLetterExchange,
    documentation: 'Where messages go that are rejected, expire or are pushed out.',
  },
  {
    name: 'queue.dead.letter.routing.key',
    type: 'string',
    value: (policy) => policy.deadLetterRoutingKey,
    documentation: 'The routing key they go with.',
  },
  {
    name: 'queue.dead.letter.topic',
    type: 'string',
    value: (policy) => policy.deadLetterTopic,
    documentation: 'The topic where messages go that are rejected, expire or are pushed out.',
  },
  {
    name: 'queue.delayed.retry.backoff',
    type: 'string',
    value: (policy) => policy.retry?.backoff,
    documentation: 'How the delay before the next try grows: fixed, linear or exponential.',
  },
  {
    name: 'queue.delayed.retry.jitter',
    type: 'double',
    value: (policy) => hasNumber(policy.retry?.jitter ?? 0),
    documentation: 'The fraction by which a delay may be longer.',
  },
  {
    name: 'queue.delayed.retry.max.ms',
    type: 'long',
    value: (policy) => policy.retry?.maxMs,
    documentation: 'The longest delay before the next try, jitter apart.',
  },
  {
    name: 'queue.delayed.retry.min.ms',
    type: 'long',
    value: (policy) => policy.retry?.minMs,
    documentation: 'The shortest delay before the next try.',
  },
  {
    name: 'queue.delayed.retry.type',
    type: 'string',
    value: (policy) => policy.retry?.of,
    documentation: 'What comes back waits for its next try: all of it, failed deliveries, or the others.',
  },
  {
    name: 'queue.delivery.limit',
    type: 'int',
    value: (policy) => policy.deliveryLimit,
    documentation: 'How often a message may come back.',
  },
  {
    name: 'queue.expires.ms',
    type: 'long',
    value: (policy) => policy.expiresMs,
    documentation: 'The queue is deleted when nobody used it for this long.',
  },
  {
    name: 'queue.max.length',
    type: 'long',
    value: (policy) => policy.lengthMax,
    documentation: 'Most messages that may wait in the queue.',
  },
  {
    name: 'queue.max.length.bytes',
    type: 'long',
    value: (policy) => (policy.type === 'stream' ? undefined : policy.lengthBytesMax),
    documentation: 'Most bytes of bodies that may wait in the queue.',
  },
  {
    name: 'queue.max.priority',
    type: 'int',
    value: (policy) => hasNumber(policy.priorityMax),
    documentation: 'The highest priority of a message.',
  },
  {
    name: 'queue.message.ttl.ms',
    type: 'long',
    value: (policy) => policy.messageTtlMs,
    documentation: 'A message that waits for longer than this leaves the queue.',
  },
  {
    name: 'queue.overflow',
    type: 'string',
    value: (policy) => (policy.type !== 'stream' && isLimited(policy) ? policy.overflow : undefined),
    documentation: 'What happens when the queue is too long.',
  },
  {
    name: 'queue.type',
    type: 'string',
    value: (policy) => policy.type,
    documentation: 'What the queue was declared as: classic, quorum or stream.',
  },
]

export const queueSettingsOf = (policy: QueuePolicy): QueueSetting[] =>
  queueSettingRows.flatMap(({ name, type, value, documentation }) => {
    const shown = value(policy)
    return shown === undefined ? [] : [{ name, type, value: String(shown), documentation }]
  })
