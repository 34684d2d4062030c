// Bytes, read and written: the primitives that every codec of ours is composed of.
// Promises: a Reader throws DecodeError only and allocates by no unchecked length; a Writer copies no large slice.
// Does not know: messages, versions, fields. Those are tables (schema.ts).

/** A stranger's bytes that cannot be what they claim: the only thing a decoder throws. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError'
}

/** A value that its message or version cannot carry: our own mistake, or a client that asks too much of a version. */
export class EncodeError extends Error {
  override readonly name = 'EncodeError'
}

/** Most array elements one message may hold. An element costs its sender a byte or two and us an object. */
const decodeElementsMax = 1_000_000

/** The uuid of sixteen zero bytes, as Kafka prints it: "no uuid". */
export const zeroUuid = 'AAAAAAAAAAAAAAAAAAAAAA'

const two32 = 0x1_0000_0000
/** The highest and lowest upper halves of an exact int64: 2^53 = 2^21 · 2^32. */
const upperMax = 0x1f_ffff
const upperMin = -0x20_0000

const emptyBuffer = Buffer.alloc(0)

/** Reads big-endian primitives from `buffer`, from `position` up to `end`. Slices share the buffer's memory. */
export class Reader {
  readonly buffer: Buffer
  position: number
  end: number
  private elementsLeft: number

  constructor(buffer: Buffer, position = 0, end = buffer.length, elementsMax = decodeElementsMax) {
    this.buffer = buffer
    this.position = position
    this.end = end
    this.elementsLeft = elementsMax
  }

  get remaining(): number {
    return this.end - this.position
  }

  /** Moves past `bytes` bytes and returns where they start. */
  private take(bytes: number): number {
    const at = this.position
    if (bytes < 0 || bytes > this.end - at) throw new DecodeError(`${bytes} bytes expected, ${this.end - at} left`)
    this.position = at + bytes
    return at
  }

  skip(bytes: number): void {
    this.take(bytes)
  }

  bool(): boolean {
    return this.buffer[this.take(1)] !== 0
  }

  uint8(): number {
    return this.buffer[this.take(1)]
  }

  int8(): number {
    return (this.buffer[this.take(1)] << 24) >> 24
  }

  int16(): number {
    return (this.uint16() << 16) >> 16
  }

  uint16(): number {
    const at = this.take(2)
    return (this.buffer[at] << 8) | this.buffer[at + 1]
  }

  int32(): number {
    const at = this.take(4)
    const b = this.buffer
    return (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3]
  }

  uint32(): number {
    return this.int32() >>> 0
  }

  /** Exact, or refused: a number that a double cannot hold is no offset, id or size of anybody's. */
  int64(): number {
    const upper = this.int32()
    const lower = this.int32() >>> 0
    if (upper > upperMax || upper < upperMin || (upper === upperMin && lower === 0)) {
      throw new DecodeError('an int64 beyond 2^53')
    }
    return upper * two32 + lower
  }

  /** For times and offsets a client may fill with its largest long: beyond 2^53 becomes the nearest safe integer. */
  saturatedInt64(): number {
    const upper = this.int32()
    const lower = this.int32() >>> 0
    return saturate(upper * two32 + lower)
  }

  float64(): number {
    return this.buffer.readDoubleBE(this.take(8))
  }

  /** Sixteen bytes as 22 characters of base64url, the way Kafka prints an id. */
  uuid(): string {
    const at = this.take(16)
    const b = this.buffer
    let first = at
    while (first < at + 16 && b[first] === 0) first++
    return first === at + 16 ? zeroUuid : b.toString('base64url', at, at + 16)
  }

  /** Seven bits a byte, least first; at most five bytes and 32 bits. */
  unsignedVarint(): number {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.uint8()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    const last = this.uint8()
    if (last > 0x0f) throw new DecodeError('a varint of more than 32 bits')
    return (value | (last << 28)) >>> 0
  }

  varint(): number {
    const zigzag = this.unsignedVarint()
    return (zigzag >>> 1) ^ -(zigzag & 1)
  }

