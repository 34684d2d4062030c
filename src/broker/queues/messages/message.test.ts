// Tests of the record form: what is published comes back byte for byte, and what strangers wrote as AMQP would say it.
// Promises: random properties, names and bodies; the visible record is checked with the reader of any record.
// Does not know: logs, ledgers.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BufferPool } from '../../../base/buffer-pool.ts'
import type { Field, FieldEntry } from '../../../base/fields.ts'
import { partitionOfKey } from '../../../base/murmur2.ts'
import { readProperties, writeProperties } from '../../../base/properties.ts'
import { batchHeadBytes } from '../../../log/batch.ts'
import { BatchBuilder } from '../../../log/batch-builder.ts'
import { encodeRecords, RecordCursor, type RecordHeader } from '../../../log/records.ts'
import { MessageReader, MessageWriter } from './message.ts'
import { ForeignReader } from './message-foreign.ts'
import { PartitionChoice } from '../lanes/partition-choice.ts'
import type { LanePart, NewMessage, StoredMessage } from '../parts.ts'

const nothing: Buffer = Buffer.alloc(0)

const emptyStored = (): StoredMessage => ({
  lane: undefined as unknown as LanePart,
  offset: 0,
  redelivered: false,
  exchange: nothing,
  routingKey: nothing,
  properties: nothing,
  body: nothing,
  isDeadLetter: false,
  isPlaced: false,
})

const field: fc.Arbitrary<Field> = fc.oneof(
  fc.uint8Array({ maxLength: 20 }).map((value): Field => ({ type: 'text', value: Buffer.from(value) })),
  fc.boolean().map((value): Field => ({ type: 'bool', value })),
  fc.integer().map((value): Field => ({ type: 'int32', value })),
  fc.constant<Field>({ type: 'void' }),
  fc.constant<Field>({ type: 'array', value: [{ type: 'int8', value: 1 }] }),
)
const name = fc.string({ unit: 'grapheme', maxLength: 30 })
const properties = fc
  .record(
    {
      contentType: name,
      headers: fc.array(fc.record({ name, value: field }), { maxLength: 5 }),
      deliveryMode: fc.constantFrom(1, 2),
      priority: fc.integer({ min: 0, max: 255 }),
      correlationId: name,
      expiration: fc.nat().map(String),
      timestamp: fc.nat(),
    },
    { requiredKeys: [] },
  )
  .map((given) => writeProperties(given))
const message: fc.Arbitrary<NewMessage> = fc
  .record({
    exchange: name,
    routingKey: name,
    properties,
    chunks: fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 3 }),
    isDeadLetter: fc.boolean(),
  })
  .map(({ chunks, ...rest }) => {
    const body = chunks.map((chunk) => Buffer.from(chunk))
    return { ...rest, body, bodyBytes: body.reduce((sum, chunk) => sum + chunk.length, 0) }
  })

/** The records section of one batch with these messages, and where each begins. */
function written(messages: readonly NewMessage[]): { section: Buffer; positions: number[] } {
  const builder = new BatchBuilder(new BufferPool(0))
  const writer = new MessageWriter()
  for (const one of messages) writer.write(builder, one, 1_700_000_000_000)
  const section = builder.seal().bytes.subarray(batchHeadBytes)
  const cursor = new RecordCursor(section)
  const positions: number[] = []
  do positions.push(section.length - cursor.remaining)
  while (cursor.next())
  return { section, positions: positions.slice(0, -1) }
}

function firstRecord(one: NewMessage): { key: string | null; headers: RecordHeader[] } {
  const cursor = new RecordCursor(written([one]).section)
  cursor.next()
  return { key: cursor.key === null ? null : cursor.key.toString(), headers: cursor.headers() }
}

const published = (headers: Record<string, Field>, rest: Partial<NewMessage> = {}): NewMessage => ({
  exchange: 'ex',
  routingKey: 'key',
  properties: writeProperties({ headers: Object.entries(headers).map(([key, value]) => ({ name: key, value })) }),
  body: [Buffer.from('body')],
  bodyBytes: 4,
  isDeadLetter: false,
  ...rest,
})

