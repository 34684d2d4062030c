// Records: what lies inside a batch, read one after the other and written into a new one.
// Promises: a lying records section is a MalformedRecords, never a RangeError or an allocation by its claims.
// Does not know: compression (given inflated bytes) or what keys, values and headers mean.
//
// A record, KIP-98: length varint, attributes int8, timestampDelta varlong, offsetDelta varint, key and value as
// varint length (-1 null) and bytes, header count varint, each header a varint-long name and value.

import { assembleBatch } from './batch.ts'
import { putBytes, putVarint, varintBytes } from './record-fields.ts'

/** A records section that contradicts itself or its batch's head. */
export class MalformedRecords extends Error {
  override readonly name = 'MalformedRecords'
}

export interface RecordHeader {
  readonly name: string
  readonly value: Buffer | null
}

/** One record to be written. Times in ms. */
export interface NewRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers?: readonly RecordHeader[]
  readonly timestampMs: number
}

/**
 * Walks a records section. next() moves to the following record and fills the fields in place: no object per record.
 * key and value are slices of the section; headers are opened only when asked.
 */
export class RecordCursor {
  offsetDelta = 0
  timestampDeltaMs = 0
  key: Buffer | null = null
  value: Buffer | null = null
  private headersAt = 0
  private recordEnd = 0
  private at = 0
  private readonly section: Buffer

  constructor(section: Buffer) {
    this.section = section
  }

  /** Bytes not walked yet. */
  get remaining(): number {
    return this.section.length - this.at
  }

  next(): boolean {
    if (this.at >= this.section.length) return false
    const length = this.varint(this.section.length)
    if (length < 0 || length > this.section.length - this.at) throw new MalformedRecords('a record passes its batch')
    this.recordEnd = this.at + length
    this.at += 1
    this.timestampDeltaMs = this.varlong()
    this.offsetDelta = this.varint(this.recordEnd)
    this.key = this.bytes()
    this.value = this.bytes()
    this.headersAt = this.at
    if (this.at > this.recordEnd) throw new MalformedRecords('a field passes its record')
    this.at = this.recordEnd
    return true
  }

  /**
   * As next(), and the first headers are judged too; nothing is sliced: only offsetDelta and timestampDeltaMs are filled.
   */
  pass(headersMax: number): boolean {
    if (this.at >= this.section.length) return false
    const length = this.varint(this.section.length)
    if (length < 0 || length > this.section.length - this.at) throw new MalformedRecords('a record passes its batch')
    this.recordEnd = this.at + length
    this.at += 1
    this.timestampDeltaMs = this.varlong()
    this.offsetDelta = this.varint(this.recordEnd)
    this.passBytes()
    this.passBytes()
    const count = this.varint(this.recordEnd)
    if (count < 0 || count > this.recordEnd - this.at) throw new MalformedRecords('more headers than bytes')
    const judged = Math.min(count, headersMax)
    for (let index = 0; index < judged; index++) {
      if (this.passBytes() < 0) throw new MalformedRecords('a header without a name')
      this.passBytes()
    }
    this.at = this.recordEnd
    return true
  }

  private passBytes(): number {
    const length = this.varint(this.recordEnd)
    if (length < -1 || length > this.recordEnd - this.at) throw new MalformedRecords('a field passes its record')
    if (length > 0) this.at += length
    return length
  }

  /** The first headers, in their order. */
  headers(headersMax = Infinity): RecordHeader[] {
    const resumeAt = this.at
    this.at = this.headersAt
    const count = this.varint(this.recordEnd)
    if (count < 0 || count > this.recordEnd - this.at) throw new MalformedRecords('more headers than bytes')
    const headers: RecordHeader[] = []
    const read = Math.min(count, headersMax)
    for (let index = 0; index < read; index++) {
      const name = this.bytes()
      if (name === null) throw new MalformedRecords('a header without a name')
      headers.push({ name: name.toString('utf8'), value: this.bytes() })
    }
    this.at = resumeAt
    return headers
  }

