// The bytes of field tables: AMQP 0-9-1's, with the type tags that RabbitMQ gives them.
// Promises: what is read is the caller's to keep; hostile bytes throw DecodeError, bounded in depth and elements; walking
//   a table judges exactly as reading it does, and allocates nothing.
// Does not know: what names mean; where a table comes from.
//
// The tags are not the specification's: clients agree on RabbitMQ's reading of them (rabbit_binary_parser.erl and
// https://www.rabbitmq.com/amqp-0-9-1-errata). `s` is an int16, `L` is read as a signed int64 and never written.

import { DecodeError, EncodeError, Reader, utf8Bytes, Writer } from './bytes.ts'
import type { Field, FieldTable } from './fields.ts'

/** Tables and arrays inside one another: more than any client writes, far less than our stack. */
export const fieldDepthMax = 32
/**
 * Fields of one table, those inside its tables and arrays included: more than a client's frame holds (one byte each), so
 * that what the broker adds to a message that was taken never makes it one that cannot be read.
 */
export const fieldsMax = 250_000
/** Names have one byte for their length. */
const nameBytesMax = 255

const [tagBool, tagInt8, tagUint8, tagInt16, tagUint16, tagInt32, tagUint32, tagInt64, tagOldInt64] = codes('tbBsuIilL')
const [tagFloat32, tagFloat64, tagDecimal, tagText, tagBytes, tagArray, tagTimestamp, tagTable, tagVoid] =
  codes('fdDSxATFV')

function codes(characters: string): number[] {
  return [...characters].map((character) => character.charCodeAt(0))
}

// --- reading ------------------------------------------------------------------------------------------------------

/** A table behind its uint32 length. The bytes are copied once: no field holds on to the reader's buffer. */
export function readTable(reader: Reader): FieldTable {
  return readTableBytes(reader.slice(reader.uint32()))
}

/** A table behind its uint32 length that takes all of `bytes`. */
export function parseTable(bytes: Buffer): FieldTable {
  const reader = new Reader(bytes)
  const table = readTable(reader)
  if (reader.remaining > 0) throw new DecodeError(`${reader.remaining} bytes behind a table`)
  return table
}

/** The entries of a table, without its length. */
function readTableBytes(bytes: Buffer): FieldTable {
  return readEntries(new Reader(Buffer.from(bytes), 0, bytes.length, fieldsMax), 0)
}

function readEntries(reader: Reader, depth: number): FieldTable {
  const table = []
  while (reader.remaining > 0) {
    reader.elements(1, 2)
    table.push({ name: readName(reader), value: readField(reader, depth) })
  }
  return table
}

/** Bytes that are no UTF-8 become characters of three: cut to what can be written again. */
function readName(reader: Reader): string {
  const name = reader.utf8(reader.uint8())
  return name.length * 3 > nameBytesMax && utf8Bytes(name) > nameBytesMax ? name.slice(0, nameBytesMax / 3) : name
}

function readElements(reader: Reader, depth: number): Field[] {
  const array = []
  while (reader.remaining > 0) {
    reader.elements(1, 1)
    array.push(readField(reader, depth))
  }
  return array
}

function readField(reader: Reader, depth: number): Field {
  const tag = reader.uint8()
  switch (tag) {
    case tagText:
      return { type: 'text', value: reader.slice(reader.uint32()) }
    case tagBool:
      return { type: 'bool', value: reader.bool() }
    case tagInt32:
      return { type: 'int32', value: reader.int32() }
    case tagInt64:
    case tagOldInt64:
      return { type: 'int64', value: readInt64(reader) }
    case tagInt8:
      return { type: 'int8', value: reader.int8() }
    case tagUint8:
      return { type: 'uint8', value: reader.uint8() }
    case tagInt16:
      return { type: 'int16', value: reader.int16() }
    case tagUint16:
      return { type: 'uint16', value: reader.uint16() }
    case tagUint32:
      return { type: 'uint32', value: reader.uint32() }
    case tagFloat32:
      return { type: 'float32', value: readFloat32(reader) }
    case tagFloat64:
      return { type: 'float64', value: reader.float64() }
    case tagDecimal:
      return { type: 'decimal', scale: reader.uint8(), value: reader.uint32() }
    case tagBytes:
      return { type: 'bytes', value: reader.slice(reader.uint32()) }
    case tagTimestamp:
      return { type: 'timestamp', value: readUint64(reader) }
    case tagVoid:
      return { type: 'void' }
    case tagTable:
      return { type: 'table', value: readWithin(reader, depth + 1, readEntries) }
    case tagArray:
      return { type: 'array', value: readWithin(reader, depth + 1, readElements) }
    default:
      throw unknownTag(tag)
  }
}

