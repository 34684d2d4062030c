// The properties of a message: flags and list of AMQP 0-9-1's class basic, as they travel and as they are stored.
// Promises: what is read is the caller's to keep; changing one property keeps all others byte for byte.
// Does not know: what a property means; scanning without allocating is property-scan.ts.

import { assert } from './assert.ts'
import { DecodeError, EncodeError, Reader, utf8Bytes, Writer } from './bytes.ts'
import { readTable, readUint64, writeTable, writeUint64 } from './field-codec.ts'
import type { FieldTable } from './fields.ts'

export interface Properties {
  readonly contentType?: string
  readonly contentEncoding?: string
  readonly headers?: FieldTable
  /** 2: persistent. */
  readonly deliveryMode?: number
  readonly priority?: number
  readonly correlationId?: string
  readonly replyTo?: string
  /** Milliseconds, as decimal digits. */
  readonly expiration?: string
  readonly messageId?: string
  /** Seconds since 1970. */
  readonly timestamp?: number | bigint
  readonly type?: string
  readonly userId?: string
  readonly appId?: string
  readonly clusterId?: string
}

type Kind = 'text' | 'table' | 'byte' | 'timestamp'

/** In the order of their flags, from bit 15 down. */
const list: readonly (readonly [name: keyof Properties, kind: Kind])[] = [
  ['contentType', 'text'],
  ['contentEncoding', 'text'],
  ['headers', 'table'],
  ['deliveryMode', 'byte'],
  ['priority', 'byte'],
  ['correlationId', 'text'],
  ['replyTo', 'text'],
  ['expiration', 'text'],
  ['messageId', 'text'],
  ['timestamp', 'timestamp'],
  ['type', 'text'],
  ['userId', 'text'],
  ['appId', 'text'],
  ['clusterId', 'text'],
]

/** No property at all: two bytes of flags. */
export const noProperties: Buffer = Buffer.alloc(2)

const flagOf = (index: number): number => 0x8000 >>> index
/** Another word of flags follows: class basic has no properties for it. Bit 1 means nothing and is passed over. */
const flagContinued = 1

function readFlags(reader: Reader): number {
  const flags = reader.uint16()
  if ((flags & flagContinued) !== 0) throw new DecodeError('flags of properties that class basic does not have')
  return flags
}

export function readProperties(bytes: Buffer): Properties {
  const properties: Record<string, unknown> = {}
  eachProperty(bytes, (index, reader) => {
    properties[list[index][0]] = readValue(reader, list[index][1])
  })
  return properties
}

/** Calls `read` at every property that is there; it must read just that. */
function eachProperty(bytes: Buffer, read: (index: number, reader: Reader) => void): void {
  const reader = new Reader(bytes)
  const flags = readFlags(reader)
  for (let index = 0; index < list.length; index++) if ((flags & flagOf(index)) !== 0) read(index, reader)
  if (reader.remaining > 0) throw new DecodeError(`${reader.remaining} bytes behind the properties`)
}

function readValue(reader: Reader, kind: Kind): unknown {
  switch (kind) {
    case 'text':
      return reader.utf8(reader.uint8())
    case 'table':
      return readTable(reader)
    case 'byte':
      return reader.uint8()
    case 'timestamp':
      return readUint64(reader)
  }
}

export function writeProperties(properties: Properties): Buffer {
  return withProperties(noProperties, properties)
}

/** Replaces, adds or removes (undefined) the properties that `change` names; the others stay byte for byte. */
export function withProperties(
  properties: Buffer,
  change: { readonly [Name in keyof Properties]?: Properties[Name] | undefined },
): Buffer {
  const kept: (Buffer | undefined)[] = []
  eachProperty(properties, (index, reader) => {
    const from = reader.position
    skipValue(reader, list[index][1])
    kept[index] = properties.subarray(from, reader.position)
  })
  const writer = new Writer()
  writer.uint16(0)
  let flags = 0
  for (const [index, [name, kind]] of list.entries()) {
    const slice = kept[index]
    const value = change[name]
    if (name in change ? value === undefined : slice === undefined) continue
    flags |= flagOf(index)
    if (value !== undefined) writeValue(writer, kind, value)
    else writer.append(slice as Buffer)
  }
  const chunks = writer.finish()
  const bytes = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
  bytes.writeUInt16BE(flags)
  return bytes
}

/** Replaces the headers, or removes them; all other properties stay byte for byte. */
export function withHeaders(properties: Buffer, headers: FieldTable | undefined): Buffer {
  return withProperties(properties, { headers })
}

function skipValue(reader: Reader, kind: Kind): void {
  switch (kind) {
    case 'text':
      return reader.skip(reader.uint8())
    case 'table':
      return reader.skip(reader.uint32())
    case 'byte':
      return reader.skip(1)
    case 'timestamp':
      return reader.skip(8)
  }
}

function writeValue(writer: Writer, kind: Kind, value: string | number | bigint | FieldTable): void {
  if (typeof value === 'string') {
    assert(kind === 'text', 'a text where the property is one')
    const bytes = utf8Bytes(value)
    if (bytes > 255) throw new EncodeError(`a property of ${bytes} bytes`)
    writer.uint8(bytes)
    writer.utf8(value, bytes)
  } else if (typeof value === 'object') {
    writeTable(writer, value)
  } else if (kind === 'timestamp') {
    writeUint64(writer, value)
  } else {
    if ((Number(value) & 0xff) !== value) throw new EncodeError(`${value} is no byte`)
    writer.uint8(value)
  }
}
