// Whatever bytes a batch of a stranger holds: messages that any client can decode, all of them or none.
// Promises: records and properties are opened here by decoders of this file's own, straight from the two specifications;
// bytes that were changed at random included.
// Does not know: how the broker walks and writes them.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assembleBatch } from '../../../log/batch.ts'
import { offset, type Log } from '../../../log/store.ts'
import { testWorld } from '../../broker-world.contract.ts'
import type { LanePart } from '../parts.ts'
import { blankMessage } from './message.ts'
import { Reading, ReadingBudget } from './reading.ts'

// --- Kafka's side: KIP-98, by hand ---

interface RawHeader {
  readonly name: Buffer
  readonly value: Buffer | null
}
interface RawRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RawHeader[]
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = BigInt(value) * 2n
  if (value < 0) rest = -rest - 1n
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return Buffer.from([...bytes, Number(rest)])
}

const field = (bytes: Buffer | null): Buffer =>
  bytes === null ? varint(-1) : Buffer.concat([varint(bytes.length), bytes])

function encode({ key, value, headers }: RawRecord, index: number, extra: Buffer): Buffer {
  const fields = headers.flatMap((header) => [field(header.name), field(header.value)])
  const head = [Buffer.of(index), varint(index * 1000), varint(index)]
  const body = Buffer.concat([...head, field(key), field(value), varint(headers.length), ...fields, extra])
  return Buffer.concat([varint(body.length), body])
}

/** undefined: it lies. */
function decode(section: Buffer, count: number): RawRecord[] | undefined {
  let [at, end] = [0, section.length]
  const number = (bytesMax: number): number => {
    let [raw, shift] = [0n, 0n]
    for (let bytes = 0; bytes < bytesMax; bytes++, shift += 7n) {
      if (at >= end) throw new Error('cut short')
      const byte = section[at++]
      raw |= BigInt(byte & 127) << shift
      if (byte < 128) {
        const wide = bytesMax === 5 ? BigInt.asUintN(32, raw) : raw
        return Number(wide % 2n === 0n ? wide / 2n : -(wide + 1n) / 2n)
      }
    }
    throw new Error('too long')
  }
  const bytes = (): Buffer | null => {
    const length = number(5)
    if (length === -1) return null
    if (length < 0 || length > end - at) throw new Error('cut short')
    return section.subarray(at, (at += length))
  }
  const records: RawRecord[] = []
  try {
    while (at < section.length) {
      end = section.length
      const length = number(5)
      if (length < 0 || length > end - at) return undefined
      end = at + length
      at++
      number(10)
      if (number(5) !== records.length) return undefined
      const [key, value, headers] = [bytes(), bytes(), [] as RawHeader[]]
      for (let left = number(5); left !== 0; left--) {
        const name = bytes()
        if (name === null || left < 0) return undefined
        headers.push({ name, value: bytes() })
      }
      at = end
      records.push({ key, value, headers })
    }
  } catch {
    return undefined
  }
  return records.length === count ? records : undefined
}

// --- AMQP's side: the specification's content header, with the types that a record can become ---

type Value = Buffer | string | number | boolean | null | Value[]

function table(bytes: Buffer): Map<string, Value> {
  let at = 0
  const take = (count: number): Buffer => {
    if (count > bytes.length - at) throw new Error('a table cut short')
    return bytes.subarray(at, (at += count))
  }
  const text = (of: Buffer): string => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(of)
  const value = (): Value => {
    const tag = take(1).toString('latin1')
    if (tag === 'V') return null
    if (tag === 't') return take(1)[0] !== 0
    if (tag === 'I') return take(4).readInt32BE()
    if (tag === 'l') return Number(take(8).readBigInt64BE())
    const content = take(take(4).readUInt32BE())
    if (tag === 'S') return text(content)
    if (tag === 'x') return content
    if (tag !== 'A') throw new Error(`type ${tag}`)
    const [outer, outerAt] = [bytes, at]
    ;[bytes, at] = [content, 0]
    const all: Value[] = []
    while (at < bytes.length) all.push(value())
    ;[bytes, at] = [outer, outerAt]
    return all
  }
  const all = new Map<string, Value>()
  while (at < bytes.length) {
    const name = text(take(take(1)[0]))
    if (all.has(name)) throw new Error(`${name} twice`)
    all.set(name, value())
  }
  return all
}

function headersOf(properties: Buffer): { headers: Map<string, Value>; timestamp: number | undefined } {
  const flags = properties.readUInt16BE(0)
  // Headers (bit 13) and timestamp (bit 6) are all that a record has.
  expect(flags & ~0x2040).toBe(0)
  const bytes = (flags & 0x2000) === 0 ? 0 : properties.readUInt32BE(2)
  const headers = (flags & 0x2000) === 0 ? new Map<string, Value>() : table(properties.subarray(6, 6 + bytes))
  const end = 2 + ((flags & 0x2000) === 0 ? 0 : 4 + bytes)
  if ((flags & 0x40) === 0) expect(properties.length).toBe(end)
  else expect(properties.length).toBe(end + 8)
  return { headers, timestamp: (flags & 0x40) === 0 ? undefined : Number(properties.readBigUInt64BE(end)) }
}

