// A record that a client of Kafka wrote, as a message: its key, headers, time and place as properties that AMQP knows.
// Promises: whatever the record holds, the properties are well formed and bounded; what is left out is named; nothing is
// allocated for a record but its slices and its properties, unless it repeats names or holds very much.
// Does not know: batches of ours (message.ts), logs; records that were not walked before (reading-window.ts).

import { isUtf8 } from 'node:buffer'
import type { Field, FieldEntry } from '../../../base/fields.ts'
import { KiB } from '../../../base/limits.ts'
import { omittedHeader } from '../../../base/properties-fit.ts'
import { writeProperties } from '../../../base/properties.ts'
import { putBytes, putRange } from '../../../log/record-fields.ts'
import { RecordCursor, type RecordHeader } from '../../../log/records.ts'
import { behindVarint, keyHeader, tombstoneHeader, varintAt } from './message.ts'
import { offsetHeader, partitionHeader, placeBytes, placeEntries, putPlace } from './message-place.ts'
import type { StoredMessage } from '../parts.ts'

/** Names of headers and routing keys are short strings. */
export const shortStringBytesMax = 255
/** Properties are one frame: what would make it larger than nearly every client's is left out. */
const headersBytesMax = 96 * KiB
/** Names of what was left out are told up to here. */
const omittedNamesMax = 64
/** Of more headers it is not looked up one by one whether names repeat. */
const fewHeadersMax = 16
/** Headers of one record that are looked at: one of what a batch may be inflated to can have thirty millions of them. */
export const headersReadMax = 32_768
/** Up to here bytes are looked at one by one before anybody is asked whether they are UTF-8. */
const asciiLookedMax = 64

/** Names that say something of ours to AMQP's clients, and `amqp`, which only means something in batches of ours. */
const ownNames = ['amqp', keyHeader, tombstoneHeader, partitionHeader, offsetHeader, omittedHeader]
const ownNameBytes: readonly Buffer[] = ownNames.map((name) => Buffer.from(name))
/** What they begin with: `x` and `a`. */
const ownFirst = 0x78
const ownFirstOther = 0x61
const keyName = Buffer.from(keyHeader)
const tombstoneName = Buffer.from(tombstoneHeader)
const tombstoneBytes = 1 + tombstoneName.length + 2

const textTag = 'S'.charCodeAt(0)
const bytesTag = 'x'.charCodeAt(0)
const voidTag = 'V'.charCodeAt(0)
const boolTag = 't'.charCodeAt(0)
const flagsWithHeaders = 0x20
const flagsWithTimestamp = 0x40

const nothing: Buffer = Buffer.alloc(0)

/** Says when a record was, from its distance to its batch's time, ms. */
export interface BatchTimes {
  timestampMs(deltaMs: number): number
}

export class ForeignReader {
  readonly #topic: Buffer
  readonly #partition: number
  // Of the record at hand.
  #keyAt = 0
  #keyBytes = -1
  #headersAt = 0
  #headerCount = 0

  /** The name that stands for the key where there is none, and the number of the partition that is read. */
  constructor(topic: string, partition: number) {
    this.#topic = Buffer.from(topic).subarray(0, shortStringBytesMax)
    this.#partition = partition
  }

  /** Fills in everything but lane, offset and redelivered. `at` is where the record begins in `section`. */
  read(section: Buffer, at: number, times: BatchTimes, offset: number, message: StoredMessage): void {
    const begin = at
    at = behindVarint(section, at) + 1
    const timestampMs = times.timestampMs(varlongAt(section, at))
    at = behindVarint(section, behindVarint(section, at))
    this.#keyBytes = varintAt(section, at)
    this.#keyAt = behindVarint(section, at)
    at = this.#keyAt + Math.max(0, this.#keyBytes)
    const valueBytes = varintAt(section, at)
    at = behindVarint(section, at)
    message.body = valueBytes < 0 ? nothing : section.subarray(at, (at += valueBytes))
    this.#headerCount = varintAt(section, at)
    this.#headersAt = behindVarint(section, at)
    message.isDeadLetter = false
    message.isPlaced = true
    message.exchange = nothing
    message.routingKey = this.#routingKey(section)
    const tableBytes = this.#tableBytes(section)
    message.properties =
      tableBytes < 0
        ? this.#anyProperties(section.subarray(begin), timestampMs, offset)
        : this.#plainProperties(section, tableBytes, valueBytes < 0, timestampMs, offset)
  }