/** What takes exactly the bytes that its length says. */
function readWithin<Value>(reader: Reader, depth: number, read: (reader: Reader, depth: number) => Value): Value {
  const bytes = reader.uint32()
  const { end } = reader
  if (bytes > reader.remaining) throw new DecodeError(`${bytes} bytes of fields, ${reader.remaining} left`)
  if (depth > fieldDepthMax) throw tooDeep()
  reader.end = reader.position + bytes
  const value = read(reader, depth)
  reader.end = end
  return value
}

function readFloat32(reader: Reader): number {
  const at = reader.position
  reader.skip(4)
  return reader.buffer.readFloatBE(at)
}

/** 64 bits at `at`. A view of them is made for the few numbers that a double cannot hold. */
const wide = (buffer: Buffer, at: number): DataView => new DataView(buffer.buffer, buffer.byteOffset + at, 8)

function readInt64(reader: Reader): number | bigint {
  const at = reader.position
  const value = reader.int32() * 0x1_0000_0000 + reader.uint32()
  return Number.isSafeInteger(value) ? value : wide(reader.buffer, at).getBigInt64(0)
}

/** Exact: a bigint where a number is not. */
export function readUint64(reader: Reader): number | bigint {
  const at = reader.position
  const value = reader.uint32() * 0x1_0000_0000 + reader.uint32()
  return Number.isSafeInteger(value) ? value : wide(reader.buffer, at).getBigUint64(0)
}

const unknownTag = (tag: number): DecodeError => new DecodeError(`a field of the unknown type ${tag}`)
const tooDeep = (): DecodeError => new DecodeError(`fields more than ${fieldDepthMax} deep`)

// --- walking ------------------------------------------------------------------------------------------------------

/** Fields the walk under way may still meet. Walks do not overlap: nothing of a walk waits. */
let walkLeft = 0

/**
 * Judges a table whose uint32 length is at `at`, without reading it: where it ends. `end` is the end of the bytes that
 * may be looked at.
 */
export function walkTable(bytes: Buffer, at: number, end: number): number {
  walkLeft = fieldsMax
  const from = behind(at, 4, end)
  const to = behind(from, uint32At(bytes, at), end)
  walkFields(bytes, from, to, true, 0)
  return to
}

function walkFields(bytes: Buffer, from: number, end: number, named: boolean, depth: number): void {
  let at = from
  while (at < end) {
    if (--walkLeft < 0) throw new DecodeError(`more than ${fieldsMax} fields`)
    if (named) at = behind(at, 1 + bytes[at], end)
    at = walkField(bytes, at, end, depth)
  }
}

/** Where the field at `at` ends. */
function walkField(bytes: Buffer, at: number, end: number, depth: number): number {
  const from = behind(at, 1, end)
  switch (bytes[at]) {
    case tagText:
    case tagBytes:
      return behind(behind(from, 4, end), uint32At(bytes, from), end)
    case tagTable:
    case tagArray: {
      const start = behind(from, 4, end)
      const to = behind(start, uint32At(bytes, from), end)
      if (depth + 1 > fieldDepthMax) throw tooDeep()
      walkFields(bytes, start, to, bytes[at] === tagTable, depth + 1)
      return to
    }
    case tagVoid:
      return from
    case tagBool:
    case tagInt8:
    case tagUint8:
      return behind(from, 1, end)
    case tagInt16:
    case tagUint16:
      return behind(from, 2, end)
    case tagInt32:
    case tagUint32:
    case tagFloat32:
      return behind(from, 4, end)
    case tagDecimal:
      return behind(from, 5, end)
    case tagInt64:
    case tagOldInt64:
    case tagFloat64:
    case tagTimestamp:
      return behind(from, 8, end)
    default:
      throw unknownTag(bytes[at])
  }
}

