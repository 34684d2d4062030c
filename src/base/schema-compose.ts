// Tables become closures: what decodes and encodes one version of one message.
// Promises: composed once per table and version, on first use, without eval; decoding throws DecodeError only.
// Does not know: which messages there are; frames and headers around them.

import { assert } from './assert.ts'
import { DecodeError, EncodeError, Reader, utf8Bytes, Writer } from './bytes.ts'
import { defaultsOf } from './schema.ts'
import type { Field, Fields, NumberKind, Table, Type } from './schema.ts'

export interface Codec<Value, Input> {
  decode(reader: Reader): Value
  encode(writer: Writer, value: Input): void
}

/** One type in one version. `bytesMin` is the least a value takes: it bounds what an array may announce. */
interface Shape {
  readonly bytesMin: number
  read(reader: Reader): unknown
  write(writer: Writer, value: unknown): void
}

interface Context {
  readonly version: number
  readonly flexible: boolean
}

type AnyTable = Table<unknown, never>
const composed = new WeakMap<AnyTable, (Codec<unknown, unknown> | undefined)[]>()

/** The codec of one version of a table. A version outside the table's range is a bug of the caller's. */
export function codecFor<Value, Input>(table: Table<Value, Input>, version: number): Codec<Value, Input> {
  let versions = composed.get(table)
  if (versions === undefined) composed.set(table, (versions = []))
  let codec = versions[version]
  if (codec === undefined) {
    assert(version >= table.valid[0] && version <= table.valid[1], `version ${version} is in the table`)
    const shape = structShape(table.body, { version, flexible: version >= table.flexible })
    codec = versions[version] = { decode: shape.read, encode: shape.write }
  }
  return codec as unknown as Codec<Value, Input>
}

/** A value by itself: an int16 version, then the body. The form of our stored records, and of Kafka's embedded ones. */
export function encodeVersioned<Value, Input>(table: Table<Value, Input>, version: number, value: Input): Buffer {
  const writer = new Writer()
  writer.int16(version)
  codecFor(table, version).encode(writer, value)
  const chunks = writer.finish()
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
}

/** The value behind an int16 version. `newer` says what becomes of a version above the table's last. */
export function decodeVersioned<Value, Input>(
  table: Table<Value, Input>,
  bytes: Buffer,
  newer: 'refuse' | 'read as the last' = 'refuse',
): Value {
  const reader = new Reader(bytes)
  const written = reader.int16()
  const version = newer === 'refuse' ? written : Math.min(written, table.valid[1])
  if (!hasVersion(table, version)) throw new DecodeError(`version ${written} of a value we know ${table.valid} of`)
  return codecFor(table, version).decode(reader)
}

/** Whether a table has a version. */
export function hasVersion(table: { readonly valid: readonly [number, number] }, version: number): boolean {
  return version >= table.valid[0] && version <= table.valid[1]
}

function shapeOf(type: Type, nullable: boolean, context: Context): Shape {
  switch (type.kind) {
    case 'bool':
      return { bytesMin: 1, read: (reader) => reader.bool(), write: (writer, value) => writer.bool(value as boolean) }
    case 'uuid':
      return { bytesMin: 16, read: (reader) => reader.uuid(), write: (writer, value) => writer.uuid(value as string) }
    case 'string':
      return stringShape(nullable, context)
    case 'bytes':
    case 'records':
      return bytesShape(nullable, context)
    case 'array':
      return arrayShape(shapeOf(type.of, false, context), nullable, context)
    case 'struct': {
      const shape = structShape(type, context)
      return nullable ? nullableStruct(shape) : shape
    }
    default:
      return numberShape(type.kind, type.saturate)
  }
}

type NumberShapes = Readonly<Record<NumberKind | 'saturatedInt64', Shape>>

const numberShapes: NumberShapes = {
  int8: { bytesMin: 1, read: (reader) => reader.int8(), write: (writer, value) => writer.int8(value as number) },
  int16: { bytesMin: 2, read: (reader) => reader.int16(), write: (writer, value) => writer.int16(value as number) },
  uint16: { bytesMin: 2, read: (reader) => reader.uint16(), write: (writer, value) => writer.uint16(value as number) },
  int32: { bytesMin: 4, read: (reader) => reader.int32(), write: (writer, value) => writer.int32(value as number) },
  uint32: { bytesMin: 4, read: (reader) => reader.uint32(), write: (writer, value) => writer.uint32(value as number) },
  int64: { bytesMin: 8, read: (reader) => reader.int64(), write: (writer, value) => writer.int64(value as number) },
  float64: {
    bytesMin: 8,
    read: (reader) => reader.float64(),
    write: (writer, value) => writer.float64(value as number),
  },
  saturatedInt64: {
    bytesMin: 8,
    read: (reader) => reader.saturatedInt64(),
    write: (writer, value) => writer.int64(value as number),
  },
}

