// Every message we have a table for, in every version: round trips, cuts, noise.
// Promises: what is encoded is decoded again; strict prefixes and noise give a DecodeError or a value, nothing else.
// Does not know: whether the tables are Kafka's; the golden bytes of real clients say so.

import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DecodeError, Reader, Writer } from '../../base/bytes.ts'
import { codecFor } from '../../base/schema-compose.ts'
import type { Field, Fields, NumberKind, Table, Type } from '../../base/schema.ts'
import { apiByKey, apis } from './api-table.ts'
import {
  ConsumerProtocolAssignment,
  ConsumerProtocolSubscription,
  decodeSubscription,
  encodeSubscription,
} from './messages/consumer-protocol.ts'

type AnyTable = Table<unknown, never>
const tables: readonly (readonly [string, AnyTable])[] = [
  ...Object.values(apis).flatMap(({ name, request, response }) => [
    [`${name}Request`, request] as const,
    [`${name}Response`, response] as const,
  ]),
  ['ConsumerProtocolSubscription', ConsumerProtocolSubscription],
  ['ConsumerProtocolAssignment', ConsumerProtocolAssignment],
]

const versionsOf = ({ valid: [first, last] }: AnyTable): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index)

const numbers: Readonly<Record<NumberKind, fc.Arbitrary<number>>> = {
  int8: fc.integer({ min: -128, max: 127 }),
  int16: fc.integer({ min: -32_768, max: 32_767 }),
  uint16: fc.integer({ min: 0, max: 65_535 }),
  int32: fc.integer(),
  uint32: fc.integer({ min: 0, max: 0xffff_ffff }),
  int64: fc.maxSafeInteger(),
  float64: fc.double({ noNaN: true }),
}
const texts = fc.string({ unit: 'binary', maxLength: 12 })
const blobs = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes))
const ids = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('base64url'))

function valuesOf(type: Type, version: number): fc.Arbitrary<unknown> {
  switch (type.kind) {
    case 'bool':
      return fc.boolean()
    case 'uuid':
      return ids
    case 'string':
      return texts
    case 'bytes':
    case 'records':
      return blobs
    case 'array':
      return fc.array(valuesOf(type.of, version), { maxLength: 2 })
    case 'struct':
      return structsOf(type.fields, version)
    default:
      return numbers[type.kind]
  }
}

function structsOf(fields: Fields, version: number): fc.Arbitrary<unknown> {
  const members = Object.entries(fields).map(([name, field]) => [name, fieldOf(field, version)] as const)
  return fc.record(Object.fromEntries(members), { noNullPrototype: true })
}

function fieldOf(field: Field<unknown, never>, version: number): fc.Arbitrary<unknown> {
  if (version < field.since || version > field.until) return fc.constant(field.default)
  const values = valuesOf(field.type, version)
  return version >= field.nullable ? fc.option(values, { nil: null, freq: 3 }) : values
}

function encode(table: AnyTable, version: number, value: unknown): Buffer {
  const writer = new Writer()
  codecFor(table, version).encode(writer, value as never)
  return Buffer.concat(writer.finish())
}

/** Whether the bytes are decoded; anything but a value or a DecodeError fails the test. */
function decodes(table: AnyTable, version: number, bytes: Buffer): boolean {
  try {
    codecFor(table, version).decode(new Reader(bytes))
    return true
  } catch (error) {
    if (error instanceof DecodeError) return false
    throw error
  }
}

describe.each(tables)('%s', (_, table) => {
  test('every version comes back whole', () => {
    for (const version of versionsOf(table)) {
      const back = (value: unknown): void => {
        const bytes = encode(table, version, value)
        const reader = new Reader(bytes)
        const decoded = codecFor(table, version).decode(reader)
        if (!isDeepStrictEqual(decoded, value)) expect(decoded, `version ${version}`).toEqual(value)
        expect(reader.remaining).toBe(0)
      }
      fc.assert(fc.property(structsOf(table.body.fields, version), back), { numRuns: 12 })
    }
  })

  test('no strict prefix is a message', () => {
    for (const version of versionsOf(table)) {
      const [value] = fc.sample(structsOf(table.body.fields, version), 1)
      const bytes = encode(table, version, value)
      for (let length = 0; length < bytes.length; length++) {
        if (decodes(table, version, bytes.subarray(0, length))) throw new Error(`version ${version} of ${length} bytes`)
      }
    }
  })

  test('noise and damage give a value or a DecodeError', () => {
    for (const version of new Set([table.valid[0], table.valid[1]])) {
      const noise = fc.uint8Array({ maxLength: 80 })
      fc.assert(
        fc.property(noise, (bytes) => void decodes(table, version, Buffer.from(bytes))),
        { numRuns: 25 },
      )
      const damaged = fc.tuple(structsOf(table.body.fields, version), fc.nat(), fc.integer({ min: 0, max: 255 }))
      fc.assert(
        fc.property(damaged, ([value, at, byte]) => {
          const bytes = encode(table, version, value)
          if (bytes.length > 0) bytes[at % bytes.length] = byte
          decodes(table, version, bytes)
        }),
        { numRuns: 25 },
      )
    }
  })
})

test('the table of APIs: keys once, request and response of the same versions', () => {
  const entries = Object.entries(apis)
  expect(apiByKey.size).toBe(entries.length)
  for (const [property, api] of entries) {
    expect(property).toBe(api.name[0].toLowerCase() + api.name.slice(1))
    expect(api.response.valid).toEqual(api.request.valid)
    expect(api.response.flexible).toBe(api.request.flexible)
  }
})

test('a subscription of a newer version is read as our newest', () => {
  const bytes = encodeSubscription(3, { topics: ['orders'], rackId: 'a' })
  bytes.writeInt16BE(9, 0)
  expect(decodeSubscription(Buffer.concat([bytes, Buffer.from('more')]))).toMatchObject({ topics: ['orders'] })
})