  /** A zigzag varint of up to 64 bits, read as three groups so that no BigInt is needed. */
  varlong(): number {
    const groups: [number, number, number] = [0, 0, 0]
    for (let index = 0; index < 10; index++) {
      const byte = this.uint8()
      if (index === 9 && byte > 1) throw new DecodeError('a varint of more than 64 bits')
      const group = index < 4 ? 0 : index < 8 ? 1 : 2
      groups[group] |= (byte & 0x7f) << (7 * (index % 4))
      if (byte < 0x80) return fromZigzag(groups[0] | (groups[1] << 28), (groups[1] >>> 4) | (groups[2] << 24))
    }
    throw new DecodeError('a varint without an end')
  }

  /** The next `bytes` bytes, not copied: the slice keeps the whole buffer alive. */
  slice(bytes: number): Buffer {
    if (bytes === 0) return emptyBuffer
    const at = this.take(bytes)
    return this.buffer.subarray(at, at + bytes)
  }

  utf8(bytes: number): string {
    if (bytes === 0) return ''
    const at = this.take(bytes)
    return this.buffer.toString('utf8', at, at + bytes)
  }

  /** Judges an array's announced count: it must fit the bytes left and what one message may hold. */
  elements(count: number, elementBytesMin: number): number {
    if (count < 0 || count * elementBytesMin > this.end - this.position) {
      throw new DecodeError(`an array of ${count} elements with ${this.end - this.position} bytes left`)
    }
    this.elementsLeft -= count
    if (this.elementsLeft < 0) throw new DecodeError('more array elements than one message may hold')
    return count
  }
}

function saturate(value: number): number {
  if (value > Number.MAX_SAFE_INTEGER) return Number.MAX_SAFE_INTEGER
  return value < Number.MIN_SAFE_INTEGER ? Number.MIN_SAFE_INTEGER : value
}

function fromZigzag(lower: number, upper: number): number {
  const sign = -(lower & 1)
  const low = ((lower >>> 1) | (upper << 31)) ^ sign
  const high = (upper >>> 1) ^ sign
  return saturate(high * two32 + (low >>> 0))
}

/** What a writer takes memory from: one block that many small messages share. */
const blockBytes = 64 * 1024
/** A foreign slice at least this long is referenced; copying a shorter one is cheaper than another chunk. */
const referenceBytesMin = 4096

/** The unused rest of the last block. The writer under way holds it; another one meanwhile takes a fresh block. */
let spareBlock: Buffer | undefined

/**
 * Writes big-endian primitives into chunks. A full chunk is left where it is and the next begun, so nothing written is
 * copied again. finish() ends the writer: its chunks are then the caller's, and are never written to again.
 */
export class Writer {
  private readonly chunks: Buffer[] = []
  /** Bytes in `chunks`. */
  private chunkBytes = 0
  private block: Buffer
  /** The chunk being written is block[from, at). */
  private from = 0
  private at = 0

  constructor() {
    this.block = spareBlock ?? Buffer.allocUnsafeSlow(blockBytes)
    spareBlock = undefined
  }

  /** Bytes written so far, referenced slices included. */
  get bytes(): number {
    return this.chunkBytes + this.at - this.from
  }

  /** Makes room for `bytes` contiguous bytes and returns where they go. */
  private room(bytes: number): number {
    if (bytes > this.block.length - this.at) {
      this.closeChunk()
      this.block = Buffer.allocUnsafeSlow(Math.max(blockBytes, bytes))
      this.from = this.at = 0
    }
    const at = this.at
    this.at = at + bytes
    return at
  }

  private closeChunk(): void {
    if (this.at === this.from) return
    this.chunks.push(this.block.subarray(this.from, this.at))
    this.chunkBytes += this.at - this.from
    this.from = this.at
  }

  bool(value: boolean): void {
    this.uint8(value ? 1 : 0)
  }

  uint8(value: number): void {
    const at = this.room(1)
    this.block[at] = value
  }

  int8(value: number): void {
    if ((value << 24) >> 24 !== value) throw outOfRange('int8', value)
    this.uint8(value)
  }

  int16(value: number): void {
    if ((value << 16) >> 16 !== value) throw outOfRange('int16', value)
    this.two(value)
  }

  uint16(value: number): void {
    if ((value & 0xffff) !== value) throw outOfRange('uint16', value)
    this.two(value)
  }

  int32(value: number): void {
    if ((value | 0) !== value) throw outOfRange('int32', value)
    this.four(value)
  }

