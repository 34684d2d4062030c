// The table language: versions, defaults, nulls, tags, loss; on tables made for the purpose.
// Promises: the rules of Kafka's message definitions hold, byte for byte in the examples given.
// Does not know: Kafka's own messages (wire/kafka/messages.test.ts).

import { describe, expect, expectTypeOf, test } from 'vitest'
import { DecodeError, EncodeError, Reader, Writer } from './bytes.ts'
import { codecFor, decodeVersioned, encodeVersioned } from './schema-compose.ts'
import {
  array,
  bool,
  bytes,
  int16,
  int32,
  int64,
  int8,
  list,
  message,
  records,
  string,
  struct,
  uuid,
  versions,
} from './schema.ts'
import type { InputOf, Table, ValueOf } from './schema.ts'

function encode<Value, Input>(table: Table<Value, Input>, version: number, value: Input): string {
  const writer = new Writer()
  codecFor(table, version).encode(writer, value)
  return Buffer.concat(writer.finish()).toString('hex')
}

function decode<Value, Input>(table: Table<Value, Input>, version: number, text: string): Value {
  return codecFor(table, version).decode(new Reader(Buffer.from(text, 'hex')))
}

const Order = message(versions(0, 4, { flexible: 3 }), {
  name: string(),
  note: string({ nullable: 1 }),
  count: int32({ since: 1, default: -1, ignorable: true }),
  urgent: bool({ since: 2 }),
  lines: list({ item: string(), price: int64({ since: 2, default: 5, ignorable: true }) }, { nullable: 2 }),
  old: int16({ until: 1 }),
  colour: string({ since: 3, nullable: 0, default: null, ignorable: true, tag: 1 }),
  size: struct({ width: int32({ default: 1 }), height: int32() }, { since: 3, tag: 0 }),
})

describe('versions', () => {
  test('types are inferred from the table', () => {
    expectTypeOf<ValueOf<typeof Order>['note']>().toEqualTypeOf<string | null>()
    expectTypeOf<ValueOf<typeof Order>['name']>().toEqualTypeOf<string>()
    expectTypeOf<ValueOf<typeof Order>['lines']>().toEqualTypeOf<
      readonly { readonly item: string; readonly price: number }[] | null
    >()
    expectTypeOf<ValueOf<typeof Order>>().toExtend<InputOf<typeof Order>>()
  })

  test('a version has its own fields, in their order', () => {
    expect(encode(Order, 0, { name: 'a', lines: [{ item: 'b' }], old: 2 })).toBe(
      '000161' + '0000' + '00000001' + '000162' + '0002',
    )
    expect(encode(Order, 2, { name: 'a', note: null, urgent: true, lines: null })).toBe(
      '000161' + 'ffff' + 'ffffffff' + '01' + 'ffffffff',
    )
    expect(encode(Order, 3, { name: 'a', lines: [{ item: 'b' }] })).toBe(
      '0261' + '01' + 'ffffffff' + '00' + '02' + '0262' + '0000000000000005' + '00' + '00',
    )
  })

  test('a field that the version lacks has its default', () => {
    expect(decode(Order, 0, '000161' + '0000' + '00000001' + '000162' + '0002')).toEqual({
      name: 'a',
      note: '',
      count: -1,
      urgent: false,
      lines: [{ item: 'b', price: 5 }],
      old: 2,
      colour: null,
      size: { width: 1, height: 0 },
    })
  })

  test('a value that the version cannot carry is refused, unless it may be lost', () => {
    expect(() => encode(Order, 1, { urgent: true })).toThrow(EncodeError)
    expect(() => encode(Order, 2, { old: 1 })).toThrow(/old/)
    expect(() => encode(Order, 2, { size: { width: 2 } })).toThrow(EncodeError)
    expect(encode(Order, 2, { old: 0, size: { width: 1 } })).toBe(encode(Order, 2, {}))
    expect(encode(Order, 0, { count: 9, colour: 'red' })).toBe(encode(Order, 0, {}))
  })

  test('a version outside the table is our mistake', () => {
    expect(() => codecFor(Order, 5)).toThrow('version 5')
  })
})

describe('null', () => {
  test('is refused both ways where the version has none', () => {
    expect(() => encode(Order, 0, { note: null })).toThrow(EncodeError)
    expect(() => decode(Order, 0, '000161' + 'ffff' + '00000000' + '0000')).toThrow(DecodeError)
    expect(() => decode(Order, 1, '000161' + 'ffff' + 'ffffffff' + 'ffffffff' + '0000')).toThrow(DecodeError)
  })

  test('a struct that may be null has a byte before it', () => {
    const Page = message(versions(0, 0, { flexible: 0 }), {
      cursor: struct({ at: int8() }, { nullable: 0, default: null }),
    })
    expect(encode(Page, 0, {})).toBe('ff' + '00')
    expect(encode(Page, 0, { cursor: { at: 3 } })).toBe('01' + '03' + '00' + '00')
    expect(decode(Page, 0, 'ff00')).toEqual({ cursor: null })
    expect(decode(Page, 0, '01030000')).toEqual({ cursor: { at: 3 } })
  })
})