/** What a client must see of a record, but for what does not fit. */
function expected({ key, value, headers }: RawRecord, at: number): Map<string, Value> {
  const isText = (bytes: Buffer): boolean => Buffer.from(bytes.toString()).equals(bytes)
  const shown = (bytes: Buffer | null): Value => (bytes !== null && isText(bytes) ? bytes.toString() : bytes)
  const all = new Map<string, Value>()
  if (key !== null) all.set('x-key', shown(key))
  const ours = ['amqp', 'x-key', 'x-partition', 'x-stream-offset', 'x-tombstone', 'x-headers-omitted']
  const byName = new Map<string, Value[]>()
  const omitted: string[] = []
  for (const header of headers) {
    const name = header.name.toString()
    if (ours.includes(name)) continue
    if (Buffer.byteLength(name) > 255) omitted.push(name.slice(0, 85))
    else if (byName.has(name)) byName.get(name)?.push(shown(header.value))
    else byName.set(name, [shown(header.value)])
  }
  for (const [name, values] of byName) all.set(name, values.length === 1 ? values[0] : values)
  if (omitted.length > 0) all.set('x-headers-omitted', omitted)
  if (value === null) all.set('x-tombstone', true)
  return all.set('x-partition', 3).set('x-stream-offset', at)
}

function judge(section: Buffer, count: number, baseTimestampMs: number): 'given' | 'malformed' {
  const head = { attributes: 0, lastOffsetDelta: count - 1, baseTimestampMs, maxTimestampMs: baseTimestampMs, count }
  const batch = assembleBatch(head, section)
  const log = {
    start: offset(0),
    committed: offset(count),
    read: () => ({ chunks: [batch], bytes: batch.length, next: offset(count) }),
  } as unknown as Log
  const reading = new Reading(testWorld(), new ReadingBudget(), log, { name: 'topic', partition: 3, tellsPlace: true })
  const records = decode(section, count)
  const message = blankMessage({} as LanePart)
  for (let at = 0; at < count; at++) {
    const missing = reading.seek(at)
    if (records === undefined) {
      expect(missing).toBe('malformed')
      continue
    }
    expect(missing).toBeUndefined()
    reading.fill(at, message)
    const record = records[at]
    expect(message.body.equals(record.value ?? Buffer.alloc(0))).toBe(true)
    const { headers, timestamp } = headersOf(message.properties)
    expect([...headers].sort()).toEqual([...expected(record, at)].sort())
    expect(message.routingKey.length).toBeLessThanOrEqual(255)
    expect(timestamp === undefined || timestamp >= 0).toBe(true)
  }
  return records === undefined ? 'malformed' : 'given'
}

// --- what is thrown at it ---

const bytes = (maxLength: number): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength }).map((of) => Buffer.from(of))
const texts = fc.constantFrom('', 'a', 'b', 'amqp', 'x-key', 'x-partition', 'x-tombstone', 'x-death', 'CC', '__proto__')
const name = fc.oneof(
  { weight: 6, arbitrary: texts.map((text) => Buffer.from(text)) },
  { weight: 3, arbitrary: fc.string({ unit: 'binary', maxLength: 90 }).map((text) => Buffer.from(text)) },
  { weight: 2, arbitrary: bytes(100) },
  { weight: 1, arbitrary: fc.integer({ min: 80, max: 400 }).map((length) => Buffer.alloc(length, '€')) },
)
const content = fc.oneof(
  fc.constant(null),
  bytes(100),
  fc.string({ unit: 'binary', maxLength: 90 }).map((text) => Buffer.from(text)),
)
const record: fc.Arbitrary<RawRecord> = fc.record({
  key: content,
  value: content,
  headers: fc.array(fc.record({ name, value: content }), { maxLength: 24, size: 'max' }),
})
const batch = fc.tuple(
  fc.array(fc.tuple(record, fc.oneof(fc.constant(Buffer.alloc(0)), bytes(5))), { minLength: 1, maxLength: 5 }),
  fc.oneof(fc.constant(1_700_000_000_000), fc.integer({ min: -10_000, max: 10 }), fc.maxSafeInteger()),
)
const sectionOf = (records: readonly (readonly [RawRecord, Buffer])[]): Buffer =>
  Buffer.concat(records.map(([one, extra], index) => encode(one, index, extra)))

describe('bytes of a stranger', () => {
  test('that are a batch: every record is a message that says just what it holds', () => {
    fc.assert(
      fc.property(batch, ([records, timeMs]) => {
        expect(judge(sectionOf(records), records.length, timeMs)).toBe('given')
      }),
      { numRuns: 300 },
    )
  })

  test('that were one, and were changed, cut or counted otherwise: all of it or nothing', () => {
    const outcomes = { given: 0, malformed: 0 }
    const change = fc.record({
      at: fc.nat(),
      value: fc.oneof(fc.constantFrom(0, 1, 2, 3), fc.nat(255)),
      cut: fc.nat(3),
      more: fc.integer({ min: 0, max: 1 }),
    })
    fc.assert(
      fc.property(batch, fc.array(change, { minLength: 1, maxLength: 4 }), ([records, timeMs], changes) => {
        let section = sectionOf(records)
        let count = records.length
        for (const { at, value, cut, more } of changes) {
          section[at % section.length] = value
          if (cut === 3 && section.length > 1) section = section.subarray(0, at % section.length || 1)
          count += cut === 2 ? more : 0
        }
        outcomes[judge(section, count, timeMs)]++
      }),
      { numRuns: 1500, seed: 7 },
    )
    expect(outcomes.given).toBeGreaterThan(100)
    expect(outcomes.malformed).toBeGreaterThan(100)
  })

  test('that name a header by nothing: malformed', () => {
    const nameless = { name: null as unknown as Buffer, value: Buffer.of(1) }
    expect(judge(encode({ key: null, value: null, headers: [nameless] }, 0, Buffer.alloc(0)), 1, 0)).toBe('malformed')
  })
})
