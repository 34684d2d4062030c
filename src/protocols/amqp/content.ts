// The content of one published message on its way in: header, then body frames, over as many chunks as it takes.
// Promises: a message that lies in one chunk is handed on in slices, nothing of it copied; what must outlive its chunk is
//   gathered in pooled memory that grows with what came, never with what was announced.
// Does not know: what is done with the message; which channel it is on.

import type { BufferPool } from '../../base/buffer-pool.ts'
import { KiB, MiB } from '../../base/limits.ts'
import { ContentHeaderView } from '../../wire/amqp/content.ts'
import { Fault } from './fault.ts'

/** One frame: payload is buffer[start, end). */
export interface Frame {
  readonly type: number
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
}

/** What the contents of a connection share. */
export interface ContentHost {
  readonly pool: BufferPool
  /** Whether slices of the buffer stay valid until its chunk was read to its end; keep() is called then. */
  outlivesFrame(buffer: Buffer): boolean
  /** Memory taken for gathering, or given back (negative). Throws Fault when the connection has too much of it. */
  gathering(bytes: number): void
}

/** Largest body of one message (RabbitMQ's max_message_size). */
const messageBytesMax = 16 * MiB
/** What no configuration of RabbitMQ takes: a connection that announces more is lost. */
const messageBytesHardMax = 512 * MiB
const blockBytesMin = 64 * KiB
const blockBytesMax = MiB

const basicClass = 60
const noBytes = Buffer.alloc(0)

export class Content {
  /** What must come next: `none` when no content is under way. */
  stage: 'none' | 'header' | 'body' = 'none'
  /** Complete once header() or body() answered true, until reset(). */
  properties: Buffer = noBytes
  readonly pieces: Buffer[] = []
  bodyBytes = 0

  private readonly host: ContentHost
  private readonly view: ContentHeaderView
  private left = 0
  /** pieces from here on, and the properties, are slices of the chunk that is being read. */
  private keptPieces = 0
  private isLoose = false
  private blocks: Buffer[] = []
  private blockFilled = 0
  private gatheredBytes = 0

  constructor(host: ContentHost, view: ContentHeaderView) {
    this.host = host
    this.view = view
  }

  begin(): void {
    this.stage = 'header'
  }

  /** Whether the message is complete: it has no body. */
  header({ buffer, start, end }: Frame): boolean {
    const { view } = this
    view.decode(buffer, start, end)
    const { classId, weight, bodyBytes } = view
    if (classId !== basicClass) {
      throw new Fault('UNEXPECTED_FRAME', `expected content header for class 60, got one for class ${classId} instead`)
    }
    if (weight !== 0) throw unexpectedHeader()
    if (bodyBytes > messageBytesHardMax) {
      const max = messageBytesHardMax
      throw new Fault('FRAME_ERROR', `content body size ${bodyBytes} exceeds maximum allowed size ${max}`)
    }
    if (bodyBytes > messageBytesMax) {
      const why = `message size ${bodyBytes} is larger than configured max size ${messageBytesMax}`
      throw new Fault('PRECONDITION_FAILED', why)
    }
    const properties = buffer.subarray(view.propertiesStart, end)
    this.bodyBytes = this.left = bodyBytes
    this.isLoose = this.host.outlivesFrame(buffer)
    this.properties = this.isLoose || bodyBytes === 0 ? properties : Buffer.from(properties)
    this.stage = 'body'
    return bodyBytes === 0
  }

  /** Whether the message is complete. */
  body({ buffer, start, end }: Frame): boolean {
    const bytes = end - start
    if (bytes > this.left) throw new Fault('FRAME_ERROR', 'content body frame exceeds remaining content size')
    if (bytes === 0) return false
    this.left -= bytes
    const piece = buffer.subarray(start, end)
    if (this.left === 0 || this.host.outlivesFrame(buffer)) {
      this.isLoose = true
      this.pieces.push(piece)
      return this.left === 0
    }
    this.keep()
    this.gather(piece)
    this.showBlocks()
    return false
  }

  /** The chunk is about to be somebody else's: what is a slice of it is copied. */
  keep(): void {
    if (!this.isLoose) return
    this.isLoose = false
    this.properties = Buffer.from(this.properties)
    if (this.pieces.length === this.keptPieces) return
    for (let at = this.keptPieces; at < this.pieces.length; at++) this.gather(this.pieces[at])
    this.showBlocks()
  }

  /** The message is handed on, or dropped. */
  reset(): void {
    this.stage = 'none'
    this.isLoose = false
    this.properties = noBytes
    this.pieces.length = 0
    this.keptPieces = 0
    if (this.blocks.length === 0) return
    for (const block of this.blocks) this.host.pool.giveBack(block)
    this.blocks = []
    this.blockFilled = 0
    this.host.gathering(-this.gatheredBytes)
    this.gatheredBytes = 0
  }

  private gather(piece: Buffer): void {
    let done = 0
    while (done < piece.length) {
      const block = this.blockWithRoom(piece.length - done)
      const bytes = Math.min(piece.length - done, block.length - this.blockFilled)
      piece.copy(block, this.blockFilled, done, done + bytes)
      this.blockFilled += bytes
      done += bytes
    }
  }

  /** Blocks double with what came: a header that lies about its body costs its sender a small one. */
  private blockWithRoom(wanted: number): Buffer {
    const last = this.blocks.at(-1)
    if (last !== undefined && this.blockFilled < last.length) return last
    const room = Math.max(blockBytesMin, Math.min(blockBytesMax, this.gatheredBytes), Math.min(blockBytesMax, wanted))
    const bytes = Math.min(room, wanted + this.left)
    this.host.gathering(bytes)
    this.gatheredBytes += bytes
    const block = this.host.pool.take(bytes)
    this.blocks.push(block)
    this.blockFilled = 0
    return block
  }

  private showBlocks(): void {
    this.pieces.length = 0
    const last = this.blocks.length - 1
    for (let at = 0; at < last; at++) this.pieces.push(this.blocks[at])
    this.pieces.push(this.blocks[last].subarray(0, this.blockFilled))
    this.keptPieces = this.pieces.length
  }
}

export const unexpectedHeader = (): Fault =>
  new Fault('UNEXPECTED_FRAME', 'expected content header for class 60, got non content header frame instead')
