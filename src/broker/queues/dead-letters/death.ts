// A message's deaths: what is written on it when it leaves a queue for a dead letter exchange.
// Promises: the headers RabbitMQ writes (x-death, x-first-death-…, x-last-death-…), in its order of fields; only deaths
// that were written by us count; everything else a client wrote stays byte for byte but its expiration.
// Does not know: queues, exchanges, when a message is dead.

import {
  arrayField,
  fieldInteger,
  fieldText,
  findField,
  int64Field,
  noFields,
  tableField,
  textField,
  timestampField,
  withField,
  type FieldEntry,
  type FieldTable,
} from '../../../base/fields.ts'
import { readProperties, withProperties } from '../../../base/properties.ts'
import { placeless } from '../messages/message-place.ts'
import type { DeathReason } from '../parts.ts'

export interface Dying {
  readonly exchange: string
  readonly routingKey: string
  readonly properties: Buffer
  /** Its x-death headers are ours: a client's own say nothing. */
  readonly isDeadLetter: boolean
}

/** Where a message was when it died. */
export interface DeathSource {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Partition and offset stand in its headers, written when it was read: they are no part of it. */
  readonly isPlaced: boolean
}

export interface Death {
  readonly queue: string
  readonly reason: string
  readonly table: FieldTable
  /** Somebody sent the message back since. */
  readonly isSentBack: boolean
}

export interface Dead {
  readonly properties: Buffer
  /** The keys it was routed by until now, copies (CC) included: by default the dead letter is routed by them too. */
  readonly routingKeys: readonly string[]
  /** The latest first. */
  readonly deaths: readonly Death[]
}

/** `source`: written on the message too, if none is yet. */
export function recordDeath(
  dying: Dying,
  queue: string,
  reason: DeathReason,
  nowMs: number,
  source?: DeathSource,
): Dead {
  const { headers = noFields, expiration } = readProperties(dying.properties)
  const before = dying.isDeadLetter ? deathsIn(headers) : []
  const routingKeys = routingKeysOf(dying, headers, before)
  const known = before.findIndex((death) => death.queue === queue && death.reason === reason)
  const last =
    known < 0
      ? {
          queue,
          reason,
          table: firstTable(dying.exchange, routingKeys, queue, reason, expiration, nowMs),
          isSentBack: false,
        }
      : again(before[known])
  const deaths = [last, ...before.filter((_, index) => index !== known)]
  let written = withField(headers, 'x-death', arrayField(deaths.map(({ table }) => tableField(table))))
  for (const which of before.length === 0 ? ['first', 'last'] : ['last']) {
    written = withField(written, `x-${which}-death-exchange`, textField(dying.exchange))
    written = withField(written, `x-${which}-death-queue`, textField(queue))
    written = withField(written, `x-${which}-death-reason`, textField(reason))
  }
  if (source !== undefined) written = withSource(written, source, dying.isDeadLetter)
  // An expiration would strike again in the next queue: it is remembered in the death, and gone.
  const properties = withProperties(dying.properties, { headers: written, expiration: undefined })
  return { properties, routingKeys, deaths }
}

/** Whether a queue is given what is stored in `target`: it is that queue, or has a ledger of its own over its log. */
export type IsGiven = (queue: string, target: string) => boolean

/**
 * Whether nobody but the broker has moved the message around since it left a queue that what is stored in `target` gets
 * into: it would go on for ever.
 */
export function isCycle(target: string, { deaths }: Pick<Dead, 'deaths'>, isGiven: IsGiven): boolean {
  for (const { queue, reason, isSentBack } of deaths) {
    if (reason === 'rejected' || isSentBack) return false
    if (isGiven(queue, target)) return true
  }
  return false
}

export const sourceTopicHeader = 'x-source-topic'
const sourceHeaders = [sourceTopicHeader, 'x-source-partition', 'x-source-offset']

/** What a client wrote by these names says nothing; what was written at an earlier death stays. */
function withSource(headers: FieldTable, source: DeathSource, isDeadLetter: boolean): FieldTable {
  const { topic, partition, offset, isPlaced } = source
  const rest = isPlaced ? placeless(headers) : headers
  if (isDeadLetter && findField(rest, sourceTopicHeader) !== undefined) return rest
  const values = [textField(topic), { type: 'int32', value: partition } as const, int64Field(offset)]
  return [
    ...rest.filter(({ name }) => !sourceHeaders.includes(name)),
    ...sourceHeaders.map((name, index) => ({ name, value: values[index] })),
  ]
}

/** As isCycle(), of a dead letter as it is. */
export const hasDiedIn = (queue: string, properties: Buffer, isGiven: IsGiven): boolean =>
  isCycle(queue, { deaths: deathsIn(readProperties(properties).headers ?? noFields) }, isGiven)

const sentBackField = 'redriven'

/** What is written of each death when somebody sends the message back: what the broker did before is done with. */
export const sentBack = (death: FieldTable): FieldTable =>
  withField(death, sentBackField, { type: 'bool', value: true })

function deathsIn(headers: FieldTable): Death[] {
  const field = findField(headers, 'x-death')
  if (field?.type !== 'array') return []
  const deaths: Death[] = []
  for (const entry of field.value) {
    if (entry.type !== 'table') continue
    const table = entry.value
    const queue = fieldText(findField(table, 'queue'))
    const reason = fieldText(findField(table, 'reason'))
    const isSentBack = findField(table, sentBackField) !== undefined
    if (queue !== undefined && reason !== undefined) deaths.push({ queue, reason, table, isSentBack })
  }
  return deaths
}

function again({ queue, reason, table }: Death): Death {
  const count = fieldInteger(findField(table, 'count')) ?? 0
  const counted = withField(table, 'count', int64Field(count + 1))
  return { queue, reason, table: counted.filter(({ name }) => name !== sentBackField), isSentBack: false }
}

function firstTable(
  exchange: string,
  routingKeys: readonly string[],
  queue: string,
  reason: string,
  expiration: string | undefined,
  nowMs: number,
): FieldTable {
  const table: FieldEntry[] = []
  if (expiration !== undefined)
    table.push({ name: 'original-expiration', value: textField(String(Number(expiration))) })
  table.push(
    { name: 'count', value: int64Field(1) },
    { name: 'reason', value: textField(reason) },
    { name: 'queue', value: textField(queue) },
    { name: 'time', value: timestampField(Math.floor(nowMs / 1000)) },
    { name: 'exchange', value: textField(exchange) },
    { name: 'routing-keys', value: arrayField(routingKeys.map((key) => textField(key))) },
  )
  return table
}

/**
 * A dead letter whose queue named no key of its own was routed by all keys it had before, of which the first is its
 * routing key now; one that was given another key has just that. Else the copies are what the client asked for.
 */
function routingKeysOf({ routingKey }: Dying, headers: FieldTable, before: readonly Death[]): readonly string[] {
  const [last] = before
  if (last === undefined) return [routingKey, ...textsIn(findField(headers, 'CC'))]
  const keys = textsIn(findField(last.table, 'routing-keys'))
  return keys[0] === routingKey ? keys : [routingKey]
}

function textsIn(field: FieldTable[number]['value'] | undefined): string[] {
  if (field?.type !== 'array') return []
  return field.value.flatMap((entry) => fieldText(entry) ?? [])
}
