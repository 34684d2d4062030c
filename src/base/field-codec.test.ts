// Field tables: their bytes, read, walked and written.
// Promises: what is written is read again, exactly; walking judges as reading does; noise gives a DecodeError or a value,
//   in bounded time and memory.
// Does not know: what RabbitMQ's clients send; the golden bytes say that (test/golden/amqp.test.ts).

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DecodeError, EncodeError, Reader } from './bytes.ts'
import { fieldDepthMax, fieldsMax, parseTable, readTable, tableBytes, walkTable } from './field-codec.ts'
import { arrayField, fieldTable, int64Field, tableField, textField, timestampField, voidField } from './fields.ts'
import type { Field, FieldTable } from './fields.ts'

const blobs = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes))
const integers = (type: 'int8' | 'uint8' | 'int16' | 'uint16' | 'int32' | 'uint32', min: number, max: number) =>
  fc.integer({ min, max }).map((value): Field => ({ type, value }))
/** As they are read: a number while it is exact. */
const exact = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value)

const plainFields: fc.Arbitrary<Field> = fc.oneof(
  fc.boolean().map((value): Field => ({ type: 'bool', value })),
  integers('int8', -128, 127),
  integers('uint8', 0, 255),
  integers('int16', -32_768, 32_767),
  integers('uint16', 0, 65_535),
  integers('int32', -(2 ** 31), 2 ** 31 - 1),
  integers('uint32', 0, 2 ** 32 - 1),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => int64Field(exact(value))),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => timestampField(exact(value))),
  fc.float().map((value): Field => ({ type: 'float32', value })),
  fc.double().map((value): Field => ({ type: 'float64', value })),
  fc
    .tuple(fc.nat(255), fc.integer({ min: 0, max: 2 ** 32 - 1 }))
    .map(([scale, value]): Field => ({ type: 'decimal', scale, value })),
  blobs.map((value): Field => ({ type: 'text', value })),
  blobs.map((value): Field => ({ type: 'bytes', value })),
  fc.constant(voidField),
)

const names = fc.string({ unit: 'binary', maxLength: 10 })
const { table: tables } = fc.letrec<{ field: Field; table: FieldTable }>((tie) => ({
  field: fc.oneof(
    { depthSize: 'small' },
    plainFields,
    tie('table').map(tableField),
    fc.array(tie('field'), { maxLength: 4 }).map(arrayField),
  ),
  table: fc.array(fc.record({ name: names, value: tie('field') }), { maxLength: 5 }),
}))

const valueOrFault = <Value>(read: () => Value): Value | 'fault' => {
  try {
    return read()
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError)
    return 'fault'
  }
}

describe('a table', () => {
  test('comes back as it was written, and is walked to its end', () => {
    fc.assert(
      fc.property(tables, (table) => {
        const bytes = tableBytes(table)
        expect(parseTable(bytes)).toEqual(table)
        expect(walkTable(bytes, 0, bytes.length)).toBe(bytes.length)
        expect(tableBytes(parseTable(bytes)).equals(bytes)).toBe(true)
      }),
      { seed: 1, numRuns: 500 },
    )
  })

  test('cut or with flipped bits: a DecodeError or a table, and walking says the same', () => {
    fc.assert(
      fc.property(tables, fc.nat(), fc.array(fc.nat(), { maxLength: 4 }), (table, cut, flips) => {
        const whole = tableBytes(table)
        const bytes = Buffer.from(whole.subarray(0, cut % 3 === 0 ? cut % (whole.length + 1) : whole.length))
        for (const flip of flips) if (bytes.length > 0) bytes[(flip >>> 3) % bytes.length] ^= 1 << (flip & 7)
        const reader = new Reader(bytes)
        const read = valueOrFault(() => readTable(reader))
        const end = valueOrFault(() => walkTable(bytes, 0, bytes.length))
        expect(end).toBe(read === 'fault' ? 'fault' : reader.position)
      }),
      { seed: 2, numRuns: 2000 },
    )
  })

  test("is the caller's to keep: no field holds on to the bytes it was read from", () => {
    const bytes = tableBytes(fieldTable({ name: textField('kept'), nested: arrayField([textField('also')]) }))
    const table = parseTable(bytes)
    bytes.fill(0)
    expect(table).toEqual(fieldTable({ name: textField('kept'), nested: arrayField([textField('also')]) }))
  })

  test("is written as RabbitMQ's clients write it", () => {
    const table = fieldTable({ a: int64Field(-2), b: voidField, c: textField('x'), d: { type: 'int16', value: 5 } })
    expect(tableBytes(table).toString('hex')).toBe(
      '0000001b' + '01616cfffffffffffffffe' + '016256' + '01635300000001' + '78' + '0164730005',
    )
  })

  test('`L` is read as a signed int64 and written as `l`', () => {
    const bytes = Buffer.from('0000000b' + '01614c' + 'ffffffffffffffff', 'hex')
    expect(parseTable(bytes)).toEqual([{ name: 'a', value: int64Field(-1) }])
    expect(tableBytes(parseTable(bytes)).toString('latin1', 6, 7)).toBe('l')
  })

  test('whatever is read can be written, names that are no UTF-8 too', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 253, size: 'max' }), (name) => {
        const entry = Buffer.from([0, 0, 0, name.length + 2, name.length, ...name, 'V'.charCodeAt(0)])
        const bytes = tableBytes(parseTable(entry))
        expect(bytes[4]).toBeLessThanOrEqual(255)
        expect(tableBytes(parseTable(bytes)).equals(bytes)).toBe(true)
      }),
      { seed: 3, numRuns: 200, examples: [[new Uint8Array(253).fill(0xff)]] },
    )
  })

  test('numbers beyond 2^53 are exact, as bigints', () => {
    const table = fieldTable({ time: int64Field(1_757_000_000_123_456_789n), never: timestampField(2n ** 64n - 1n) })
    expect(parseTable(tableBytes(table))).toEqual(table)
  })
})

