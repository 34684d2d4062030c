// A record that a client of Kafka wrote, as a message: its key, headers and time as properties that AMQP knows.
// Promises: whatever the record holds, the properties are well formed and bounded; what is left out is named.
// Does not know: batches of ours (message.ts), logs.

import type { Field, FieldEntry } from '../../base/fields.ts'
import { isUtf8 } from 'node:buffer'
import { KiB } from '../../base/limits.ts'
import { writeProperties } from '../../base/properties.ts'
import type { RecordCursor, RecordHeader } from '../../log/records.ts'
import { keyHeader } from './message.ts'
import type { StoredMessage } from './parts.ts'

/** Names of headers and routing keys are short strings. */
const shortStringBytesMax = 255
/** Properties are one frame: what would make it larger than nearly every client's is left out. */
const headersBytesMax = 96 * KiB
/** Names of what was left out are told up to here. */
const omittedNamesMax = 64
const omittedHeader = 'x-headers-omitted'
/** The header that only means something in batches of ours. */
const ownHeader = 'amqp'

const defaultExchange: Buffer = Buffer.alloc(0)

/** Fills in everything but queue, offset and redelivered from the record at the cursor. */
export function readForeign(cursor: RecordCursor, timestampMs: number, topic: Buffer, message: StoredMessage): void {
  const { key } = cursor
  message.isDeadLetter = false
  message.exchange = defaultExchange
  message.routingKey = key !== null && key.length <= shortStringBytesMax && isUtf8(key) ? key : topic
  message.body = cursor.value ?? defaultExchange
  const headers = tableOf(cursor.headers(), key)
  message.properties = writeProperties({
    ...(headers.length === 0 ? {} : { headers }),
    ...(timestampMs < 0 ? {} : { timestamp: Math.floor(timestampMs / 1000) }),
  })
}

/** Headers in the order of their first coming; a name that comes again makes an array of its values. */
function tableOf(headers: readonly RecordHeader[], key: Buffer | null): FieldEntry[] {
  if (headers.length === 0 && key === null) return []
  const values = new Map<string, Field[]>()
  const omitted: string[] = []
  let bytes = 0
  const take = (name: string, value: Buffer | null): void => {
    const nameBytes = Buffer.byteLength(name)
    bytes += nameBytes + (value?.length ?? 0) + 6
    if (nameBytes > shortStringBytesMax || bytes > headersBytesMax) {
      bytes -= nameBytes + (value?.length ?? 0) + 6
      // A character has at most three bytes: all of it together still fits a frame.
      if (omitted.length < omittedNamesMax)
        omitted.push(nameBytes > shortStringBytesMax ? name.slice(0, shortStringBytesMax / 3) : name)
      return
    }
    const before = values.get(name)
    const field = fieldOf(value)
    if (before === undefined) values.set(name, [field])
    else before.push(field)
  }
  if (key !== null) take(keyHeader, key)
  for (const { name, value } of headers) if (name !== ownHeader && name !== keyHeader) take(name, value)
  const table: FieldEntry[] = []
  for (const [name, fields] of values)
    table.push({ name, value: fields.length === 1 ? fields[0] : { type: 'array', value: fields } })
  if (omitted.length > 0)
    table.push({
      name: omittedHeader,
      value: { type: 'array', value: omitted.map((name) => ({ type: 'text', value: Buffer.from(name) })) },
    })
  return table
}

/** Text where the bytes are text, so that clients show it as they show their own. */
function fieldOf(value: Buffer | null): Field {
  if (value === null) return { type: 'void' }
  return isUtf8(value) ? { type: 'text', value } : { type: 'bytes', value }
}
