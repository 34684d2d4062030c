// A queue's arguments: which there are for each type of queue, what is wrong with them, and when two declarations agree.
// Promises: RabbitMQ 4.3's judgements in its order and its words; what it takes without knowing it, so do we. What it
// knows and we would not do is refused.
// Does not know: where queues are kept; what becomes of the values (queue-arguments-policy.ts).

import {
  describeField,
  fieldNumber,
  fieldText,
  fieldTypeName,
  fieldValueText,
  findField,
  sameField,
} from '../../../base/fields.ts'
import type { Field, FieldTable } from '../../../base/fields.ts'
import { refuse, type Refusal } from '../../errors.ts'
import type { DeclareQueueCall } from '../../queue-door.ts'
import type { QueueFacts, QueueType } from '../facts.ts'
import {
  ageMsOf,
  flag,
  integer,
  notNegative,
  positive,
  text,
  wordOf,
  wrongType,
  type Judge,
} from './argument-values.ts'
import { ownArguments, ownArgumentsOf } from './queue-arguments-ours.ts'
import { retryJudges } from './queue-arguments-retry.ts'

const expiryMsMax = 315_360_000_000
const priorityMax = 255
const keyBytesMax = 255
const streamSegmentBytesMax = 3_000_000_000

export const resourceName = (kind: 'queue' | 'exchange', vhost: string, name: string): string =>
  `${kind} '${name}' in vhost '${vhost}'`

// --- values -------------------------------------------------------------------------------------------------------

const expiry: Judge = (field, args) =>
  notNegative(field, args) ??
  (Number(fieldNumber(field)) > expiryMsMax ? `{value_too_large,${fieldValueText(field)}}` : undefined)
const lease: Judge = (field, args) =>
  fieldNumber(field) === 0 ? `{value_zero,${fieldValueText(field)}}` : expiry(field, args)
const priority: Judge = (field, args) =>
  notNegative(field, args) ??
  (Number(fieldNumber(field)) > priorityMax ? `{max_value_exceeded,${fieldValueText(field)}}` : undefined)
/** No message could carry it: a routing key is a short string, an argument's value a long one. */
const tooLongForKey = (field: Field): string | undefined =>
  Buffer.byteLength(fieldText(field) ?? '') > keyBytesMax
    ? `"a routing key has at most ${keyBytesMax} bytes"`
    : undefined
const deadLetterKey: Judge = (field, args) =>
  text(field, args) ??
  (findField(args, 'x-dead-letter-exchange') === undefined ? 'routing_key_but_no_dlx_defined' : tooLongForKey(field))
const version: Judge = (field, args) =>
  notNegative(field, args) ??
  (fieldNumber(field) === 2 ? undefined : `"unsupported queue version '${fieldValueText(field)}'"`)
const age: Judge = (field, args) =>
  text(field, args) ?? (ageMsOf(fieldValueText(field)) === undefined ? 'invalid_max_age' : undefined)
/** In the order RabbitMQ judges them, and then ours. */
const judges: readonly (readonly [string, Judge])[] = [
  ['x-expires', lease],
  ['x-message-ttl', expiry],
  ['x-dead-letter-exchange', text],
  ['x-dead-letter-routing-key', deadLetterKey],
  ['x-dead-letter-strategy', wordOf(['at-most-once', 'at-least-once'], 'invalid_dlx_strategy')],
  ['x-max-length', notNegative],
  ['x-max-length-bytes', notNegative],
  ['x-max-in-memory-length', notNegative],
  ['x-max-in-memory-bytes', notNegative],
  ['x-max-priority', priority],
  ['x-overflow', wordOf(['drop-head', 'reject-publish', 'reject-publish-dlx'], 'invalid_overflow')],
  ['x-queue-version', version],
  ['x-single-active-consumer', flag],
  ['x-consumer-timeout', notNegative],
  ['x-consumer-disconnected-timeout', notNegative],
  ['x-quorum-initial-group-size', positive],
  // RabbitMQ takes anything for these.
  ['x-delivery-limit', integer],
  ...retryJudges,
  ['x-max-age', age],
  ['x-stream-max-segment-size-bytes', notNegative],
  ['x-stream-filter-size-bytes', notNegative],
  ['x-initial-cluster-size', positive],
  ['x-queue-leader-locator', wordOf(['client-local', 'balanced'], 'invalid_queue_locator_arg')],
  ...ownArguments.map(({ name, judge }) => [name, judge] as const),
]

// --- types --------------------------------------------------------------------------------------------------------

const ofAll = ['x-queue-type', 'x-queue-leader-locator', 'x-max-length-bytes']
const ofQueues = [
  'x-expires',
  'x-message-ttl',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-max-length',
  'x-overflow',
  'x-single-active-consumer',
  // In RabbitMQ of quorum queues only; every ledger of ours counts.
  'x-delivery-limit',
  ...retryJudges.map(([name]) => name),
]

/** What a type knows: compared when declared again; what only another type knows is refused. */
const known: Readonly<Record<QueueType, ReadonlySet<string>>> = {
  classic: new Set([
    ...ofAll,
    ...ownArgumentsOf('classic'),
    ...ofQueues,
    'x-max-priority',
    'x-queue-mode',
    'x-queue-version',
    'x-queue-master-locator',
  ]),
  quorum: new Set([
    ...ofAll,
    ...ownArgumentsOf('quorum'),
    ...ofQueues,
    'x-dead-letter-strategy',
    'x-max-in-memory-length',
    'x-max-in-memory-bytes',
    'x-quorum-initial-group-size',
    'x-member-placement-tag',
    'x-consumer-disconnected-timeout',
    'x-consumer-timeout',
  ]),
  stream: new Set([
    ...ofAll,
    ...ownArgumentsOf('stream'),
    'x-max-age',
    'x-stream-max-segment-size-bytes',
    'x-stream-filter-size-bytes',
    'x-initial-cluster-size',
  ]),
}
const knownToSome = new Set([...known.classic, ...known.quorum, ...known.stream])
// RabbitMQ forgets to refuse this one on other types; a program that works there works here.
knownToSome.delete('x-member-placement-tag')

