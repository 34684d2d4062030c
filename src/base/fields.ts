// Field tables: typed, named values as AMQP 0-9-1 writes them, on the wire and in stored headers.
// Promises: types that keep what was said: widths of numbers, order and repetition of names, bytes that are no text.
// Does not know: which names mean something; their bytes (field-codec.ts) and JSON (field-json.ts).

export type Field =
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'int8' | 'uint8' | 'int16' | 'uint16' | 'int32' | 'uint32'; readonly value: number }
  /** A number while it is exact, else a bigint. */
  | { readonly type: 'int64'; readonly value: number | bigint }
  | { readonly type: 'float32' | 'float64'; readonly value: number }
  /** value · 10^-scale */
  | { readonly type: 'decimal'; readonly scale: number; readonly value: number }
  /** A long string: bytes that need not be UTF-8. */
  | { readonly type: 'text'; readonly value: Buffer }
  | { readonly type: 'bytes'; readonly value: Buffer }
  | { readonly type: 'array'; readonly value: readonly Field[] }
  /** Seconds since 1970. */
  | { readonly type: 'timestamp'; readonly value: number | bigint }
  | { readonly type: 'table'; readonly value: FieldTable }
  | { readonly type: 'void' }

export interface FieldEntry {
  readonly name: string
  readonly value: Field
}

/** In the order they were given; a name may come twice. */
export type FieldTable = readonly FieldEntry[]

export const noFields: FieldTable = Object.freeze([])

// --- making -------------------------------------------------------------------------------------------------------

export const boolField = (value: boolean): Field => ({ type: 'bool', value })
export const int32Field = (value: number): Field => ({ type: 'int32', value })
export const int64Field = (value: number | bigint): Field => ({ type: 'int64', value })
export const float64Field = (value: number): Field => ({ type: 'float64', value })
export const textField = (value: string | Buffer): Field => ({
  type: 'text',
  value: typeof value === 'string' ? Buffer.from(value) : value,
})
export const bytesField = (value: Buffer): Field => ({ type: 'bytes', value })
export const arrayField = (value: readonly Field[]): Field => ({ type: 'array', value })
/** Seconds since 1970. */
export const timestampField = (value: number | bigint): Field => ({ type: 'timestamp', value })
export const tableField = (value: FieldTable): Field => ({ type: 'table', value })
export const voidField: Field = Object.freeze({ type: 'void' })

/** A table in the order of the record's keys. */
export function fieldTable(fields: Readonly<Record<string, Field>>): FieldTable {
  return Object.entries(fields).map(([name, value]) => ({ name, value }))
}

// --- looking ------------------------------------------------------------------------------------------------------

/** The first field of that name. */
export function findField(table: FieldTable, name: string): Field | undefined {
  for (const entry of table) if (entry.name === name) return entry.value
  return undefined
}

/** The table with the field in place of the first of that name, else at its end; all others of the name go. */
export function withField(table: FieldTable, name: string, value: Field): FieldTable {
  const at = table.findIndex((entry) => entry.name === name)
  if (at < 0) return [...table, { name, value }]
  return table
    .filter((entry, index) => index <= at || entry.name !== name)
    .map((entry, index) => (index === at ? { name, value } : entry))
}

export function withoutField(table: FieldTable, name: string): FieldTable {
  return table.some((entry) => entry.name === name) ? table.filter((entry) => entry.name !== name) : table
}

/** The string of a text field; undefined for every other type. */
export function fieldText(field: Field | undefined): string | undefined {
  return field?.type === 'text' ? field.value.toString() : undefined
}

/** The value of an integer of any width while it is exact; undefined for every other type. */
export function fieldInteger(field: Field | undefined): number | undefined {
  return field?.type === 'int64' && typeof field.value === 'bigint' ? undefined : fieldNumber(field)
}

/** As fieldInteger(), of one beyond 2^53 the nearest number. */
export function fieldNumber(field: Field | undefined): number | undefined {
  switch (field?.type) {
    case 'int8':
    case 'uint8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'uint32':
    case 'int64':
      return Number(field.value)
    default:
      return undefined
  }
}

export function fieldBool(field: Field | undefined): boolean | undefined {
  return field?.type === 'bool' ? field.value : undefined
}

