// A message as one record: what is written for one that is published, and what is read back of it.
// Promises: from a batch of ours comes exactly what was published; nothing is allocated for a message without headers
// but the slice of its body. Bytes in docs/formats.md.
// Does not know: logs and offsets; messages that Kafka's clients wrote (message-foreign.ts).

import { assert } from '../../../base/assert.ts'
import type { Field } from '../../../base/fields.ts'
import { PropertyScan } from '../../../base/property-scan.ts'
import type { BatchBuilder } from '../../../log/batch-builder.ts'
import { putVarint, varintBytes } from '../../../log/record-fields.ts'
import type { LanePart, NewMessage, StoredMessage } from '../parts.ts'

/** The one header of a record that is ours: names, flags and properties of the message. */
const headerName = Buffer.from('amqp')
const headerVersion = 0
const deadLetterFlag = 0x01
/** A user's header of this name is the record's key. */
export const keyHeader = 'x-key'
/** True: the record has no value at all, which is something else than an empty body. */
export const tombstoneHeader = 'x-tombstone'

const flagHeaders = 0x2000
const flagPriority = 0x0800
const flagExpiration = 0x0100

const nothing: Buffer = Buffer.alloc(0)
/** Count of headers (5), name (5), length of the value (5), version, flags, two names of at most 255 bytes. */
const leadBytesMax = 5 + 5 + 5 + 2 + 2 * 256

/** Writes messages into batches. One serves all queues: what it remembers is only what the last message looked like. */
export class MessageWriter {
  /** Of the last look(): -1 when not said. */
  priority = -1
  /** Of the last look(): ms it may wait, -1 when not said. */
  expirationMs = -1
  readonly #scan = new PropertyScan()
  readonly #scratch = Buffer.alloc(leadBytesMax)
  #lead = this.#scratch
  #exchange = ''
  #routingKey = ''
  #valueBytes = -1
  #count = 0
  #flags = 0
  /** Handed to the builder again and again: lead, properties, further headers. */
  readonly #headers: Buffer[] = [nothing, nothing]