describe('tagged fields', () => {
  const head = '01' + '01' + 'ffffffff' + '00' + '00'

  test('are written in the order of their tags, and only when they say something', () => {
    expect(encode(Order, 3, { lines: null, colour: 'red', size: { height: 2 } })).toBe(
      head + '02' + '0009' + '00000001' + '00000002' + '00' + '0104' + '04726564',
    )
    expect(encode(Order, 3, { lines: null, colour: null, size: { width: 1, height: 0 } })).toBe(head + '00')
  })

  test('unknown ones are passed over', () => {
    const value = decode(Order, 3, head + '02' + '0104' + '04726564' + '9f8d06' + '02' + 'abcd')
    expect(value).toMatchObject({ colour: 'red', size: { width: 1, height: 0 } })
  })

  test('one that is not as long as it says is refused', () => {
    for (const tag of ['0105' + '0472656400', '0103' + '04726564', '0001' + '00', '017f']) {
      expect(() => decode(Order, 3, head + '01' + tag)).toThrow(DecodeError)
    }
  })
})

describe('bytes and records', () => {
  const Data = message(versions(0, 1, { flexible: 1 }), { key: bytes(), batches: records(), id: uuid() })

  test('records are null, one slice or several, and decoded as a slice', () => {
    expect(encode(Data, 0, {})).toBe('00000000' + 'ffffffff' + '00'.repeat(16))
    const parts = [Buffer.from('ab'), Buffer.from('cd')]
    expect(encode(Data, 1, { batches: parts })).toBe(encode(Data, 1, { batches: Buffer.from('abcd') }))
    const source = Buffer.from('01' + '05' + '61626364' + '00'.repeat(17), 'hex')
    const { batches } = codecFor(Data, 1).decode(new Reader(source))
    expect(batches?.toString()).toBe('abcd')
    expect(batches?.buffer).toBe(source.buffer)
  })
})

describe('lengths that cannot be', () => {
  const Value = message(versions(0, 1, { flexible: 1 }), { value: bytes(), maybe: bytes({ nullable: 0 }) })

  test('null and negative ones are refused where nothing may be null', () => {
    expect(decode(Value, 0, '00000000' + 'ffffffff').maybe).toBe(null)
    for (const text of ['ffffffff' + '00000000', 'fffffffe' + '00000000', '00000000' + 'fffffffe']) {
      expect(() => decode(Value, 0, text)).toThrow(DecodeError)
    }
    expect(() => decode(Value, 1, '00' + '01' + '00')).toThrow(DecodeError)
  })

  test('a string is at most 32,767 bytes in every version', () => {
    const Name = message(versions(0, 1, { flexible: 1 }), { name: string() })
    const longest = 'x'.repeat(32_767)
    expect(decode(Name, 1, encode(Name, 1, { name: longest })).name).toBe(longest)
    for (const version of [0, 1]) expect(() => encode(Name, version, { name: `${longest}x` })).toThrow(EncodeError)
    const tooLong = '818002' + '78'.repeat(32_768) + '00'
    expect(() => decode(Name, 1, tooLong)).toThrow(DecodeError)
  })
})

describe('lies about size', () => {
  const Names = message(versions(0, 1, { flexible: 1 }), {
    names: array(string()),
    rows: list({ cells: array(int8()) }),
  })

  test('an announced count is judged before anything is allocated', () => {
    for (const text of ['7fffffff', 'fffffffe', '00000003' + '00000000']) {
      expect(() => decode(Names, 0, text)).toThrow(DecodeError)
    }
    expect(() => decode(Names, 1, 'ffffffff0f')).toThrow(DecodeError)
  })

  test('many small arrays together are bounded too', () => {
    const rows = Buffer.alloc(3_000_000, 1)
    const whole = Buffer.concat([Buffer.from('01' + '81b53f', 'hex'), rows])
    expect(() => codecFor(Names, 1).decode(new Reader(whole))).toThrow('more array elements')
  })
})

describe('a struct with rules of its own', () => {
  test('lengths and tags inside it are as it says', () => {
    const Mixed = message(versions(0, 0, { flexible: 0 }), { plain: struct({ name: string() }, { flexible: false }) })
    expect(encode(Mixed, 0, { plain: { name: 'a' } })).toBe('000161' + '00')
  })
})

describe('values with a version of their own', () => {
  test('come back, and a newer one is refused or read as the last', () => {
    const stored = encodeVersioned(Order, 1, { name: 'a', old: 7 })
    expect(stored.readInt16BE()).toBe(1)
    expect(decodeVersioned(Order, stored)).toMatchObject({ name: 'a', old: 7 })
    const newer = Buffer.concat([Buffer.from('0063', 'hex'), encodeVersioned(Order, 4, { name: 'n' }).subarray(2)])
    expect(() => decodeVersioned(Order, newer)).toThrow(DecodeError)
    expect(decodeVersioned(Order, newer, 'read as the last').name).toBe('n')
    expect(() => decodeVersioned(Order, Buffer.from('ffff', 'hex'), 'read as the last')).toThrow(DecodeError)
  })
})
