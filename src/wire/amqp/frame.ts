// The frames of AMQP 0-9-1 as they are read: protocol headers and a stream cut into frames.
// Promises: a frame that lies in one chunk is not copied; memory is bounded by the frame limit; what is no frame is a
//   FrameFault, and the stream is then lost.
// Does not know: what frames say (methods.ts, content.ts), channels, sockets.

import { assert } from '../../base/assert.ts'
import { DecodeError } from '../../base/bytes.ts'
import { BufferPool } from '../../base/buffer-pool.ts'

export const frameMethod = 1
export const frameHeader = 2
export const frameBody = 3
export const frameHeartbeat = 8
export const frameEnd = 0xce
/** type:u8 channel:u16 size:u32 */
export const frameHeadBytes = 7
/** What a frame takes beside its payload. */
export const frameOverheadBytes = frameHeadBytes + 1
/** The least that frame_max may be negotiated to (clause 4.2.3: "frame-min-size"). */
export const frameBytesMin = 4096

/** Bytes that are no frame. The message is what RabbitMQ says behind `FRAME_ERROR - ` (rabbit_reader:frame_error). */
export class FrameFault extends DecodeError {
  readonly code = 501
}

// --- protocol headers ---------------------------------------------------------------------------------------------

/**
 * What a connection begins with. `amqp-0-9-1`: spoken here. `amqp-0-9-x`: some other 0-9, to be answered with our
 * header; `amqp-1-0`, `amqp-other`: another AMQP; `tls`, `http`: told apart for the log; `unknown`: anything else.
 */
export type Opening = 'amqp-0-9-1' | 'amqp-0-9-x' | 'amqp-1-0' | 'amqp-other' | 'tls' | 'http' | 'unknown'

export const protocolHeaderBytes = 8
/** What is answered to whoever should speak AMQP 0-9-1. */
export const protocolHeader: Buffer = Buffer.from('AMQP\0\0\x09\x01', 'latin1')
/** What RabbitMQ 4 answers to everybody else: AMQP 1.0 behind SASL. */
export const saslProtocolHeader: Buffer = Buffer.from('AMQP\x03\x01\0\0', 'latin1')

/** What a connection's first bytes open; undefined: too few to tell. */
export function openingOf(bytes: Buffer): Opening | undefined {
  const { length } = bytes
  if (length === 0) return undefined
  if (bytes[0] === 0x16) return length < 2 ? undefined : bytes[1] === 0x03 ? 'tls' : 'unknown'
  const known = Math.min(4, length)
  const begin = bytes.toString('latin1', 0, known)
  if (begin === 'GET ') return 'http'
  if ('GET '.startsWith(begin)) return undefined
  if (begin !== 'AMQP'.slice(0, known)) return 'unknown'
  if (length < protocolHeaderBytes) return undefined
  // Bytes 4 to 7: of 0-9-1 0 0 9 1; of 0-9 1 1 0 9 (protocol class, instance, major, minor).
  const [, , , , first, second, third, fourth] = bytes
  const version = `${first} ${second} ${third} ${fourth}`
  if (version === '0 0 9 1' || version === '1 1 0 9') return 'amqp-0-9-1'
  if (first === 0 && second === 0 && third >= 9) return 'amqp-0-9-x'
  return (first === 0 || first === 2 || first === 3) && second === 1 && third === 0 ? 'amqp-1-0' : 'amqp-other'
}

// --- frames -------------------------------------------------------------------------------------------------------

const noBytes = Buffer.alloc(0)

/**
 * Cuts a stream into frames. After push(), next() finds frame after frame until it answers false; what it found is in
 * `type`, `channel` and buffer[start, end), valid until the next call of either. The chunk is then its owner's again:
 * a frame that goes on in the next chunk was copied into memory of the reader's own.
 */
export class FrameReader {
  type = 0
  channel = 0
  /** The payload is buffer[start, end). */
  buffer: Buffer = noBytes
  start = 0
  end = 0

  private frameBytesMax: number
  private readonly pool: BufferPool
  private chunk: Buffer = noBytes
  private position = 0
  /** A head cut across chunks. */
  private readonly head = Buffer.alloc(frameHeadBytes)
  private headFilled = 0
  /** A frame cut across chunks, from its payload on, with its end marker. */
  private held: Buffer | undefined
  private heldFilled = 0
  private heldWanted = 0

  /** `frameBytesMax`: the largest payload taken (RabbitMQ is as lenient about the eight bytes around it). */
  constructor(frameBytesMax: number, pool = new BufferPool(0)) {
    this.frameBytesMax = frameBytesMax
    this.pool = pool
  }

  setFrameBytesMax(bytes: number): void {
    assert(bytes >= frameBytesMin, 'a frame may be as large as the least that can be negotiated')
    this.frameBytesMax = bytes
  }