  private bytes(): Buffer | null {
    const length = this.varint(this.recordEnd)
    if (length === -1) return null
    if (length < 0 || length > this.recordEnd - this.at) throw new MalformedRecords('a field passes its record')
    const slice = this.section.subarray(this.at, this.at + length)
    this.at += length
    return slice
  }

  /** Zigzag varint of at most 5 bytes. */
  private varint(end: number): number {
    let raw = 0
    for (let shift = 0; shift < 35; shift += 7) {
      if (this.at >= end) throw new MalformedRecords('a number passes its record')
      const byte = this.section[this.at++]
      raw |= (byte & 0x7f) << shift
      if (byte < 0x80) return (raw >>> 1) ^ -(raw & 1)
    }
    throw new MalformedRecords('a number of more than 5 bytes')
  }

  /** Zigzag varlong of at most 10 bytes; beyond 2^53 it loses precision, which only a lying timestamp reaches. */
  private varlong(): number {
    let raw = 0
    let scale = 1
    for (let index = 0; index < 10; index++) {
      if (this.at >= this.recordEnd) throw new MalformedRecords('a number passes its record')
      const byte = this.section[this.at++]
      raw += (byte & 0x7f) * scale
      if (byte < 0x80) return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2
      scale *= 128
    }
    throw new MalformedRecords('a number of more than 10 bytes')
  }
}

const fieldBytes = (field: Uint8Array | null): number => (field === null ? 1 : varintBytes(field.length) + field.length)

function putField(target: Buffer, at: number, field: Uint8Array | null): number {
  if (field === null) return putVarint(target, at, -1)
  return putBytes(target, putVarint(target, at, field.length), field)
}

interface EncodedHeader {
  readonly name: Buffer
  readonly value: Buffer | null
}

function bodyBytes(
  record: NewRecord,
  headers: readonly EncodedHeader[],
  timestampDelta: number,
  index: number,
): number {
  let bytes = 1 + varintBytes(timestampDelta) + varintBytes(index) + fieldBytes(record.key) + fieldBytes(record.value)
  bytes += varintBytes(headers.length)
  for (const header of headers) bytes += fieldBytes(header.name) + fieldBytes(header.value)
  return bytes
}

/** The uncompressed records section of `records`, offset deltas 0, 1, 2 … */
export function encodeRecords(records: readonly NewRecord[], baseTimestampMs: number): Buffer {
  const headers = records.map((record) =>
    (record.headers ?? []).map((header) => ({ name: Buffer.from(header.name, 'utf8'), value: header.value })),
  )
  const bodies = records.map((record, index) =>
    bodyBytes(record, headers[index], record.timestampMs - baseTimestampMs, index),
  )
  const section = Buffer.allocUnsafe(bodies.reduce((sum, body) => sum + varintBytes(body) + body, 0))
  let at = 0
  for (const [index, record] of records.entries()) {
    at = putVarint(section, at, bodies[index])
    section[at++] = 0
    at = putVarint(section, at, record.timestampMs - baseTimestampMs)
    at = putVarint(section, at, index)
    at = putField(section, at, record.key)
    at = putField(section, at, record.value)
    at = putVarint(section, at, headers[index].length)
    for (const header of headers[index]) {
      at = putField(section, at, header.name)
      at = putField(section, at, header.value)
    }
  }
  return section
}

/** One uncompressed batch of at least one record, at base offset 0. */
export function encodeBatch(records: readonly NewRecord[]): Buffer {
  const baseTimestampMs = records[0].timestampMs
  let maxTimestampMs = baseTimestampMs
  for (const record of records) maxTimestampMs = Math.max(maxTimestampMs, record.timestampMs)
  return assembleBatch(
    { attributes: 0, lastOffsetDelta: records.length - 1, baseTimestampMs, maxTimestampMs, count: records.length },
    encodeRecords(records, baseTimestampMs),
  )
}
