// Arguments of queues that are Odradek's own: which types of queue know them, and what is wrong with a value.
// Promises: each is judged in the words of RabbitMQ's, compared when a queue is declared again, and refused on a type of
// queue that does not know it.
// Does not know: RabbitMQ's arguments (queue-arguments.ts), what becomes of the values.

import { fieldNumber, fieldText, fieldTypeName, fieldValueText, findField } from '../../../base/fields.ts'
import type { Field, FieldTable } from '../../../base/fields.ts'
import { refuse, type Refusal } from '../../errors.ts'
import type { RewindTo } from '../../queue-door.ts'
import { headersFault } from '../exchanges/routing-headers.ts'
import type { QueueType } from '../facts.ts'
import { ownRetryArguments } from './queue-arguments-retry.ts'
import { ageMsOf, flag, notNegative, positive, text, wrongType, type Judge } from './argument-values.ts'

export interface OwnArgument {
  readonly name: string
  /** Types of queue that know it. */
  readonly types: readonly QueueType[]
  readonly judge: Judge
}

/** Partitions of a queue that AMQP's clients declare; each that holds something costs an open log. */
const queuePartitionsMax = 1024

const all: readonly QueueType[] = ['classic', 'quorum', 'stream']
/** Those with a ledger. */
const withLedger: readonly QueueType[] = ['classic', 'quorum']

const partitions: Judge = (field, args) =>
  positive(field, args) ??
  (Number(fieldNumber(field)) > queuePartitionsMax ? `{value_too_large,${fieldValueText(field)}}` : undefined)

/** An offset, a time, or a word. */
const start: Judge = (field, args) => {
  if (field.type === 'timestamp') return undefined
  if (field.type === 'text')
    return ['first', 'next'].includes(fieldValueText(field))
      ? undefined
      : `"expected 'first', 'next', an offset or a timestamp, got '${fieldValueText(field)}'"`
  return notNegative(field, args)
}

/** Milliseconds, or an age such as `7D`. */
const age: Judge = (field, args) => {
  if (field.type !== 'text') return positive(field, args)
  return ageMsOf(fieldValueText(field)) === undefined
    ? `"expected milliseconds or an age such as '7D', got ${fieldTypeName(field)} '${fieldValueText(field)}'"`
    : undefined
}

/** The name of the topic whose log it is. */
const log: Judge = (field, args) =>
  text(field, args) ?? (fieldValueText(field) === '' ? '"expected the name of a topic or queue"' : undefined)

/** Nobody else's log is filtered: what is published to a queue is for it. */
const noFilter = (args: FieldTable): string | undefined =>
  findField(args, 'x-log') === undefined ? '"only a queue with x-log has a filter"' : undefined
const filterKey: Judge = (field, args) => text(field, args) ?? noFilter(args)
const filterHeaders: Judge = (field, args) => {
  if (field.type !== 'table') return wrongType(field)
  const fault = headersFault(field.value)
  return noFilter(args) ?? (fault === undefined ? undefined : `"${fault}"`)
}

/** In the order they are judged, after RabbitMQ's. */
export const ownArguments: readonly OwnArgument[] = [
  { name: 'x-partitions', types: all, judge: partitions },
  { name: 'x-log', types: withLedger, judge: log },
  { name: 'x-filter-key', types: withLedger, judge: filterKey },
  { name: 'x-filter-headers', types: withLedger, judge: filterHeaders },
  { name: 'x-start', types: withLedger, judge: start },
  { name: 'x-retention', types: withLedger, judge: age },
  { name: 'x-hold', types: withLedger, judge: flag },
  ...ownRetryArguments.map(([name, judge]) => ({ name, types: withLedger, judge })),
]

export const ownArgumentsOf = (type: QueueType): string[] =>
  ownArguments.filter(({ types }) => types.includes(type)).map(({ name }) => name)

/** What cannot be said of a queue over a topic that was there before it. */
export function judgeOverTopic(queue: string, args: FieldTable): Refusal | undefined {
  return findField(args, 'x-retention') === undefined
    ? undefined
    : refuse(
        'invalidArgument',
        `invalid arg 'x-retention' for ${queue}: "the topic was there before: its retention.ms says how long records stay"`,
      )
}

// --- read, once judged --------------------------------------------------------------------------------------------

/** Where a queue over a topic begins. */
export function ledgerStartOf(args: FieldTable): RewindTo {
  const field = findField(args, 'x-start')
  if (field === undefined) return { kind: 'first' }
  if (field.type === 'timestamp') return { kind: 'time', timeMs: Number(field.value) * 1000 }
  const offset = fieldNumber(field)
  if (offset !== undefined) return { kind: 'offset', offset }
  return { kind: fieldText(field) === 'next' ? 'next' : 'first' }
}

/** How long what was acknowledged stays; undefined: it may go. */
export function retentionMsOf(args: FieldTable): number | undefined {
  const field = findField(args, 'x-retention')
  return field === undefined ? undefined : (fieldNumber(field) ?? ageMsOf(fieldText(field) ?? ''))
}

/** Whether retention waits for what is not acknowledged. */
export function holdsUnacknowledged(args: FieldTable): boolean {
  const field: Field | undefined = findField(args, 'x-hold')
  return field?.type === 'bool' && field.value
}