/** The type the arguments name; what is no type counts as classic here and is refused by judgeArguments. */
export function queueTypeOf(args: FieldTable): QueueType {
  const said = fieldText(findField(args, 'x-queue-type'))
  return said === 'quorum' || said === 'stream' ? said : 'classic'
}

/** Why no queue can be declared with these arguments; undefined: one can. */
export function judgeArguments(queue: string, args: FieldTable): Refusal | undefined {
  const exchange = findField(args, 'x-dead-letter-exchange')
  if (exchange !== undefined && exchange.type !== 'text')
    return refuse(
      'invalidArgument',
      `invalid type '${fieldTypeName(exchange)}' for arg 'x-dead-letter-exchange' in ${queue}`,
    )
  const invalid = (name: string, why: string): Refusal =>
    refuse('invalidArgument', `invalid arg '${name}' for ${queue}: ${why}`)
  const wrong = wrongQueueType(findField(args, 'x-queue-type'))
  if (wrong !== undefined) return invalid('x-queue-type', wrong)
  const type = queueTypeOf(args)
  for (const [name, judge] of judges) {
    const field = known[type].has(name) ? findField(args, name) : undefined
    const why = field === undefined ? undefined : judge(field, args)
    if (why !== undefined) return invalid(name, why)
  }
  for (const { name } of args)
    if (knownToSome.has(name) && !known[type].has(name))
      return refuse('invalidArgument', `invalid arg '${name}' for ${queue} of queue type rabbit_${type}_queue`)
  return undefined
}

function wrongQueueType(field: Field | undefined): string | undefined {
  if (field === undefined) return undefined
  if (field.type !== 'text') return wrongType(field)
  const said = fieldValueText(field)
  // RabbitMQ takes these two for "not said".
  return ['', 'undefined', 'classic', 'quorum', 'stream'].includes(said)
    ? undefined
    : `"unsupported queue type '${said}'"`
}

/** What quorum queues and streams cannot be. */
export function judgeProperties(queue: string, call: DeclareQueueCall): Refusal | undefined {
  const type = queueTypeOf(call.arguments)
  if (type === 'classic') return undefined
  const invalid = (property: string): Refusal =>
    refuse('invalidArgument', `invalid property '${property}' for ${queue}`)
  if (call.autoDelete) return invalid('auto-delete')
  if (call.exclusive) return invalid('exclusive-owner')
  return call.durable ? (type === 'stream' ? judgeStream(call.arguments) : undefined) : invalid('non-durable')
}

function judgeStream(args: FieldTable): Refusal | undefined {
  const segmentBytes = fieldNumber(findField(args, 'x-stream-max-segment-size-bytes')) ?? 0
  if (segmentBytes > streamSegmentBytesMax)
    return refuse('invalidArgument', 'Exceeded max value for x-stream-max-segment-size-bytes')
  const filterBytes = fieldNumber(findField(args, 'x-stream-filter-size-bytes')) ?? 16
  return filterBytes < 16 || filterBytes > 255
    ? refuse('invalidArgument', 'Invalid value for x-stream-filter-size-bytes')
    : undefined
}

// --- declared again -----------------------------------------------------------------------------------------------

/** Why a queue that is there cannot be declared like this; undefined: it is the same. */
export function judgeEquivalence(queue: string, facts: QueueFacts, call: DeclareQueueCall): Refusal | undefined {
  // An exclusive queue is never durable, whatever was said.
  const durable = call.durable && !call.exclusive
  const different = (name: string, received: string, current: string): Refusal =>
    refuse(
      'inequivalentDeclaration',
      `inequivalent arg '${name}' for ${queue}: received ${received} but current is ${current}`,
    )
  if (durable !== facts.durable) return different('durable', `'${durable}'`, `'${facts.durable}'`)
  if (call.autoDelete !== facts.autoDelete)
    return different('auto_delete', `'${call.autoDelete}'`, `'${facts.autoDelete}'`)
  for (const name of known[queueTypeOf(facts.arguments)]) {
    const current = effective(facts.arguments, name)
    const received = effective(call.arguments, name)
    if (current === undefined && received === undefined) continue
    if (current !== undefined && received !== undefined) {
      if (!isSame(current, received))
        return different(name, `'${fieldValueText(received)}'`, `'${fieldValueText(current)}'`)
    } else return different(name, describeField(received), describeField(current))
  }
  return undefined
}

const classicField: Field = { type: 'text', value: Buffer.from('classic') }

/** Who names no type means classic: the vhost's default type, which RabbitMQ writes into the declaration. */
const effective = (args: FieldTable, name: string): Field | undefined =>
  findField(args, name) ?? (name === 'x-queue-type' ? classicField : undefined)

/** Numbers of any width are one class, fractions another. */
function isSame(one: Field, other: Field): boolean {
  const [number, same] = [fieldNumber(one), fieldNumber(other)]
  if (number !== undefined || same !== undefined) return number === same
  if (isFraction(one) && isFraction(other)) return one.value === other.value
  if (one.type === 'table') return sameField(one, other)
  return one.type === other.type && fieldValueText(one) === fieldValueText(other)
}

const isFraction = (field: Field): field is Field & { readonly value: number } =>
  field.type === 'float32' || field.type === 'float64'