  /** What decides where and for how long a message waits. */
  look(properties: Buffer): void {
    this.priority = this.expirationMs = -1
    const flags = (properties[0] << 8) | properties[1]
    if ((flags & (flagPriority | flagExpiration)) === 0) return
    this.#scan.scan(properties)
    this.priority = this.#scan.priority
    if (this.#scan.expirationAt >= 0) this.expirationMs = Number(this.#scan.expiration())
  }

  write(builder: BatchBuilder, message: NewMessage, timestampMs: number): void {
    const { properties } = message
    if ((properties[0] & (flagHeaders >>> 8)) !== 0) return this.#writeWithHeaders(builder, message, timestampMs)
    this.#prepareLead(message, 1)
    this.#headers[0] = this.#lead
    this.#headers[1] = properties
    builder.add(timestampMs, null, message.body, message.bodyBytes, this.#headers)
    this.#headers[1] = nothing
  }

  /** Headers that are one value stand in the record too, as text, for readers that know nothing of us. */
  #writeWithHeaders(builder: BatchBuilder, message: NewMessage, timestampMs: number): void {
    this.#scan.scan(message.properties)
    let key: Buffer | null | undefined
    let isTombstone = false
    let count = 1
    const rest: Buffer[] = []
    for (const { name, value } of this.#scan.headers() ?? []) {
      // Of several the first, by which its partition was chosen.
      if (name === keyHeader) key = key === undefined ? keyOf(value) : key
      else if (name === tombstoneHeader) isTombstone = value.type === 'bool' && value.value && message.bodyBytes === 0
      else {
        const text = scalarText(value)
        if (text === undefined || name === 'amqp') continue
        rest.push(recordHeader(name, text))
        count++
      }
    }
    this.#prepareLead(message, count)
    const headers = [this.#lead, message.properties, ...rest]
    builder.add(timestampMs, key ?? null, message.body, isTombstone ? -1 : message.bodyBytes, headers)
  }

  /** Count of headers, then ours up to where the properties follow. Mostly that of the message before. */
  #prepareLead(message: NewMessage, count: number): void {
    const { exchange, routingKey } = message
    const flags = message.isDeadLetter ? deadLetterFlag : 0
    const isSame =
      routingKey === this.#routingKey &&
      exchange === this.#exchange &&
      message.properties.length === this.#valueBytes &&
      count === this.#count &&
      flags === this.#flags
    if (isSame) return
    const exchangeBytes = Buffer.byteLength(exchange)
    const routingKeyBytes = Buffer.byteLength(routingKey)
    assert(exchangeBytes <= 255 && routingKeyBytes <= 255, 'names of exchanges and routing keys are short strings')
    const target = this.#scratch
    let at = putVarint(target, 0, count)
    at = putVarint(target, at, headerName.length)
    at += headerName.copy(target, at)
    at = putVarint(target, at, 2 + 1 + exchangeBytes + 1 + routingKeyBytes + message.properties.length)
    target[at++] = headerVersion
    target[at++] = flags
    target[at++] = exchangeBytes
    at += target.write(exchange, at)
    target[at++] = routingKeyBytes
    at += target.write(routingKey, at)
    this.#lead = target.subarray(0, at)
    this.#exchange = exchange
    this.#routingKey = routingKey
    this.#valueBytes = message.properties.length
    this.#count = count
    this.#flags = flags
  }
}

function recordHeader(name: string, value: string): Buffer {
  const nameBytes = Buffer.byteLength(name)
  const valueBytes = Buffer.byteLength(value)
  const header = Buffer.allocUnsafe(varintBytes(nameBytes) + nameBytes + varintBytes(valueBytes) + valueBytes)
  let at = putVarint(header, 0, nameBytes)
  at += header.write(name, at)
  at = putVarint(header, at, valueBytes)
  header.write(value, at)
  return header
}

/** The record's key: the header's bytes, or its text when it is no string of bytes. */
export function keyOf(value: Field): Buffer | null {
  if (value.type === 'text' || value.type === 'bytes') return value.value
  const text = scalarText(value)
  return text === undefined ? null : Buffer.from(text)
}

/** A header's value as text; undefined when it is not one value. */
function scalarText(field: Field): string | undefined {
  switch (field.type) {
    case 'text':
      return field.value.toString('utf8')
    case 'bool':
      return field.value ? 'true' : 'false'
    case 'decimal':
      return decimalText(field.value, field.scale)
    case 'bytes':
    case 'array':
    case 'table':
    case 'void':
      return undefined
    default:
      return String(field.value)
  }
}

function decimalText(value: number, scale: number): string {
  if (scale === 0) return String(value)
  const digits = String(value).padStart(scale + 1, '0')
  return `${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

// --- reading ------------------------------------------------------------------------------------------------------

/** To be filled in, again and again. */
export function blankMessage(lane: LanePart): StoredMessage {
  return {
    lane,
    offset: 0,
    redelivered: false,
    exchange: nothing,
    routingKey: nothing,
    properties: nothing,
    body: nothing,
    isDeadLetter: false,
    isPlaced: false,
  }
}

/** Longer properties are not compared with those of the message before. */
const rememberedBytesMax = 256
/** After this many messages unlike the one before, remembering is given a rest. */
const missesMax = 8

/**
 * Reads messages of batches that we wrote. Names and properties like those of the message before are the very same
 * buffers again, so that whoever encodes them may compare them by identity.
 */
export class MessageReader {
  #exchange = nothing
  #routingKey = nothing
  #properties = nothing
  #misses = 0

  /** Fills in everything but lane, offset and redelivered. `at` is where the record begins in `section`. */
  read(section: Buffer, at: number, message: StoredMessage): void {
    at = behindVarint(section, at) + 1
    at = behindVarint(section, at)
    at = behindVarint(section, at)
    const key = varintAt(section, at)
    at = behindVarint(section, at) + (key < 0 ? 0 : key)
    const bodyBytes = Math.max(0, varintAt(section, at))
    at = behindVarint(section, at)
    message.body = section.subarray(at, at + bodyBytes)
    // The count of headers; ours is the first.
    at = behindVarint(section, at + bodyBytes) + 1 + headerName.length
    const valueBytes = varintAt(section, at)
    at = behindVarint(section, at)
    const end = at + valueBytes
    assert(section[at] === headerVersion && end <= section.length, 'a record of ours has our header')
    message.isDeadLetter = (section[at + 1] & deadLetterFlag) !== 0
    message.isPlaced = false
    at += 2
    message.exchange = this.#exchange = again(section, at, this.#exchange)
    at += 1 + section[at]
    message.routingKey = this.#routingKey = again(section, at, this.#routingKey)
    at += 1 + section[at]
    message.properties = this.#propertiesOf(section, at, end)
  }

  #propertiesOf(section: Buffer, at: number, end: number): Buffer {
    const before = this.#properties
    const length = end - at
    if (before.length === length && isSame(section, at, before)) {
      this.#misses = 0
      return before
    }
    const slice = section.subarray(at, end)
    this.#misses++
    // A copy: the section's memory is not ours for long.
    if (length <= rememberedBytesMax && (this.#misses <= missesMax || this.#misses % 64 === 0))
      this.#properties = Buffer.from(slice)
    return slice
  }
}

/** The short string at `at`: the buffer `before` when it has the same bytes, else a copy. */
function again(section: Buffer, at: number, before: Buffer): Buffer {
  const length = section[at]
  if (before.length === length && isSame(section, at + 1, before)) return before
  return length === 0 ? nothing : Buffer.from(section.subarray(at + 1, at + 1 + length))
}

function isSame(section: Buffer, at: number, bytes: Buffer): boolean {
  for (let index = 0; index < bytes.length; index++) if (section[at + index] !== bytes[index]) return false
  return true
}

/** A zigzag varint of a batch of ours. */
export function varintAt(section: Buffer, at: number): number {
  let byte = section[at++]
  if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1)
  let raw = byte & 0x7f
  let shift = 7
  for (;;) {
    byte = section[at++]
    raw |= (byte & 0x7f) << shift
    if (byte < 0x80) return (raw >>> 1) ^ -(raw & 1)
    shift += 7
    assert(shift < 35, 'a number of ours has at most five bytes')
  }
}

export function behindVarint(section: Buffer, at: number): number {
  while (section[at] >= 0x80) at++
  return at + 1
}