describe('a message of ours', () => {
  test('comes back as it was published', () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 8 }), (messages) => {
        const { section, positions } = written(messages)
        const reader = new MessageReader()
        const stored = emptyStored()
        for (const [index, one] of messages.entries()) {
          reader.read(section, positions[index], stored)
          expect(stored.exchange.toString()).toBe(one.exchange)
          expect(stored.routingKey.toString()).toBe(one.routingKey)
          expect(stored.properties.equals(one.properties)).toBe(true)
          expect(stored.body.equals(Buffer.concat(one.body))).toBe(true)
          expect(stored.isDeadLetter).toBe(one.isDeadLetter)
        }
      }),
      { numRuns: 100 },
    )
  })

  test('like the one before it has the very same names and properties', () => {
    const { section, positions } = written([published({}), published({})])
    const reader = new MessageReader()
    const stored = emptyStored()
    reader.read(section, positions[0], stored)
    reader.read(section, positions[1], stored)
    const { exchange, routingKey, properties: props } = stored
    reader.read(section, positions[0], stored)
    expect(stored.exchange).toBe(exchange)
    expect(stored.routingKey).toBe(routingKey)
    expect(stored.properties).toBe(props)
    // Remembered bytes are the reader's own: the section may be anybody's by then.
    section.fill(0)
    expect(exchange.toString()).toBe('ex')
    expect(readProperties(props)).toEqual({ headers: [] })
  })

  test('shows headers of one value as text, its key as the key, and nothing else', () => {
    const { key, headers } = firstRecord(
      published({
        text: { type: 'text', value: Buffer.from('word') },
        number: { type: 'int64', value: -5 },
        flag: { type: 'bool', value: true },
        price: { type: 'decimal', scale: 2, value: 5 },
        list: { type: 'array', value: [] },
        'x-key': { type: 'text', value: Buffer.from('k1') },
        amqp: { type: 'text', value: Buffer.from('not ours') },
      }),
    )
    expect(key).toBe('k1')
    expect(headers.map((header) => header.name)).toEqual(['amqp', 'text', 'number', 'flag', 'price'])
    expect(headers.slice(1).map((header) => header.value!.toString())).toEqual(['word', '-5', 'true', '0.05'])
  })

  test('of several keys has the first, as its partition does', () => {
    const headers = ['one', 'two'].map((key): FieldEntry => ({
      name: 'x-key',
      value: { type: 'text', value: Buffer.from(key) },
    }))
    const properties = writeProperties({ headers })
    expect(firstRecord(published({}, { properties })).key).toBe('one')
    const partitions = 64
    const chosen = new PartitionChoice(0).of(properties, partitions)
    expect(chosen).toBe(partitionOfKey(Buffer.from('one'), partitions))
  })

  test('has the bytes that docs/formats.md says', () => {
    const one = published({}, { properties: Buffer.from('1000 02'.replace(' ', ''), 'hex'), isDeadLetter: true })
    const cursor = new RecordCursor(written([one]).section)
    cursor.next()
    expect(cursor.headers()).toEqual([
      { name: 'amqp', value: Buffer.from(`0001${'02'}6578${'03'}6b6579${'100002'}`, 'hex') },
    ])
  })

  test('that says so has no value at all, and comes back as published', () => {
    for (const [said, bodyBytes, value] of [
      [true, 0, null],
      [false, 0, ''],
      [true, 4, 'body'],
    ] as const) {
      const one = published(
        { 'x-tombstone': { type: 'bool', value: said } },
        { body: [Buffer.from('body').subarray(0, bodyBytes)], bodyBytes },
      )
      const { section } = written([one, published({})])
      const cursor = new RecordCursor(section)
      cursor.next()
      expect([cursor.value?.toString() ?? null, cursor.headers().length]).toEqual([value, 1])
      const stored = emptyStored()
      new MessageReader().read(section, 0, stored)
      expect([stored.body.length, stored.properties.equals(one.properties)]).toEqual([bodyBytes, true])
    }
  })

  test('tells priority and expiration, and that nothing was said', () => {
    const writer = new MessageWriter()
    writer.look(writeProperties({ priority: 7, expiration: '1500' }))
    expect([writer.priority, writer.expirationMs]).toEqual([7, 1500])
    writer.look(writeProperties({ contentType: 'text/plain' }))
    expect([writer.priority, writer.expirationMs]).toEqual([-1, -1])
  })
})

