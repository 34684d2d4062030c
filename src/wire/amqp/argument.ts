// The table language of AMQP's methods: arguments as data, their types inferred, their codec composed once.
// Promises: decoding throws DecodeError only and gives values to keep; encoding fills in what is left out, and refuses
//   what its type cannot hold (EncodeError).
// Does not know: which methods there are (methods.ts); frames.

import { isUtf8 } from 'node:buffer'
import { DecodeError, EncodeError, utf8Bytes } from '../../base/bytes.ts'
import type { Reader, Writer } from '../../base/bytes.ts'
import { readTable, writeTable } from '../../base/field-codec.ts'
import { noFields } from '../../base/fields.ts'
import type { FieldTable } from '../../base/fields.ts'
import { FrameFault } from './frame.ts'

/** One type of argument. A bit shares its byte with the bits beside it (clause 4.2.5.2). */
export interface ArgumentType<Value> {
  /** The specification's name of the type. */
  readonly kind: 'bit' | 'octet' | 'short' | 'long' | 'longlong' | 'shortstr' | 'longstr' | 'table'
  readonly default: Value
  read(reader: Reader): Value
  write(writer: Writer, value: Value): void
}

// One that reads or writes a given value may stand where any is wanted: hence methods in the interface above.
export type Arguments = Readonly<Record<string, ArgumentType<unknown>>>

export type ArgumentValues<A extends Arguments> = {
  readonly [Name in keyof A]: A[Name] extends ArgumentType<infer Value> ? Value : never
}
/** What encoding takes: an argument left out has its default. */
export type ArgumentInput<A extends Arguments> = Partial<ArgumentValues<A>>

export const bit: ArgumentType<boolean> = {
  kind: 'bit',
  default: false,
  read: (reader) => reader.bool(),
  write: (writer, value) => writer.bool(value),
}

const number = (
  kind: ArgumentType<number>['kind'],
  read: (reader: Reader) => number,
  write: (writer: Writer, value: number) => void,
): ArgumentType<number> => ({ kind, default: 0, read, write })

export const u8 = number(
  'octet',
  (reader) => reader.uint8(),
  (writer, value) => {
    if ((value & 0xff) !== value) throw new EncodeError(`${value} is no octet`)
    writer.uint8(value)
  },
)
export const u16 = number(
  'short',
  (reader) => reader.uint16(),
  (writer, value) => writer.uint16(value),
)
export const u32 = number(
  'long',
  (reader) => reader.uint32(),
  (writer, value) => writer.uint32(value),
)
/** A delivery tag. Nobody was given one beyond 2^53: such a one is read as the largest safe integer. */
export const u64 = number('longlong', readUint64, (writer, value) => {
  if (value < 0) throw new EncodeError(`${value} is no unsigned number`)
  writer.int64(value)
})

function readUint64(reader: Reader): number {
  const upper = reader.uint32()
  const lower = reader.uint32()
  return upper > 0x1f_ffff ? Number.MAX_SAFE_INTEGER : upper * 0x1_0000_0000 + lower
}

/** One byte has its length. */
export const shortTextBytesMax = 255

export const shortText: ArgumentType<string> = {
  kind: 'shortstr',
  default: '',
  read: (reader) => {
    const bytes = reader.uint8()
    const at = reader.position
    return checkedText(reader.utf8(bytes), reader.buffer, at, at + bytes)
  },
  write: (writer, value) => {
    const bytes = utf8Bytes(value)
    if (bytes > shortTextBytesMax) throw new EncodeError(`a short string of ${bytes} bytes`)
    writer.uint8(bytes)
    writer.utf8(value, bytes)
  },
}

/** The text that was decoded from buffer[from, to), which must have been UTF-8 (rabbit_binary_parser:assert_utf8). */
export function checkedText(text: string, buffer: Buffer, from: number, to: number): string {
  // Decoding puts U+FFFD where the bytes are not UTF-8; seldom is it what they said.
  if (text.includes('\ufffd') && !isUtf8(buffer.subarray(from, to))) {
    throw new FrameFault('Malformed UTF-8 in shortstr')
  }
  return text
}

/** Bytes that need not be text, with four bytes for their length. Copied: they are the caller's to keep. */
export const longText: ArgumentType<Buffer> = {
  kind: 'longstr',
  default: Buffer.alloc(0),
  read: (reader) => Buffer.from(reader.slice(reader.uint32())),
  write: (writer, value) => {
    writer.uint32(value.length)
    writer.append(value)
  },
}

export const table: ArgumentType<FieldTable> = {
  kind: 'table',
  default: noFields,
  read: readTable,
  write: writeTable,
}

// --- composing ----------------------------------------------------------------------------------------------------

export interface ArgumentsCodec<A extends Arguments> {
  /** Reads all that is left. */
  decode(reader: Reader): ArgumentValues<A>
  encode(writer: Writer, values: ArgumentInput<A>): void
}

type Values = Record<string, unknown>

/** One argument, or the bits of one byte. */
interface Step {
  read(reader: Reader, values: Values): void
  write(writer: Writer, values: Values): void
}

export function codecOf<A extends Arguments>(argumentTypes: A): ArgumentsCodec<A> {
  const steps: Step[] = []
  let bits: Bit[] = []
  for (const [name, type] of Object.entries(argumentTypes)) {
    if (type.kind !== 'bit') {
      bits = []
      steps.push(valueStep(name, type))
      continue
    }
    if (bits.length % 8 === 0) steps.push(bitsStep((bits = [])))
    bits.push({ name, default: type.default === true })
  }
  return {
    decode: (reader) => {
      const values: Values = {}
      for (const step of steps) step.read(reader, values)
      if (reader.remaining > 0) throw new DecodeError(`${reader.remaining} bytes behind the arguments of a method`)
      return values as ArgumentValues<A>
    },
    encode: (writer, values) => {
      for (const step of steps) step.write(writer, values as Values)
    },
  }
}

function valueStep(name: string, type: ArgumentType<unknown>): Step {
  return {
    read: (reader, values) => {
      values[name] = type.read(reader)
    },
    write: (writer, values) => {
      const given = values[name]
      type.write(writer, given === undefined ? type.default : given)
    },
  }
}

interface Bit {
  readonly name: string
  readonly default: boolean
}

/** Up to eight bits, the first one lowest. `bits` may still grow while the table is composed. */
function bitsStep(bits: readonly Bit[]): Step {
  return {
    read: (reader, values) => {
      const octet = reader.uint8()
      for (let index = 0; index < bits.length; index++) values[bits[index].name] = (octet & (1 << index)) !== 0
    },
    write: (writer, values) => {
      let octet = 0
      for (let index = 0; index < bits.length; index++) {
        const bit = bits[index]
        const given = values[bit.name]
        if (given === undefined ? bit.default : given === true) octet |= 1 << index
      }
      writer.uint8(octet)
    },
  }
}