describe('limits', () => {
  const nested = (depth: number): FieldTable => {
    let field: Field = voidField
    for (let level = 0; level < depth; level++)
      field = level % 2 === 0 ? arrayField([field]) : tableField([{ name: '', value: field }])
    return [{ name: '', value: field }]
  }

  test(`${fieldDepthMax} deep and no deeper`, () => {
    expect(parseTable(tableBytes(nested(fieldDepthMax)))).toEqual(nested(fieldDepthMax))
    const deep = tableBytes(nested(fieldDepthMax + 1))
    expect(() => parseTable(deep)).toThrow(DecodeError)
    expect(() => walkTable(deep, 0, deep.length)).toThrow(DecodeError)
  })

  test('a stranger cannot exhaust our stack', () => {
    const levels = 20_000
    const bytes = Buffer.alloc(4 + 2 + 5 * levels)
    bytes.writeUInt32BE(bytes.length - 4)
    for (let level = 0; level < levels; level++) {
      const at = 5 + 5 * level
      bytes[at] = 'A'.charCodeAt(0)
      bytes.writeUInt32BE(Math.max(0, bytes.length - at - 5), at + 1)
    }
    expect(() => parseTable(bytes)).toThrow(DecodeError)
    expect(() => walkTable(bytes, 0, bytes.length)).toThrow(DecodeError)
  })

  test(`${fieldsMax} fields and no more`, () => {
    const many = (count: number): Buffer => {
      const bytes = Buffer.alloc(4 + 7 + count, 'V')
      bytes.writeUInt32BE(bytes.length - 4)
      bytes.write('\x01aA', 4, 'latin1')
      bytes.writeUInt32BE(count, 7)
      return bytes
    }
    expect(parseTable(many(fieldsMax - 1))).toHaveLength(1)
    expect(() => parseTable(many(fieldsMax))).toThrow(DecodeError)
    expect(walkTable(many(fieldsMax - 1), 0, fieldsMax + 10)).toBe(fieldsMax + 10)
    expect(() => walkTable(many(fieldsMax), 0, fieldsMax + 11)).toThrow(DecodeError)
  })

  test.each<[string, Field]>([
    ['int8', { type: 'int8', value: 128 }],
    ['uint8', { type: 'uint8', value: -1 }],
    ['int16', { type: 'int16', value: 32_768 }],
    ['uint32', { type: 'uint32', value: 2 ** 32 }],
    ['int64', int64Field(2n ** 63n)],
    ['timestamp', timestampField(-1)],
    ['decimal', { type: 'decimal', scale: 256, value: 1 }],
  ])('%s: a value that does not fit is refused', (_, value) => {
    expect(() => tableBytes([{ name: 'a', value }])).toThrow(EncodeError)
  })

  test('a name of 256 bytes is refused', () => {
    expect(() => tableBytes([{ name: 'é'.repeat(128), value: voidField }])).toThrow(EncodeError)
  })
})
