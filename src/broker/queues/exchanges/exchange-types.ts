// The types of exchanges: how each routes, and which arguments and bindings it has.
// Promises: judgements in RabbitMQ's words (its rabbit_exchange_type_*.erl); a type that is not here is unknown.
// Does not know: what there is already, who asks.

import { fieldText, fieldTypeName, findField, type FieldTable } from '../../../base/fields.ts'
import { refuse, type Refusal } from '../../errors.ts'
import type { BindingFacts, ExchangeFacts } from '../facts.ts'
import { logBindingFault, logExchangeFault } from './log-exchange.ts'
import { topicBindingFault } from './pattern.ts'
import { headersFault } from './routing-headers.ts'
import {
  consistentHashMatcher,
  directMatcher,
  fanoutMatcher,
  headersMatcher,
  modulusMatcher,
  randomMatcher,
  topicMatcher,
  type Matcher,
} from './routing-matchers.ts'

const weightMax = 1000
const hashProperties = new Set(['correlation_id', 'message_id', 'timestamp'])

interface ExchangeTypeRow {
  newMatcher(exchange: ExchangeFacts, fraction: () => number): Matcher
  /** What is wrong with the arguments of a new exchange. */
  exchangeFault?(args: FieldTable): string | undefined
  bindingFault?(binding: BindingFacts): string | undefined
}

export const delayedType = 'x-delayed-message'
/** The exchange is a topic of its name: it remembers what was published, and its bindings copy from it. */
export const logType = 'x-log'

const rows: ReadonlyMap<string, ExchangeTypeRow> = new Map<string, ExchangeTypeRow>([
  ['direct', { newMatcher: directMatcher }],
  ['fanout', { newMatcher: fanoutMatcher }],
  ['topic', { newMatcher: topicMatcher, bindingFault: topicBindingFault }],
  ['headers', { newMatcher: headersMatcher, bindingFault: (binding) => headersFault(binding.arguments) }],
  [
    'x-consistent-hash',
    {
      newMatcher: (exchange) => consistentHashMatcher(exchange.arguments),
      exchangeFault: hashFault,
      bindingFault: weightFault,
    },
  ],
  ['x-random', { newMatcher: (_exchange, fraction) => randomMatcher(fraction) }],
  [
    'x-local-random',
    {
      newMatcher: (_exchange, fraction) => randomMatcher(fraction),
      bindingFault: ({ routingKey }) =>
        routingKey === '' ? undefined : `Non empty binding '${routingKey}' key not permitted`,
    },
  ],
  ['x-modulus-hash', { newMatcher: modulusMatcher }],
  // Nothing is ever routed by its matcher: what is published is stored, and bindings copy what they match (cursors/).
  [
    logType,
    {
      newMatcher: fanoutMatcher,
      exchangeFault: logExchangeFault,
      bindingFault: (binding) => logBindingFault(binding),
    },
  ],
  [
    delayedType,
    {
      newMatcher: (exchange, fraction) => newMatcher(routedAs(exchange), fraction),
      exchangeFault: delayedFault,
    },
  ],
])

export const isExchangeType = (type: string): boolean => rows.has(type)

function rowOf(exchange: ExchangeFacts): ExchangeTypeRow | undefined {
  return rows.get(exchange.type)
}

/** A delayed exchange as what it is once messages have waited. */
function routedAs(exchange: ExchangeFacts): ExchangeFacts {
  if (exchange.type !== delayedType) return exchange
  return { ...exchange, type: fieldText(findField(exchange.arguments, 'x-delayed-type')) ?? 'fanout' }
}

export function newMatcher(exchange: ExchangeFacts, fraction: () => number): Matcher {
  return rowOf(exchange)?.newMatcher(exchange, fraction) ?? fanoutMatcher()
}

export function judgeExchangeArguments(exchange: ExchangeFacts): Refusal | undefined {
  const alternate = findField(exchange.arguments, 'alternate-exchange')
  if (alternate !== undefined && fieldText(alternate) === undefined)
    return refuse(
      'invalidArgument',
      `invalid type '${fieldTypeName(alternate)}' for arg 'alternate-exchange' in ` +
        `exchange '${exchange.name}' in vhost '${exchange.vhost}'`,
    )
  const fault = rowOf(exchange)?.exchangeFault?.(exchange.arguments)
  return fault === undefined ? undefined : refuse('invalidArgument', fault)
}

export function judgeBinding(source: ExchangeFacts, binding: BindingFacts): Refusal | undefined {
  const fault = rowOf(routedAs(source))?.bindingFault?.(binding)
  return fault === undefined ? undefined : refuse('invalidArgument', fault)
}

function hashFault(args: FieldTable): string | undefined {
  const header = findField(args, 'hash-header')
  const property = findField(args, 'hash-property')
  if (header !== undefined && property !== undefined) return 'hash-header and hash-property are mutually exclusive'
  if (header !== undefined && fieldText(header) === undefined)
    return `Unsupported type of hash-header: ${fieldTypeName(header)}`
  if (property === undefined) return undefined
  const name = fieldText(property)
  if (name === undefined) return `Unsupported type of hash-property: ${fieldTypeName(property)}`
  return hashProperties.has(name) ? undefined : `Unsupported property: ${name}`
}

/** In the words of the plugin rabbitmq_delayed_message_exchange. */
function delayedFault(args: FieldTable): string | undefined {
  const type = fieldText(findField(args, 'x-delayed-type'))
  if (type === undefined) return "Invalid argument, 'x-delayed-type' must be an existing exchange type"
  if (type === delayedType || type === logType) return `Invalid argument, '${type}' can't be used for 'x-delayed-type'`
  const row = rows.get(type)
  return row === undefined ? `unknown exchange type '${type}'` : row.exchangeFault?.(args)
}

function weightFault({ routingKey }: BindingFacts): string | undefined {
  if (!/^[+-]?\d+$/.test(routingKey)) return `The binding key must be an integer: <<"${routingKey}">>`
  const weight = Number(routingKey)
  if (weight < 1) return 'The binding key must be greater than 0'
  return weight > weightMax ? `The binding key must not exceed ${weightMax}` : undefined
}