// --- comparing ----------------------------------------------------------------------------------------------------

/** Same type and same value; names of tables in the same order. */
export function identicalField(a: Field, b: Field): boolean {
  return a.type === b.type && sameValue(a, b)
}

/**
 * Equal as RabbitMQ compares arguments (rabbit_misc:assert_args_equivalence): by value, whatever the width of an
 * integer or float; what is inside of arrays and tables must be of the same type too.
 */
export function sameField(a: Field, b: Field): boolean {
  return kindOf(a) === kindOf(b) && sameValue(a, b)
}

function sameValue(a: Field, b: Field): boolean {
  switch (a.type) {
    case 'void':
      return true
    case 'decimal':
      return b.type === 'decimal' && a.scale === b.scale && a.value === b.value
    case 'text':
    case 'bytes':
      return (b.type === 'text' || b.type === 'bytes') && a.value.equals(b.value)
    case 'array':
      return b.type === 'array' && sameElements(a.value, b.value)
    case 'table':
      return b.type === 'table' && sameEntries(a.value, b.value)
    default:
      return 'value' in b && a.value === b.value
  }
}

const sameElements = (a: readonly Field[], b: readonly Field[]): boolean =>
  a.length === b.length && a.every((field, index) => identicalField(field, b[index]))

const sameEntries = (a: FieldTable, b: FieldTable): boolean =>
  a.length === b.length &&
  a.every(({ name, value }, index) => name === b[index].name && identicalField(value, b[index].value))

/** Fields of one kind are compared by their value. */
function kindOf(field: Field): string {
  switch (field.type) {
    case 'int8':
    case 'uint8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'uint32':
    case 'int64':
    case 'timestamp':
      return 'integer'
    case 'float32':
    case 'float64':
      return 'float'
    case 'text':
    case 'bytes':
      return 'text'
    default:
      return field.type
  }
}

// --- saying -------------------------------------------------------------------------------------------------------

/** RabbitMQ's names of the types, as its error texts print them (rabbit_binary_parser.erl). */
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

/** RabbitMQ's name of a field's type: longstr, signedint … */
export function fieldTypeName(field: Field): string {
  return typeNames[field.type]
}

/** As RabbitMQ prints it in error texts: `the value '1' of type 'signedint'`; `none` for what is not there. */
export function describeField(field: Field | undefined): string {
  return field === undefined ? 'none' : `the value '${fieldValueText(field)}' of type '${typeNames[field.type]}'`
}

/**
 * undefined: they are the same. Else how RabbitMQ says that they are not: what follows `inequivalent arg 'x' for queue
 * 'q' in vhost '/': `. Two values are told without their types.
 */
export function fieldDifference(current: Field | undefined, received: Field | undefined): string | undefined {
  if (current === undefined && received === undefined) return undefined
  if (current === undefined || received === undefined) {
    return `received ${describeField(received)} but current is ${describeField(current)}`
  }
  if (sameField(current, received)) return undefined
  return `received '${fieldValueText(received)}' but current is '${fieldValueText(current)}'`
}

/** A value as Erlang's ~ts (strings) or ~tp (all else) print it. */
export function fieldValueText(field: Field): string {
  return field.type === 'text' || field.type === 'bytes' ? field.value.toString() : erlangTerm(field)
}

function erlangTerm(field: Field): string {
  switch (field.type) {
    case 'void':
      return 'undefined'
    case 'text':
    case 'bytes':
      return erlangBinary(field.value.toString())
    case 'decimal':
      return `{${field.scale},${field.value}}`
    case 'float32':
    case 'float64':
      return Number.isInteger(field.value) ? field.value.toFixed(1) : String(field.value)
    case 'array':
      return `[${field.value.map((of) => `{${typeNames[of.type]},${erlangTerm(of)}}`).join(',')}]`
    case 'table':
      return `[${field.value.map(({ name, value: of }) => `{${erlangBinary(name)},${typeNames[of.type]},${erlangTerm(of)}}`).join(',')}]`
    default:
      return String(field.value)
  }
}

const erlangBinary = (text: string): string => `<<${JSON.stringify(text)}>>`