  #routingKey(section: Buffer): Buffer {
    const bytes = this.#keyBytes
    const isShort = bytes >= 0 && bytes <= shortStringBytesMax
    return isShort && isText(section, this.#keyAt, bytes)
      ? section.subarray(this.#keyAt, this.#keyAt + bytes)
      : this.#topic
  }

  /** What key and headers take in a table; -1: they have to be looked at one by one. */
  #tableBytes(section: Buffer): number {
    if (this.#headerCount > fewHeadersMax) return -1
    let bytes = this.#keyBytes < 0 ? 0 : 1 + keyName.length + 1 + 4 + this.#keyBytes
    let at = this.#headersAt
    for (let index = 0; index < this.#headerCount; index++) {
      const nameBytes = varintAt(section, at)
      const nameAt = behindVarint(section, at)
      const valueBytes = varintAt(section, nameAt + nameBytes)
      at = behindVarint(section, nameAt + nameBytes) + Math.max(0, valueBytes)
      if (isOwnName(section, nameAt, nameBytes)) continue
      if (nameBytes > shortStringBytesMax || !isText(section, nameAt, nameBytes)) return -1
      if (this.#isNamedBefore(section, index, nameAt, nameBytes)) return -1
      bytes += 1 + nameBytes + 1 + (valueBytes < 0 ? 0 : 4 + valueBytes)
    }
    return bytes > headersBytesMax ? -1 : bytes
  }

  #isNamedBefore(section: Buffer, index: number, nameAt: number, nameBytes: number): boolean {
    let at = this.#headersAt
    for (let before = 0; before < index; before++) {
      const bytes = varintAt(section, at)
      const from = behindVarint(section, at)
      if (bytes === nameBytes && section.compare(section, from, from + bytes, nameAt, nameAt + bytes) === 0) return true
      at = from + bytes
      at = behindVarint(section, at) + Math.max(0, varintAt(section, at))
    }
    return false
  }

  #plainProperties(
    section: Buffer,
    tableBytes: number,
    isTombstone: boolean,
    timestampMs: number,
    offset: number,
  ): Buffer {
    const allBytes = tableBytes + (isTombstone ? tombstoneBytes : 0) + placeBytes
    const properties = Buffer.allocUnsafe(2 + 4 + allBytes + (timestampMs < 0 ? 0 : 8))
    properties[0] = flagsWithHeaders
    properties[1] = timestampMs < 0 ? 0 : flagsWithTimestamp
    let at = properties.writeUInt32BE(allBytes, 2)
    if (this.#keyBytes >= 0) {
      properties[at++] = keyName.length
      at = putBytes(properties, at, keyName)
      at = putValue(properties, at, section, this.#keyAt, this.#keyBytes)
    }
    let from = this.#headersAt
    for (let index = 0; index < this.#headerCount; index++) {
      const nameBytes = varintAt(section, from)
      const nameAt = behindVarint(section, from)
      const valueBytes = varintAt(section, nameAt + nameBytes)
      const valueAt = behindVarint(section, nameAt + nameBytes)
      from = valueAt + Math.max(0, valueBytes)
      if (isOwnName(section, nameAt, nameBytes)) continue
      properties[at++] = nameBytes
      at = putRange(properties, at, section, nameAt, nameBytes)
      at = putValue(properties, at, section, valueAt, valueBytes)
    }
    if (isTombstone) {
      properties[at++] = tombstoneName.length
      at += tombstoneName.copy(properties, at)
      properties[at++] = boolTag
      properties[at++] = 1
    }
    at = putPlace(properties, at, this.#partition, offset)
    if (timestampMs < 0) return properties
    const seconds = secondsOf(timestampMs)
    at = properties.writeUInt32BE(Math.floor(seconds / 0x1_0000_0000), at)
    properties.writeUInt32BE(seconds >>> 0, at)
    return properties
  }

  /** Names that repeat, very many or very large headers, names that are no text. */
  #anyProperties(record: Buffer, timestampMs: number, offset: number): Buffer {
    const cursor = new RecordCursor(record)
    cursor.next()
    const headers = tableOf(cursor.headers(headersReadMax), cursor.key)
    if (cursor.value === null) headers.push({ name: tombstoneHeader, value: { type: 'bool', value: true } })
    headers.push(...placeEntries(this.#partition, offset))
    return writeProperties({ headers, ...(timestampMs < 0 ? {} : { timestamp: secondsOf(timestampMs) }) })
  }
}

/** A time that lies beyond what is exact is as late as can be. */
const secondsOf = (timestampMs: number): number => Math.floor(Math.min(timestampMs, Number.MAX_SAFE_INTEGER) / 1000)

/** Tag, length and bytes of a value; -1 bytes: void. */
function putValue(target: Buffer, at: number, section: Buffer, from: number, bytes: number): number {
  if (bytes < 0) {
    target[at++] = voidTag
    return at
  }
  target[at++] = isText(section, from, bytes) ? textTag : bytesTag
  at = target.writeUInt32BE(bytes, at)
  return putRange(target, at, section, from, bytes)
}

function isOwnName(section: Buffer, at: number, bytes: number): boolean {
  const first = section[at]
  if (first !== ownFirst && first !== ownFirstOther) return false
  for (const name of ownNameBytes) if (name.length === bytes && name.compare(section, at, at + bytes) === 0) return true
  return false
}

/** Text where the bytes are text, so that clients show it as they show their own. */
function isText(section: Buffer, at: number, bytes: number): boolean {
  if (bytes > asciiLookedMax) return isUtf8(section.subarray(at, at + bytes))
  for (let index = 0; index < bytes; index++)
    if (section[at + index] >= 0x80) return isUtf8(section.subarray(at, at + bytes))
  return true
}

/** A zigzag varlong; beyond 2^53 it loses precision, which only a lying timestamp reaches. */
function varlongAt(section: Buffer, at: number): number {
  let raw = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = section[at++]
    raw += (byte & 0x7f) * scale
    if (byte < 0x80) return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2
  }
}

/** Headers in the order of their first coming; a name that comes again makes an array of its values. */
function tableOf(headers: readonly RecordHeader[], key: Buffer | null): FieldEntry[] {
  const values = new Map<string, Field[]>()
  const omitted: string[] = []
  let bytes = 0
  const omit = (name: string): void => {
    // A character has at most three bytes: all of it together still fits a frame.
    if (omitted.length < omittedNamesMax)
      omitted.push(Buffer.byteLength(name) > shortStringBytesMax ? name.slice(0, shortStringBytesMax / 3) : name)
  }
  const take = (name: string, value: Buffer | null): void => {
    const nameBytes = Buffer.byteLength(name)
    bytes += nameBytes + (value?.length ?? 0) + 6
    if (nameBytes > shortStringBytesMax || bytes > headersBytesMax) {
      bytes -= nameBytes + (value?.length ?? 0) + 6
      omit(name)
      return
    }
    const before = values.get(name)
    const field = fieldOf(value)
    if (before === undefined) values.set(name, [field])
    else before.push(field)
  }
  if (key !== null) take(keyHeader, key)
  for (const { name, value } of headers.slice(0, headersReadMax - 1)) if (!ownNames.includes(name)) take(name, value)
  // There may be more behind the last: it stands for them.
  if (headers.length === headersReadMax) omit(headers[headersReadMax - 1].name)
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

function fieldOf(value: Buffer | null): Field {
  if (value === null) return { type: 'void' }
  return isUtf8(value) ? { type: 'text', value } : { type: 'bytes', value }
}