function numberShape(kind: NumberKind, saturate: boolean): Shape {
  return numberShapes[kind === 'int64' && saturate ? 'saturatedInt64' : kind]
}

/** Lengths and counts. Null is -1; compact lengths (KIP-482) are one more than the length, and 0 for null. */
interface Length {
  readonly bytesMin: number
  read(reader: Reader): number
  write(writer: Writer, length: number): void
}

const compactLength: Length = {
  bytesMin: 1,
  read: (reader) => reader.unsignedVarint() - 1,
  write: (writer, length) => writer.unsignedVarint(length + 1),
}
const int16Length: Length = {
  bytesMin: 2,
  read: (reader) => reader.int16(),
  write: (writer, length) => writer.int16(length),
}
const int32Length: Length = {
  bytesMin: 4,
  read: (reader) => reader.int32(),
  write: (writer, length) => writer.int32(length),
}

/** The length just read, when it is no plain one: null where that is allowed. */
function refuseLength(length: number, nullable: boolean): null {
  if (length === -1 && nullable) return null
  throw new DecodeError(length === -1 ? 'null where a value must be' : `a length of ${length}`)
}

function refuseNull(nullable: boolean): void {
  if (!nullable) throw new EncodeError('null in a field that cannot be null in this version')
}

/** What an int16 length can say. Compact lengths could say more, but then a string would depend on its version. */
const stringBytesMax = 32_767

function stringShape(nullable: boolean, context: Context): Shape {
  const length = context.flexible ? compactLength : int16Length
  return {
    bytesMin: length.bytesMin,
    read: (reader) => {
      const bytes = length.read(reader)
      if (bytes > stringBytesMax) throw new DecodeError(`a string of ${bytes} bytes`)
      return bytes < 0 ? refuseLength(bytes, nullable) : reader.utf8(bytes)
    },
    write: (writer, value) => {
      if (value === null) {
        refuseNull(nullable)
        return length.write(writer, -1)
      }
      const bytes = utf8Bytes(value as string)
      if (bytes > stringBytesMax) throw new EncodeError(`a string of ${bytes} bytes`)
      length.write(writer, bytes)
      writer.utf8(value as string, bytes)
    },
  }
}

function bytesShape(nullable: boolean, context: Context): Shape {
  const length = context.flexible ? compactLength : int32Length
  return {
    bytesMin: length.bytesMin,
    read: (reader) => {
      const bytes = length.read(reader)
      return bytes < 0 ? refuseLength(bytes, nullable) : reader.slice(bytes)
    },
    write: (writer, value) => {
      if (value === null) {
        refuseNull(nullable)
        return length.write(writer, -1)
      }
      const slices = value as Uint8Array | readonly Uint8Array[]
      if (!isList(slices)) {
        length.write(writer, slices.length)
        return writer.append(slices)
      }
      let bytes = 0
      for (const slice of slices) bytes += slice.length
      length.write(writer, bytes)
      for (const slice of slices) writer.append(slice)
    },
  }
}

function isList(slices: Uint8Array | readonly Uint8Array[]): slices is readonly Uint8Array[] {
  return Array.isArray(slices)
}

function arrayShape(element: Shape, nullable: boolean, context: Context): Shape {
  const length = context.flexible ? compactLength : int32Length
  assert(element.bytesMin > 0, 'an element takes at least a byte, or a count would be bounded by nothing')
  return {
    bytesMin: length.bytesMin,
    read: (reader) => {
      const announced = length.read(reader)
      if (announced < 0) return refuseLength(announced, nullable)
      const count = reader.elements(announced, element.bytesMin)
      const elements: unknown[] = []
      for (let index = 0; index < count; index++) elements.push(element.read(reader))
      return elements
    },
    write: (writer, value) => {
      if (value === null) {
        refuseNull(nullable)
        return length.write(writer, -1)
      }
      const elements = value as readonly unknown[]
      length.write(writer, elements.length)
      for (const item of elements) element.write(writer, item)
    },
  }
}

/** KIP-893: a struct that may be null is preceded by a byte, negative for null. */
function nullableStruct(shape: Shape): Shape {
  return {
    bytesMin: 1,
    read: (reader) => (reader.int8() < 0 ? null : shape.read(reader)),
    write: (writer, value) => {
      writer.int8(value === null ? -1 : 1)
      if (value !== null) shape.write(writer, value)
    },
  }
}