/** `at + count`, which must not be beyond `end`. */
function behind(at: number, count: number, end: number): number {
  if (count > end - at) throw new DecodeError(`${count} bytes of a table expected, ${end - at} left`)
  return at + count
}

function uint32At(bytes: Buffer, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0
}

// --- writing ------------------------------------------------------------------------------------------------------

/** The table behind its uint32 length. */
export function writeTable(writer: Writer, table: FieldTable): void {
  writeWithin(writer, () => {
    for (const { name, value } of table) {
      const bytes = utf8Bytes(name)
      if (bytes > nameBytesMax) throw new EncodeError(`a field's name of ${bytes} bytes`)
      writer.uint8(bytes)
      writer.utf8(name, bytes)
      writeField(writer, value)
    }
  })
}

/** The table's bytes, its uint32 length included. */
export function tableBytes(table: FieldTable): Buffer {
  const writer = new Writer()
  writeTable(writer, table)
  const chunks = writer.finish()
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
}

function writeWithin(writer: Writer, write: () => void): void {
  const at = writer.bytes
  writer.int32(0)
  write()
  writer.patchInt32(at, writer.bytes - at - 4)
}

function writeField(writer: Writer, field: Field): void {
  switch (field.type) {
    case 'text':
      return writeSlice(writer, tagText, field.value)
    case 'bytes':
      return writeSlice(writer, tagBytes, field.value)
    case 'table':
      writer.uint8(tagTable)
      return writeTable(writer, field.value)
    case 'array':
      writer.uint8(tagArray)
      return writeWithin(writer, () => {
        for (const element of field.value) writeField(writer, element)
      })
    case 'bool':
      writer.uint8(tagBool)
      return writer.bool(field.value)
    case 'void':
      return writer.uint8(tagVoid)
    case 'decimal':
      writer.uint8(tagDecimal)
      if ((field.scale & 0xff) !== field.scale) throw new EncodeError(`${field.scale} is no scale of a decimal`)
      writer.uint8(field.scale)
      return writer.uint32(field.value)
    default:
      return writeNumber(writer, field)
  }
}

function writeSlice(writer: Writer, tag: number, slice: Buffer): void {
  writer.uint8(tag)
  writer.uint32(slice.length)
  writer.append(slice)
}

type NumberField = Extract<Field, { readonly value: number | bigint }>

function writeNumber(writer: Writer, field: Exclude<NumberField, { readonly type: 'decimal' }>): void {
  switch (field.type) {
    case 'int8':
      writer.uint8(tagInt8)
      return writer.int8(field.value)
    case 'uint8':
      writer.uint8(tagUint8)
      if ((field.value & 0xff) !== field.value) throw new EncodeError(`${field.value} is no uint8`)
      return writer.uint8(field.value)
    case 'int16':
      writer.uint8(tagInt16)
      return writer.int16(field.value)
    case 'uint16':
      writer.uint8(tagUint16)
      return writer.uint16(field.value)
    case 'int32':
      writer.uint8(tagInt32)
      return writer.int32(field.value)
    case 'uint32':
      writer.uint8(tagUint32)
      return writer.uint32(field.value)
    case 'int64':
      writer.uint8(tagInt64)
      return writeInt64(writer, field.value, -(2 ** 63), 2 ** 63)
    case 'timestamp':
      writer.uint8(tagTimestamp)
      return writeUint64(writer, field.value)
    case 'float32': {
      const bytes = Buffer.allocUnsafe(4)
      bytes.writeFloatBE(field.value)
      writer.uint8(tagFloat32)
      return writer.append(bytes)
    }
    case 'float64':
      writer.uint8(tagFloat64)
      return writer.float64(field.value)
  }
}

export function writeUint64(writer: Writer, value: number | bigint): void {
  writeInt64(writer, value, 0, 2 ** 64)
}

function writeInt64(writer: Writer, value: number | bigint, min: number, below: number): void {
  if (value < min || value >= below) throw new EncodeError(`${value} does not fit 64 bits`)
  if (typeof value === 'number') return writer.int64(value)
  const bytes = Buffer.allocUnsafe(8)
  wide(bytes, 0).setBigInt64(0, value)
  writer.append(bytes)
}
