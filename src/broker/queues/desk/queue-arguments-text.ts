// Field values as RabbitMQ prints them in its refusals, because clients and people compare those texts.
// Promises: names of types and forms of values letter by letter as its Erlang terms are printed.
// Does not know: which arguments there are or what is wrong with them.

import type { Field, FieldTable } from '../../../base/fields.ts'

const typeNames: Readonly<Record<Field['type'], string>> = {
  bool: 'bool',
  int8: 'byte',
  uint8: 'unsignedbyte',
  int16: 'short',
  uint16: 'unsignedshort',
  int32: 'signedint',
  uint32: 'unsignedint',
  int64: 'long',
  float32: 'float',
  float64: 'double',
  decimal: 'decimal',
  text: 'longstr',
  bytes: 'binary',
  array: 'array',
  timestamp: 'timestamp',
  table: 'table',
  void: 'void',
}

export const typeName = (field: Field): string => typeNames[field.type]

/** A value alone: text as it is, all else as a term. */
export const printValue = (field: Field): string =>
  field.type === 'text' || field.type === 'bytes' ? field.value.toString('utf8') : printTerm(field)

function printTerm(field: Field): string {
  switch (field.type) {
    case 'text':
    case 'bytes':
      return `<<"${field.value.toString('utf8')}">>`
    case 'float32':
    case 'float64':
      return Number.isInteger(field.value) ? field.value.toFixed(1) : String(field.value)
    case 'decimal':
      return `{${field.scale},${field.value}}`
    case 'array':
      return `[${field.value.map((one) => `{${typeName(one)},${printTerm(one)}}`).join(',')}]`
    case 'table':
      return printTable(field.value)
    case 'void':
      return 'undefined'
    default:
      return String(field.value)
  }
}

const printTable = (table: FieldTable): string =>
  `[${table.map(({ name, value }) => `{<<"${name}">>,${typeName(value)},${printTerm(value)}}`).join(',')}]`
