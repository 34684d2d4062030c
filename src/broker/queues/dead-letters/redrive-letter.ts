// A dead letter on its way back: whether a filter wants it, where it came from, and what it is when it is stored again.
// Promises: x-death and its kin stay, each death marked as sent back; x-redriven counts how often it was; exchange and
// routing key are those it was published with, where its deaths tell them.
// Does not know: queues, topics, who moves it.

import {
  arrayField,
  fieldInteger,
  fieldText,
  findField,
  int64Field,
  noFields,
  tableField,
  withField,
  type Field,
  type FieldTable,
} from '../../../base/fields.ts'
import { readProperties, withHeaders } from '../../../base/properties.ts'
import { refuse, type Refusal } from '../../errors.ts'
import { sentBack, sourceTopicHeader } from './death.ts'
import { Patterns } from '../exchanges/pattern.ts'
import { placeless } from '../messages/message-place.ts'
import type { NewMessage, StoredMessage } from '../parts.ts'

export const redrivenHeader = 'x-redriven'

/** What of a dead letter is looked at. */
export interface Letter {
  /** As it was published, where its deaths tell. */
  readonly exchange: string
  readonly routingKey: string
  readonly headers: FieldTable
  /** Of its last death. */
  readonly queue: string | undefined
  readonly reason: string | undefined
  /** Where it was when it first died; undefined: its headers do not say, or a client wrote them. */
  readonly cameFrom: string | undefined
}

export function letterOf(stored: StoredMessage): Letter {
  const { headers = noFields } = readProperties(stored.properties)
  const deaths = stored.isDeadLetter ? deathsIn(headers) : []
  const last = deaths.at(0)
  const first = deaths.at(-1) ?? noFields
  const source = fieldText(findField(headers, sourceTopicHeader)) ?? fieldText(findField(first, 'queue'))
  return {
    exchange: fieldText(findField(first, 'exchange')) ?? stored.exchange.toString(),
    routingKey: firstText(findField(first, 'routing-keys')) ?? stored.routingKey.toString(),
    headers,
    queue: fieldText(findField(last ?? [], 'queue')),
    reason: fieldText(findField(last ?? [], 'reason')),
    cameFrom: stored.isDeadLetter ? source : undefined,
  }
}

/** The latest first. */
function deathsIn(headers: FieldTable): FieldTable[] {
  const field = findField(headers, 'x-death')
  return field?.type === 'array' ? field.value.flatMap((entry) => (entry.type === 'table' ? [entry.value] : [])) : []
}

/** What is stored again. */
export function redriven(stored: StoredMessage, letter: Letter): NewMessage {
  const times = fieldInteger(findField(letter.headers, redrivenHeader)) ?? 0
  const marked = stored.isDeadLetter ? sentBackHeaders(letter.headers) : letter.headers
  const headers = stored.isPlaced ? placeless(marked) : marked
  return {
    exchange: letter.exchange,
    routingKey: letter.routingKey,
    properties: withHeaders(stored.properties, withField(headers, redrivenHeader, int64Field(times + 1))),
    body: [Buffer.from(stored.body)],
    bodyBytes: stored.body.length,
    isDeadLetter: stored.isDeadLetter,
  }
}

/** What it went through until now makes no circle of what it goes through next. */
function sentBackHeaders(headers: FieldTable): FieldTable {
  const field = findField(headers, 'x-death')
  if (field?.type !== 'array') return headers
  const deaths = field.value.map((one) => (one.type === 'table' ? tableField(sentBack(one.value)) : one))
  return withField(headers, 'x-death', arrayField(deaths))
}

const firstText = (field: Field | undefined): string | undefined =>
  field?.type === 'array' ? fieldText(field.value[0]) : undefined

// --- filters --------------------------------------------------------------------------------------------------------

export type LetterFilter = (letter: Letter) => boolean

const forms = 'key=PATTERN, header:NAME=VALUE, reason=REASON or queue=NAME'

/** All have to hold. */
export function letterFilter(texts: readonly string[]): LetterFilter | Refusal {
  const filters: LetterFilter[] = []
  for (const text of texts) {
    const filter = oneFilter(text)
    if (filter === undefined) return refuse('invalidArgument', `a filter is ${forms}, not ${JSON.stringify(text)}`)
    filters.push(filter)
  }
  return (letter) => filters.every((filter) => filter(letter))
}

function oneFilter(text: string): LetterFilter | undefined {
  const cut = text.indexOf('=')
  if (cut < 0) return undefined
  const [what, value] = [text.slice(0, cut), text.slice(cut + 1)]
  if (what === 'reason') return ({ reason }) => reason === value
  if (what === 'queue') return ({ queue }) => queue === value
  if (what === 'key') return keyFilter(value)
  if (!what.startsWith('header:') || what === 'header:') return undefined
  const name = what.slice('header:'.length)
  return ({ headers }) => {
    const field = findField(headers, name)
    return field !== undefined && textOf(field) === value
  }
}

/** As a topic exchange matches routing keys. */
function keyFilter(pattern: string): LetterFilter {
  const patterns = new Patterns<true>()
  patterns.add(pattern, true)
  return ({ routingKey }) => {
    let isMatched = false
    patterns.match(routingKey, () => {
      isMatched = true
    })
    return isMatched
  }
}

function textOf(field: Field): string | undefined {
  switch (field.type) {
    case 'text':
    case 'bytes':
      return field.value.toString()
    case 'array':
    case 'table':
    case 'void':
    case 'decimal':
      return undefined
    default:
      return String(field.value)
  }
}