  /** Bytes held: of a frame that is not complete, and what hold() kept. */
  get heldBytes(): number {
    return this.headFilled + this.heldFilled + this.chunk.length - this.position
  }

  /** The payload as a slice, valid as long as the frame is. */
  get payload(): Buffer {
    return this.buffer.subarray(this.start, this.end)
  }

  push(chunk: Buffer): void {
    const isRead = this.position === this.chunk.length
    this.chunk = isRead ? chunk : Buffer.concat([this.chunk.subarray(this.position), chunk])
    this.position = 0
  }

  /** Whoever does not read on to the end of the chunk keeps the rest of it by this: next() may then be called later. */
  hold(): void {
    this.chunk = Buffer.from(this.chunk.subarray(this.position))
    this.position = 0
  }

  /** False: there is no other whole frame. */
  next(): boolean {
    if (this.held !== undefined && this.heldFilled === this.heldWanted) this.letGo()
    const { chunk, position } = this
    // Nothing is held most of the time, and the frame lies whole in the chunk.
    if (this.held === undefined && this.headFilled === 0 && chunk.length - position >= frameOverheadBytes) {
      const size = this.readHead(chunk, position)
      const end = position + frameHeadBytes + size
      if (end < chunk.length) {
        this.buffer = chunk
        this.start = position + frameHeadBytes
        this.end = end
        this.position = end + 1
        if (chunk[end] !== frameEnd) throw this.endFault(chunk[end])
        return true
      }
    }
    return this.gather()
  }

  /** The frame that began in a chunk before, or that ends in a later one. */
  private gather(): boolean {
    const { chunk } = this
    if (this.headFilled < frameHeadBytes) {
      const found = Math.min(frameHeadBytes - this.headFilled, chunk.length - this.position)
      chunk.copy(this.head, this.headFilled, this.position, this.position + found)
      this.headFilled += found
      this.position += found
      if (this.headFilled < frameHeadBytes) return this.finishChunk()
    }
    if (this.held === undefined) {
      this.heldWanted = this.readHead(this.head, 0) + 1
      this.held = this.pool.take(this.heldWanted)
    }
    const found = Math.min(this.heldWanted - this.heldFilled, chunk.length - this.position)
    chunk.copy(this.held, this.heldFilled, this.position, this.position + found)
    this.heldFilled += found
    this.position += found
    if (this.heldFilled < this.heldWanted) return this.finishChunk()
    this.buffer = this.held
    this.start = 0
    this.end = this.heldWanted - 1
    this.headFilled = 0
    if (this.held[this.end] !== frameEnd) throw this.endFault(this.held[this.end])
    return true
  }

  /** The gathered frame was read: its memory is the pool's again. */
  private letGo(): void {
    if (this.held !== undefined) this.pool.giveBack(this.held)
    this.held = undefined
    this.heldFilled = this.heldWanted = 0
  }

  private finishChunk(): false {
    this.chunk = noBytes
    this.position = 0
    this.buffer = noBytes
    this.start = this.end = 0
    return false
  }

  /** Judges a head and answers the size of its payload. */
  private readHead(bytes: Buffer, at: number): number {
    const type = bytes[at]
    const size = ((bytes[at + 3] << 24) | (bytes[at + 4] << 16) | (bytes[at + 5] << 8) | bytes[at + 6]) >>> 0
    this.type = type
    this.channel = (bytes[at + 1] << 8) | bytes[at + 2]
    if (size > this.frameBytesMax) {
      const max = this.frameBytesMax - frameOverheadBytes
      throw new FrameFault(`type ${type}, all octets = <<>>: {frame_too_large,${size},${max}}`)
    }
    return size
  }

  private endFault(marker: number): FrameFault {
    return new FrameFault(`type ${this.type}, ${octetsOf(this.payload)}: {invalid_frame_end_marker,${marker}}`)
  }
}

/** The first octets of a payload as RabbitMQ shows them in its texts (rabbit_reader:payload_snippet). */
export function octetsOf(payload: Buffer): string {
  const shown = payload.subarray(0, 16).join(',')
  return `${payload.length <= 16 ? 'all' : 'first 16'} octets = <<${shown}>>`
}

/** A frame of a type that nobody knows, or too short for its type. */
export function unknownFrame(type: number, payload: Buffer): FrameFault {
  return new FrameFault(`type ${type}, ${octetsOf(payload)}: unknown_frame`)
}

/** What of a method's arguments is shown to who sent them: reply texts hold 255 characters. */
const argumentsShownMax = 64

/** A method whose arguments are not what its table says. `payload` begins with class and method id. */
export function undecodable(payload: Buffer): FrameFault {
  return new FrameFault(`cannot decode <<${payload.subarray(4, 4 + argumentsShownMax).join(',')}>>`)
}