  uint32(value: number): void {
    if (value >>> 0 !== value) throw outOfRange('uint32', value)
    this.four(value)
  }

  int64(value: number): void {
    if (!Number.isSafeInteger(value)) throw outOfRange('int64', value)
    this.four(Math.floor(value / two32))
    this.four(value)
  }

  float64(value: number): void {
    const at = this.room(8)
    this.block.writeDoubleBE(value, at)
  }

  uuid(value: string): void {
    const at = this.room(16)
    if (value === zeroUuid) this.block.fill(0, at, at + 16)
    else if (value.length !== 22 || this.block.write(value, at, 16, 'base64url') !== 16) {
      throw new EncodeError(`no uuid: ${JSON.stringify(value)}`)
    }
  }

  unsignedVarint(value: number): void {
    if (value >>> 0 !== value) throw outOfRange('varint', value)
    let rest = value
    while (rest >= 0x80) {
      this.uint8((rest & 0x7f) | 0x80)
      rest >>>= 7
    }
    this.uint8(rest)
  }

  varint(value: number): void {
    if ((value | 0) !== value) throw outOfRange('varint', value)
    this.unsignedVarint(((value << 1) ^ (value >> 31)) >>> 0)
  }

  varlong(value: number): void {
    if (!Number.isSafeInteger(value)) throw outOfRange('varlong', value)
    const upper = Math.floor(value / two32)
    const sign = upper >> 31
    let high = (((upper << 1) | ((value >>> 0) >>> 31)) ^ sign) >>> 0
    let low = (((value | 0) << 1) ^ sign) >>> 0
    while (high !== 0 || low >= 0x80) {
      this.uint8((low & 0x7f) | 0x80)
      low = ((low >>> 7) | (high << 25)) >>> 0
      high >>>= 7
    }
    this.uint8(low)
  }

  /** The text's UTF-8 bytes, without a length. */
  utf8(text: string, bytes: number): void {
    const at = this.room(bytes)
    if (bytes === text.length && bytes < 24) {
      for (let index = 0; index < bytes; index++) this.block[at + index] = text.charCodeAt(index)
    } else this.block.write(text, at, bytes, bytes === text.length ? 'latin1' : 'utf8')
  }

  /** Appends bytes: a large slice by reference, which must then stay unchanged until the message is sent. */
  append(slice: Uint8Array): void {
    if (slice.length < referenceBytesMin) {
      const at = this.room(slice.length)
      this.block.set(slice, at)
      return
    }
    this.closeChunk()
    this.chunks.push(Buffer.from(slice.buffer, slice.byteOffset, slice.length))
    this.chunkBytes += slice.length
  }

  /** Appends what another writer wrote and ends that writer. */
  appendWriter(other: Writer): void {
    for (const chunk of other.finish()) this.append(chunk)
  }

  /** Overwrites an int32 this writer wrote at `position`, counted from its start: a length that is known only later. */
  patchInt32(position: number, value: number): void {
    let start = 0
    for (const chunk of this.chunks) {
      if (position < start + chunk.length) {
        chunk.writeInt32BE(value, position - start)
        return
      }
      start += chunk.length
    }
    this.block.writeInt32BE(value, this.from + position - start)
  }

  /** The chunks in order. The writer must not be used after. */
  finish(): Buffer[] {
    this.closeChunk()
    const rest = this.block.length - this.at
    if (rest >= 1024) spareBlock = this.block.subarray(this.at)
    this.block = emptyBuffer
    this.from = this.at = 0
    return this.chunks
  }

  private two(value: number): void {
    const at = this.room(2)
    this.block[at] = value >>> 8
    this.block[at + 1] = value
  }

  private four(value: number): void {
    const at = this.room(4)
    const block = this.block
    block[at] = value >>> 24
    block[at + 1] = value >>> 16
    block[at + 2] = value >>> 8
    block[at + 3] = value
  }
}

/** The bytes a text takes as UTF-8. */
export function utf8Bytes(text: string): number {
  if (text.length < 24) {
    let index = 0
    while (index < text.length && text.charCodeAt(index) < 0x80) index++
    if (index === text.length) return index
  }
  return Buffer.byteLength(text, 'utf8')
}

function outOfRange(type: string, value: number): EncodeError {
  return new EncodeError(`${value} is no ${type}`)
}
