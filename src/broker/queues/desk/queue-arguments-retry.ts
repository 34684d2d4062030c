// A queue's delayed retry and its dead letter topic: RabbitMQ 4.3's arguments of quorum queues, and the shapes of ours.
// Promises: every type of queue with a ledger knows them; without a type of return and a shortest delay nothing waits.
// Does not know: who waits, how long a delay comes to (retry-delay.ts).

import { fieldNumber, fieldText, fieldTypeName, fieldValueText, findField } from '../../../base/fields.ts'
import type { Field, FieldTable } from '../../../base/fields.ts'
import { judgeTopicName } from '../../streams/topic-names.ts'
import type { RetryPolicy } from '../facts.ts'
import { notNegative, text, wordOf, type Judge } from './argument-values.ts'

const types = ['all', 'failed', 'returned'] as const
const backoffs = ['fixed', 'linear', 'exponential'] as const
const delayMsMax = 315_360_000_000

export const retryTypes: readonly string[] = ['disabled', ...types]
export const retryBackoffs: readonly string[] = backoffs

const delay: Judge = (field, args) =>
  notNegative(field, args) ??
  (Number(fieldNumber(field)) > delayMsMax ? `{value_too_large,${fieldValueText(field)}}` : undefined)

/** A whole number or a fraction. */
function numberOf(field: Field | undefined): number | undefined {
  if (field?.type === 'float32' || field?.type === 'float64') return field.value
  return fieldNumber(field)
}

const isFraction = (value: number): boolean => value >= 0 && value <= 1

const jitter: Judge = (field) => {
  const value = numberOf(field)
  if (value === undefined) return `"expected a number from 0 to 1, got ${fieldTypeName(field)}"`
  return isFraction(value) ? undefined : `"expected a number from 0 to 1, got ${value}"`
}

const deadLetterTopic: Judge = (field, args) => {
  const wrong = text(field, args) ?? topicFault(fieldValueText(field))
  if (wrong !== undefined) return wrong
  return findField(args, 'x-dead-letter-exchange') === undefined
    ? undefined
    : '"a dead letter goes to an exchange or to a topic, not to both"'
}

function topicFault(name: string): string | undefined {
  const refused = judgeTopicName(name)
  return refused === undefined ? undefined : JSON.stringify(refused.why)
}

/** RabbitMQ's. */
export const retryJudges: readonly (readonly [string, Judge])[] = [
  ['x-delayed-retry-type', wordOf(retryTypes, 'invalid_delayed_retry_type')],
  ['x-delayed-retry-min', delay],
  ['x-delayed-retry-max', delay],
]

/** Ours. */
export const ownRetryArguments: readonly (readonly [string, Judge])[] = [
  ['x-delayed-retry-backoff', wordOf(retryBackoffs, 'invalid_delayed_retry_backoff')],
  ['x-delayed-retry-jitter', jitter],
  ['x-dead-letter-topic', deadLetterTopic],
]

/** Of two numbers the smaller counts, of words the argument's. undefined: what comes back is ready at once. */
export function retryOf(
  args: FieldTable,
  definition: Readonly<Record<string, string | number | boolean>>,
): RetryPolicy | undefined {
  const word = (key: string): unknown => fieldText(findField(args, `x-${key}`)) ?? definition[key]
  const number = (key: string): number | undefined => {
    const said = numberOf(findField(args, `x-${key}`))
    const policy = definition[key]
    return typeof policy === 'number' ? Math.min(policy, said ?? Infinity) : said
  }
  const of = types.find((type) => type === word('delayed-retry-type'))
  const minMs = number('delayed-retry-min')
  if (of === undefined || minMs === undefined || minMs === 0) return undefined
  return {
    of,
    minMs,
    maxMs: number('delayed-retry-max') ?? delayMsMax,
    backoff: backoffs.find((backoff) => backoff === word('delayed-retry-backoff')) ?? 'linear',
    jitter: number('delayed-retry-jitter') ?? 0,
  }
}
