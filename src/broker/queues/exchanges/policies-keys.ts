// The settings a policy may make: which there are, what their values are, for which queues they count, and how an
// operators' policy and a users' policy become one.
// Promises: RabbitMQ's judgements in RabbitMQ's words (rabbit_policies.erl, rabbit_quorum_queue.erl). What we would not
// do is refused.
// Does not know: names, patterns and priorities of policies; what a setting does to a queue.

import { judgeTopicName } from '../../streams/topic-names.ts'
import type { QueueType } from '../facts.ts'

export type PolicyValue = string | number | boolean
export type PolicyDefinition = Readonly<Record<string, PolicyValue>>

interface KeyRow {
  /** Completes "… is not a valid". */
  readonly what: string
  isValid(value: PolicyValue): boolean
  /** May stand in a policy of the operators. */
  readonly forOperators?: true
  /** Queues of these types do not take a policy with this key at all. */
  readonly notFor?: readonly QueueType[]
}

const isText = (value: PolicyValue): boolean => typeof value === 'string'
/** What a message's routing key may be: a short string. */
const isKey = (value: PolicyValue): boolean => typeof value === 'string' && Buffer.byteLength(value) <= 255
/** What Kafka takes for a topic's name. */
const isTopic = (value: PolicyValue): boolean => typeof value === 'string' && judgeTopicName(value) === undefined
const from =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (value: PolicyValue) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
const isFraction = (value: PolicyValue): boolean => typeof value === 'number' && value >= 0 && value <= 1
const oneOf =
  (...values: readonly PolicyValue[]) =>
  (value: PolicyValue) =>
    values.includes(value)

/** Of settings that RabbitMQ has and we do not: they would be promises. */
const never = (): boolean => false
const onlyAsArgument = 'a stream is given it by its argument x-stream-max-segment-size-bytes'
const operators = { forOperators: true } as const
const notForStreams = { notFor: ['stream'] } as const
const streamsOnly = { notFor: ['classic', 'quorum'] } as const
const quorumOnly = { notFor: ['classic', 'stream'] } as const

const rows: ReadonlyMap<string, KeyRow> = new Map<string, KeyRow>([
  ['alternate-exchange', { what: 'alternate exchange name', isValid: isText }],
  ['consumer-timeout', { what: 'consumer timeout', isValid: from(0) }],
  ['consumer-disconnected-timeout', { what: 'consumer disconnected timeout', isValid: from(0) }],
  ['dead-letter-exchange', { what: 'dead letter exchange name', isValid: isText, ...notForStreams }],
  ['dead-letter-topic', { what: 'dead letter topic name', isValid: isTopic, ...notForStreams }],
  ['dead-letter-routing-key', { what: 'dead letter routing key', isValid: isKey, ...notForStreams }],
  [
    'dead-letter-strategy',
    { what: 'dead letter strategy', isValid: oneOf('at-most-once', 'at-least-once'), ...quorumOnly },
  ],
  ['message-ttl', { what: 'message TTL', isValid: from(0), ...operators, ...notForStreams }],
  ['expires', { what: 'queue expiry', isValid: from(1), ...operators, ...notForStreams }],
  ['max-length', { what: 'maximum length', isValid: from(0), ...operators, ...notForStreams }],
  ['max-length-bytes', { what: 'maximum length in bytes', isValid: from(0), ...operators }],
  ['max-in-memory-length', { what: 'maximum memory in bytes', isValid: from(0), ...operators, ...quorumOnly }],
  ['max-in-memory-bytes', { what: 'maximum memory in bytes', isValid: from(0), ...operators, ...quorumOnly }],
  [
    'overflow',
    {
      what: 'overflow value',
      isValid: oneOf('drop-head', 'reject-publish', 'reject-publish-dlx'),
      ...operators,
      ...notForStreams,
    },
  ],
  ['delivery-limit', { what: 'delivery limit', isValid: Number.isInteger, ...operators, ...quorumOnly }],
  ['queue-mode', { what: 'queue-mode value', isValid: oneOf('default', 'lazy'), notFor: ['quorum', 'stream'] }],
  ['queue-version', { what: 'queue-version value', isValid: oneOf(1, 2), ...operators }],
  ['max-age', { what: 'max age', isValid: isMaxAge, ...streamsOnly }],
  ['stream-max-segment-size-bytes', { what: `segment size: ${onlyAsArgument}`, isValid: never, ...streamsOnly }],
  ['stream-filter-size-bytes', { what: 'filter size. Valid range is 16-255', isValid: from(16, 255) }],
  [
    'queue-leader-locator',
    {
      what: 'queue leader locator value',
      isValid: oneOf('client-local', 'balanced', 'random', 'least-leaders'),
    },
  ],
  ['initial-cluster-size', { what: 'cluster size', isValid: from(0), ...streamsOnly }],
  ['target-group-size', { what: 'qq target count value', isValid: from(1), ...operators, ...quorumOnly }],
  [
    'delayed-retry-type',
    {
      what: 'delayed retry type',
      isValid: oneOf('disabled', 'all', 'failed', 'returned'),
      ...operators,
      ...notForStreams,
    },
  ],
  ['delayed-retry-min', { what: 'delayed retry minimum delay', isValid: from(0), ...operators, ...notForStreams }],
  ['delayed-retry-max', { what: 'delayed retry maximum delay', isValid: from(0), ...operators, ...notForStreams }],
  [
    'delayed-retry-backoff',
    { what: 'delayed retry backoff', isValid: oneOf('fixed', 'linear', 'exponential'), ...operators, ...notForStreams },
  ],
  [
    'delayed-retry-jitter',
    { what: 'delayed retry jitter, a number from 0 to 1', isValid: isFraction, ...operators, ...notForStreams },
  ],
])