describe("a stranger's record", () => {
  const read = (key: string | Buffer | null, headers: RecordHeader[], timestampMs = 1_700_000_000_999) => {
    const section = encodeRecords(
      [{ key: key === null ? null : Buffer.from(key), value: Buffer.from('v'), headers, timestampMs: 0 }],
      0,
    )
    const stored = emptyStored()
    new ForeignReader('topic', 3).read(section, 0, { timestampMs: () => timestampMs }, 7, stored)
    return { stored, properties: readProperties(stored.properties) }
  }
  const text = (value: string): Field => ({ type: 'text', value: Buffer.from(value) })
  const place = [
    { name: 'x-partition', value: { type: 'int32', value: 3 } },
    { name: 'x-stream-offset', value: { type: 'int64', value: 7 } },
  ]

  test('has its key as routing key and as x-key, its time in seconds', () => {
    const { stored, properties: props } = read('order-7', [])
    expect(stored.routingKey.toString()).toBe('order-7')
    expect(stored.exchange).toHaveLength(0)
    expect(stored.body.toString()).toBe('v')
    expect(props).toEqual({ headers: [{ name: 'x-key', value: text('order-7') }, ...place], timestamp: 1_700_000_000 })
  })

  test('without a key, or with one that is no short text, has the topic as routing key', () => {
    expect(read(null, []).stored.routingKey.toString()).toBe('topic')
    expect(read(null, []).properties).toEqual({ headers: place, timestamp: 1_700_000_000 })
    expect(read('k'.repeat(256), []).stored.routingKey.toString()).toBe('topic')
    const binary = read(Buffer.of(0xff, 0xfe), [])
    expect(binary.stored.routingKey.toString()).toBe('topic')
    expect(binary.properties.headers).toEqual([
      { name: 'x-key', value: { type: 'bytes', value: Buffer.of(0xff, 0xfe) } },
      ...place,
    ])
  })

  test('has its headers as a table: repeated names an array, null void, no header of ours', () => {
    const { properties: props } = read(null, [
      { name: 'a', value: Buffer.from('1') },
      { name: 'gone', value: null },
      { name: 'amqp', value: Buffer.from('forged') },
      { name: 'a', value: Buffer.from('2') },
    ])
    expect(props.headers).toEqual([
      { name: 'a', value: { type: 'array', value: [text('1'), text('2')] } },
      { name: 'gone', value: { type: 'void' } },
      ...place,
    ])
  })

  test('is what a naive reader says, whatever its key, headers and time', () => {
    const bytes = fc.uint8Array({ maxLength: 80 }).map((given) => Buffer.from(given))
    const nameOf = fc.oneof(name, fc.constantFrom('a', 'b', 'amqp', 'x-key', 'x-partition', 'x-tombstone'))
    const header = fc.record({ name: nameOf, value: fc.option(fc.oneof(bytes, name.map(Buffer.from))) })
    fc.assert(
      fc.property(
        fc.option(fc.oneof(bytes, name.map(Buffer.from))),
        fc.option(bytes),
        fc.array(header, { maxLength: 20 }),
        fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constant(2 ** 60)),
        (key, value, headers, timestampMs) => {
          const section = encodeRecords([{ key, value, headers, timestampMs: 0 }], 0)
          const stored = emptyStored()
          new ForeignReader('topic', 3).read(section, 0, { timestampMs: () => timestampMs }, 7, stored)
          expect(readProperties(stored.properties)).toEqual(naive(key, value, headers, timestampMs))
          expect(stored.body.equals(value ?? nothing)).toBe(true)
        },
      ),
      { numRuns: 300 },
    )
  })

  function naive(key: Buffer | null, value: Buffer | null, headers: readonly RecordHeader[], timestampMs: number) {
    const fieldOf = (of: Buffer | null): Field => {
      if (of === null) return { type: 'void' }
      return { type: of.equals(Buffer.from(of.toString())) ? 'text' : 'bytes', value: of }
    }
    const ours = ['amqp', 'x-key', 'x-partition', 'x-stream-offset', 'x-tombstone', 'x-headers-omitted']
    const names = new Set(headers.map((one) => one.name).filter((one) => !ours.includes(one)))
    const table = [...names].map((one) => {
      const fields = headers.filter((of) => of.name === one).map((of) => fieldOf(of.value))
      return { name: one, value: fields.length === 1 ? fields[0] : { type: 'array', value: fields } }
    })
    const first = key === null ? [] : [{ name: 'x-key', value: fieldOf(key) }]
    const last = value === null ? [{ name: 'x-tombstone', value: { type: 'bool', value: true } }] : []
    return {
      headers: [...first, ...table, ...last, ...place],
      timestamp: Math.floor(Math.min(timestampMs, Number.MAX_SAFE_INTEGER) / 1000),
    }
  }

  test('fits a frame, however many names are left out', () => {
    const long = Array.from({ length: 100 }, (_, at) => ({ name: `${at}${'€'.repeat(300)}`, value: Buffer.alloc(1) }))
    const full = Array.from({ length: 100 }, (_, at) => ({ name: String(at), value: Buffer.alloc(2000) }))
    const { properties: props } = read(null, [...long, ...full], -1)
    expect(writeProperties(props).length).toBeLessThan(128 * 1024 - 20)
  })

  test('has no time when it says none, and names the headers that are too large', () => {
    const { properties: props } = read(null, [{ name: 'large', value: Buffer.alloc(200_000) }], -1)
    expect(props).toEqual({
      headers: [{ name: 'x-headers-omitted', value: { type: 'array', value: [text('large')] } }, ...place],
    })
  })
})
