// What a queue's arguments and the policies on it come to: the values the broker works with.
// Promises: of two numbers the smaller counts, of other things the argument (on quorum queues: of overflow the policy's),
// as in RabbitMQ. Never fails on arguments that were judged.
// Does not know: which policy matches a queue (topology), who applies the values.

import { fieldNumber, fieldText, findField, type FieldTable } from '../../../base/fields.ts'
import type { Overflow, QueueFacts, QueuePolicy, QueueType } from '../facts.ts'
import { retryOf } from './queue-arguments-retry.ts'
import { ageMsOf } from './argument-values.ts'
import { queueTypeOf } from './queue-arguments.ts'

/** What policies say, by RabbitMQ's keys. */
export type PolicyDefinition = Readonly<Record<string, string | number | boolean>>

const nothing: PolicyDefinition = {}
/** RabbitMQ's ?DEFAULT_DELIVERY_LIMIT of quorum queues. */
const deliveryLimitByDefault = 20
/** Quorum queues since 4.3 have 32 levels, always. */
const quorumLevels = { max: 31, byDefault: 4 } as const

export function compileQueue(facts: QueueFacts, definition: PolicyDefinition = nothing): QueuePolicy {
  const args = facts.arguments
  const type = queueTypeOf(args)
  const least = (key: string): number | undefined => smaller(numberIn(definition, key), argument(args, key))
  const word = (key: string): string | undefined => fieldText(findField(args, `x-${key}`)) ?? textIn(definition, key)
  const deadLetterExchange = type === 'stream' ? undefined : deadLetterTo('exchange', args, definition)
  return {
    type,
    messageTtlMs: least('message-ttl'),
    expiresMs: least('expires'),
    lengthMax: type === 'stream' ? undefined : least('max-length'),
    lengthBytesMax: least('max-length-bytes'),
    overflow: overflowOf(type, args, definition),
    deadLetterExchange,
    deadLetterTopic: type === 'stream' ? undefined : deadLetterTo('topic', args, definition),
    deadLetterRoutingKey: deadLetterExchange === undefined ? undefined : word('dead-letter-routing-key'),
    priorityMax: type === 'quorum' ? quorumLevels.max : (fieldNumber(findField(args, 'x-max-priority')) ?? 0),
    priorityDefault: type === 'quorum' ? quorumLevels.byDefault : 0,
    singleActiveConsumer: isTrue(args, 'x-single-active-consumer'),
    deliveryLimit: type === 'stream' ? undefined : deliveryLimit(type, args, definition),
    retry: type === 'stream' ? undefined : retryOf(args, definition),
    // 0 and nothing said: no timeout.
    consumerTimeoutMs: least('consumer-timeout') || undefined,
    maxAgeMs: type === 'stream' ? maxAge(args, definition) : undefined,
  }
}

/** Exchange or topic: the policy's counts only when the arguments name neither. */
function deadLetterTo(kind: 'exchange' | 'topic', args: FieldTable, definition: PolicyDefinition): string | undefined {
  const said = (key: string): string | undefined => fieldText(findField(args, `x-${key}`))
  if ((said('dead-letter-exchange') ?? said('dead-letter-topic')) !== undefined) return said(`dead-letter-${kind}`)
  return textIn(definition, `dead-letter-${kind}`)
}

const argument = (args: FieldTable, key: string): number | undefined => fieldNumber(findField(args, `x-${key}`))

function numberIn(definition: PolicyDefinition, key: string): number | undefined {
  const value = definition[key]
  return typeof value === 'number' ? value : undefined
}

function textIn(definition: PolicyDefinition, key: string): string | undefined {
  const value = definition[key]
  return typeof value === 'string' ? value : undefined
}

function smaller(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return Math.min(one, other)
}

function isTrue(args: FieldTable, name: string): boolean {
  const field = findField(args, name)
  return field?.type === 'bool' && field.value
}

function overflowOf(type: QueueType, args: FieldTable, definition: PolicyDefinition): Overflow {
  const said = fieldText(findField(args, 'x-overflow'))
  const policy = textIn(definition, 'overflow')
  const chosen = type === 'quorum' ? (policy ?? said) : (said ?? policy)
  // Of quorum queues too: RabbitMQ takes reject-publish-dlx there and drops the head.
  return chosen === 'reject-publish' || chosen === 'reject-publish-dlx' ? chosen : 'drop-head'
}

/** A negative limit is none; when one of two is negative the other counts. */
function deliveryLimit(type: QueueType, args: FieldTable, definition: PolicyDefinition): number | undefined {
  const policy = numberIn(definition, 'delivery-limit')
  const said = argument(args, 'delivery-limit')
  const isOff = (policy ?? 0) < 0 || (said ?? 0) < 0
  const limit =
    policy === undefined || said === undefined
      ? (policy ?? said ?? (type === 'quorum' ? deliveryLimitByDefault : -1))
      : isOff
        ? Math.max(policy, said)
        : Math.min(policy, said)
  return limit < 0 ? undefined : limit
}

function maxAge(args: FieldTable, definition: PolicyDefinition): number | undefined {
  const said = ageMsOf(fieldText(findField(args, 'x-max-age')) ?? '')
  return smaller(said, ageMsOf(textIn(definition, 'max-age') ?? ''))
}