type Values = Record<string, unknown>

/** A field present in the version being composed. */
interface Member {
  readonly name: string
  readonly field: Field<unknown, never>
  readonly shape: Shape
}

function structShape(type: Type & { readonly kind: 'struct' }, outer: Context): Shape {
  const context = type.flexible === undefined ? outer : { version: outer.version, flexible: type.flexible }
  const standard = defaultsOf(type.fields)
  const { inline, tagged, absent } = membersOf(type.fields, context)
  const tags = context.flexible ? tagShape(tagged) : undefined
  let bytesMin = tags === undefined ? 0 : 1
  for (const { shape } of inline) bytesMin += shape.bytesMin
  return {
    bytesMin,
    read: (reader) => {
      const values: Values = { ...standard }
      for (const member of inline) values[member.name] = member.shape.read(reader)
      if (tags !== undefined) tags.read(reader, values)
      return values
    },
    write: (writer, value) => {
      const values = value as Values
      for (const member of absent) refuseLoss(member, values, context.version)
      for (const { name, shape } of inline) {
        const given = values[name]
        shape.write(writer, given === undefined ? standard[name] : given)
      }
      if (tags !== undefined) tags.write(writer, values)
    },
  }
}

interface Members {
  readonly inline: Member[]
  readonly tagged: Member[]
  /** Not in this version, and not to be lost. */
  readonly absent: Pick<Member, 'name' | 'field'>[]
}

function membersOf(fields: Fields, context: Context): Members {
  const members: Members = { inline: [], tagged: [], absent: [] }
  const { version } = context
  for (const [name, field] of Object.entries(fields)) {
    if (version < field.since || version > field.until) {
      if (!field.ignorable) members.absent.push({ name, field })
      continue
    }
    const shape = shapeOf(field.type, version >= field.nullable, context)
    assert(field.tag === undefined || context.flexible, `${name}: tags exist in flexible versions only`)
    members[field.tag === undefined ? 'inline' : 'tagged'].push({ name, field, shape })
  }
  members.tagged.sort((a, b) => (a.field.tag as number) - (b.field.tag as number))
  return members
}

function refuseLoss({ name, field }: Pick<Member, 'name' | 'field'>, values: Values, version: number): void {
  if (!isDefault(field, values[name]))
    throw new EncodeError(`version ${version} has no field ${name} to hold its value`)
}

interface Tags {
  read(reader: Reader, values: Values): void
  write(writer: Writer, values: Values): void
}

/** The tagged fields behind a struct (KIP-482): those we know by their tag, all others skipped by their length. */
function tagShape(members: readonly Member[]): Tags {
  const byTag = new Map(members.map((member) => [member.field.tag as number, member]))
  return {
    read: (reader, values) => {
      for (let left = reader.unsignedVarint(); left > 0; left--) {
        const member = byTag.get(reader.unsignedVarint())
        const bytes = reader.unsignedVarint()
        if (member === undefined) reader.skip(bytes)
        else values[member.name] = readWithin(reader, bytes, member.shape)
      }
    },
    write: (writer, values) => {
      const given = members.filter((member) => !isDefault(member.field, values[member.name]))
      writer.unsignedVarint(given.length)
      for (const { name, field, shape } of given) {
        const value = new Writer()
        shape.write(value, values[name])
        writer.unsignedVarint(field.tag as number)
        writer.unsignedVarint(value.bytes)
        writer.appendWriter(value)
      }
    },
  }
}

/** Reads a value that must take exactly `bytes`: a tagged field cannot read into what follows it. */
function readWithin(reader: Reader, bytes: number, shape: Shape): unknown {
  const { end } = reader
  if (bytes > reader.remaining) throw new DecodeError(`a tagged field of ${bytes} bytes, ${reader.remaining} left`)
  reader.end = reader.position + bytes
  const value = shape.read(reader)
  if (reader.position !== reader.end) throw new DecodeError('a tagged field that is not as long as it says')
  reader.end = end
  return value
}

/** Whether a value may be left out: absent, or equal to what a reader would put in its place. */
function isDefault(field: Field<unknown, never>, value: unknown): boolean {
  if (value === undefined || value === field.default) return true
  if (value === null || field.default === null) return false
  switch (field.type.kind) {
    case 'array':
    case 'bytes':
      return (value as { length: number }).length === 0
    case 'struct': {
      const values = value as Values
      return Object.entries(field.type.fields).every(([name, member]) => isDefault(member, values[name]))
    }
    default:
      return false
  }
}