/** A number and a unit: years, months, days, hours, minutes, seconds. */
function isMaxAge(value: PolicyValue): boolean {
  return typeof value === 'string' && /^0*[1-9]\d*[YMDhms]$/.test(value)
}

/** As Erlang prints a value. */
const printed = (value: PolicyValue): string => (typeof value === 'string' ? `<<"${value}">>` : String(value))

/** What is wrong with the settings; undefined: nothing. */
export function definitionFault(definition: PolicyDefinition, isOperators: boolean): string | undefined {
  const settings = Object.entries(definition)
  if (settings.length === 0) return 'no policy provided'
  const unknown = settings.filter(([name]) => {
    const row = rows.get(name)
    return row === undefined || (isOperators && row.forOperators !== true)
  })
  if (unknown.length > 0) {
    const names = unknown.map(([name, value]) => `{<<"${name}">>,${printed(value)}}`)
    return `[${names.join(',')}] are not recognised policy settings`
  }
  for (const [name, value] of settings) {
    const row = rows.get(name)
    if (row?.isValid(value) === false) return `${printed(value)} is not a valid ${row.what}`
  }
  if (definition['dead-letter-exchange'] !== undefined && definition['dead-letter-topic'] !== undefined)
    return 'a dead letter goes to an exchange or to a topic, not to both'
  return undefined
}

/** Whether queues of the type take a policy of these settings: one they do not know keeps all of it off. */
export function appliesToType(definition: PolicyDefinition, type: QueueType): boolean {
  return Object.keys(definition).every((name) => rows.get(name)?.notFor?.includes(type) !== true)
}

/** Both set: of two numbers the smaller, of all else what the operators say. */
export function mergedDefinitions(users: PolicyDefinition, operators: PolicyDefinition): PolicyDefinition {
  const merged: Record<string, PolicyValue> = { ...users }
  for (const [name, value] of Object.entries(operators)) {
    const other = merged[name]
    merged[name] = other === undefined ? value : mergedValue(name, other, value)
  }
  return merged
}

function mergedValue(name: string, users: PolicyValue, operators: PolicyValue): PolicyValue {
  if (typeof users !== 'number' || typeof operators !== 'number' || name === 'queue-version') return operators
  // A negative limit of deliveries is none at all: then the other one is the stricter.
  if (name === 'delivery-limit' && (users < 0 || operators < 0)) return Math.max(users, operators)
  return Math.min(users, operators)
}
