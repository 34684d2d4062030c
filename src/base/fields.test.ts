// Fields: found, compared, told and turned into JSON.
// Promises: comparison and texts are RabbitMQ's (rabbit_misc:assert_args_equivalence).
// Does not know: bytes (field-codec.test.ts).

import { describe, expect, test } from 'vitest'
import { fieldFromJson, fieldToJson, tableFromJson, tableToJson } from './field-json.ts'
import {
  arrayField,
  boolField,
  bytesField,
  describeField,
  fieldDifference,
  fieldInteger,
  fieldTable,
  fieldText,
  findField,
  float64Field,
  identicalField,
  int32Field,
  int64Field,
  noFields,
  sameField,
  tableField,
  textField,
  timestampField,
  voidField,
  withField,
  withoutField,
} from './fields.ts'
import type { Field, FieldTable } from './fields.ts'

describe('a table', () => {
  const table: FieldTable = [
    { name: 'a', value: int32Field(1) },
    { name: 'b', value: textField('x') },
    { name: 'a', value: int32Field(2) },
  ]

  test('the first of a name is found', () => {
    expect(findField(table, 'a')).toEqual(int32Field(1))
    expect(findField(table, 'c')).toBeUndefined()
  })

  test('a field is replaced at its place, or added; its repetitions go', () => {
    expect(withField(table, 'a', voidField)).toEqual([
      { name: 'a', value: voidField },
      { name: 'b', value: textField('x') },
    ])
    expect(withField(noFields, 'a', voidField)).toEqual(fieldTable({ a: voidField }))
    expect(withoutField(table, 'a')).toEqual(fieldTable({ b: textField('x') }))
    expect(withoutField(table, 'z')).toBe(table)
  })
})

describe('values', () => {
  test('integers of any width, while they are exact', () => {
    expect(fieldInteger({ type: 'uint16', value: 7 })).toBe(7)
    expect(fieldInteger(int64Field(2 ** 53 - 1))).toBe(2 ** 53 - 1)
    expect(fieldInteger(int64Field(2n ** 60n))).toBeUndefined()
    for (const other of [timestampField(7), float64Field(7), textField('7'), undefined])
      expect(fieldInteger(other)).toBeUndefined()
  })

  test('text of long strings only', () => {
    expect(fieldText(textField('é'))).toBe('é')
    expect(fieldText(bytesField(Buffer.from('a')))).toBeUndefined()
  })
})

describe('comparison', () => {
  test.each<[Field, Field, boolean]>([
    [int32Field(1), int64Field(1), true],
    [{ type: 'int8', value: -1 }, { type: 'int16', value: -1 }, true],
    [int32Field(1), int32Field(2), false],
    [int32Field(1), float64Field(1), false],
    [{ type: 'float32', value: 1 }, float64Field(1), true],
    [int32Field(1), textField('1'), false],
    [textField('a'), bytesField(Buffer.from('a')), true],
    [boolField(true), boolField(true), true],
    [boolField(true), int32Field(1), false],
    [voidField, voidField, true],
    [voidField, boolField(false), false],
    [{ type: 'decimal', scale: 1, value: 5 }, { type: 'decimal', scale: 1, value: 5 }, true],
    [{ type: 'decimal', scale: 0, value: 5 }, int32Field(5), false],
    [arrayField([int32Field(1)]), arrayField([int32Field(1)]), true],
    [arrayField([int32Field(1)]), arrayField([int64Field(1)]), false],
    [tableField(fieldTable({ a: voidField })), tableField(fieldTable({ a: voidField })), true],
    [tableField(fieldTable({ a: voidField })), tableField(fieldTable({ b: voidField })), false],
    [int64Field(2n ** 60n), int64Field(2n ** 60n), true],
  ])('pair %#', (a, b, same) => {
    expect(sameField(a, b)).toBe(same)
    expect(sameField(b, a)).toBe(same)
    expect(identicalField(a, b)).toBe(same && a.type === b.type)
  })
})

describe("RabbitMQ's words", () => {
  test.each<[Field | undefined, string]>([
    [undefined, 'none'],
    [int32Field(1), "the value '1' of type 'signedint'"],
    [textField('quorum'), "the value 'quorum' of type 'longstr'"],
    [int64Field(60_000), "the value '60000' of type 'long'"],
    [boolField(true), "the value 'true' of type 'bool'"],
    [float64Field(1), "the value '1.0' of type 'double'"],
    [voidField, "the value 'undefined' of type 'void'"],
    [arrayField([textField('a'), int64Field(1)]), "the value '[{longstr,<<\"a\">>},{long,1}]' of type 'array'"],
    [tableField(fieldTable({ a: int32Field(1) })), "the value '[{<<\"a\">>,signedint,1}]' of type 'table'"],
    [{ type: 'decimal', scale: 2, value: 5 }, "the value '{2,5}' of type 'decimal'"],
  ])('%o is %s', (field, text) => {
    expect(describeField(field)).toBe(text)
  })

  test('differences: with types against nothing, without between two values', () => {
    expect(fieldDifference(undefined, int32Field(1))).toBe(
      "received the value '1' of type 'signedint' but current is none",
    )
    expect(fieldDifference(int32Field(1), undefined)).toBe(
      "received none but current is the value '1' of type 'signedint'",
    )
    expect(fieldDifference(int32Field(1), int64Field(2))).toBe("received '2' but current is '1'")
    expect(fieldDifference(int32Field(1), int64Field(1))).toBeUndefined()
    expect(fieldDifference(undefined, undefined)).toBeUndefined()
  })
})

describe('JSON', () => {
  test('what JSON has, there and back', () => {
    const json = { text: 'é', whole: 3, half: 0.5, yes: true, none: null, list: [1, ['a']], inner: { a: {} } }
    expect(tableToJson(tableFromJson(json))).toEqual(json)
  })

  test('integers become int64, all other numbers float64', () => {
    expect(fieldFromJson(3)).toEqual(int64Field(3))
    expect(fieldFromJson(0.5)).toEqual(float64Field(0.5))
    expect(fieldFromJson(1e300)).toEqual(float64Field(1e300))
  })

  test('what JSON does not have is told as text', () => {
    expect(fieldToJson(textField(Buffer.from([0xff])))).toBe('Not UTF-8, base64 is: /w==')
    expect(fieldToJson(int64Field(2n ** 60n))).toBe('1152921504606846976')
    expect(fieldToJson(float64Field(Infinity))).toBe('Infinity')
    expect(fieldToJson({ type: 'decimal', scale: 2, value: 125 })).toBe(1.25)
    expect(fieldToJson(timestampField(7))).toBe(7)
  })

  test('of a repeated name the last; no name is special', () => {
    const json = tableToJson([
      { name: '__proto__', value: int32Field(1) },
      { name: 'a', value: int32Field(1) },
      { name: 'a', value: int32Field(2) },
    ])
    expect(Object.entries(json)).toEqual([
      ['__proto__', 1],
      ['a', 2],
    ])
  })
})
