// The frames of AMQP 0-9-1 as they are written: one connection's outgoing bytes.
// Promises: what is written is copied, frame after frame, into a few large buffers that are used again; a message's
//   frames follow one another; bodies are split by the frame limit.
// Does not know: sockets, channels; when what is written is sent.

import { assert } from '../../base/assert.ts'
import { EncodeError, utf8Bytes } from '../../base/bytes.ts'
import { BufferPool } from '../../base/buffer-pool.ts'
import { shortTextBytesMax } from './argument.ts'
import { frameBody, frameEnd, frameHeader, frameHeartbeat, frameMethod } from './frame.ts'
import { frameBytesMin, frameHeadBytes, frameOverheadBytes } from './frame.ts'
import { encodeMethod } from './methods.ts'
import type { MethodInput, MethodName } from './methods.ts'

/** The first block of a turn; each further one of the same turn is twice as large. */
const blockBytesMin = 16 * 1024
/** What one block holds at most; larger bodies take several. */
const blockBytesMax = 256 * 1024

/** A content header's payload before the properties: class, weight, body size. */
const headerBytes = 12

/**
 * Gathers frames until take(). The buffers of what was taken are used again after recycle(): call it, once for each
 * take() that gave something and in order, when the kernel has the bytes. When it is never called (the connection is
 * gone) the collector has them.
 */
export class FrameWriter {
  /** The largest payload, of the limit without the eight bytes around it. */
  private payloadBytesMax: number
  private readonly pool: BufferPool
  /** Being filled: block[from, at) is not taken yet. undefined: nothing is pending or being sent of the last one. */
  private block: Buffer | undefined
  private from = 0
  private at = 0
  private blockBytes = blockBytesMin
  /** Full chunks, in order. */
  private chunks: Buffer[] = []
  private chunkBytes = 0
  /** Blocks that are full and go back to the pool with the take() that has their last bytes. */
  private full: Buffer[] = []
  /** The same of each take() that is not recycled, oldest first. */
  private readonly taken: Buffer[][] = []

  constructor(frameBytesMax: number, pool = new BufferPool(0)) {
    this.pool = pool
    this.payloadBytesMax = 0
    this.setFrameBytesMax(frameBytesMax)
  }

  /** As negotiated: what a whole frame takes. */
  setFrameBytesMax(bytes: number): void {
    assert(bytes >= frameBytesMin, 'a frame may be as large as the least that can be negotiated')
    this.payloadBytesMax = bytes - frameOverheadBytes
  }

  /** The largest properties that a content header's frame holds. */
  get propertyBytesMax(): number {
    return this.payloadBytesMax - headerBytes
  }

  /** Bytes written and not taken yet. */
  get pendingBytes(): number {
    return this.chunkBytes + this.at - this.from
  }

  /** What was written since the last time, in order, valid until recycle(). Nothing: there is nothing to recycle. */
  take(): Buffer[] {
    if (this.pendingBytes === 0) return []
    this.closeChunk()
    const { chunks } = this
    this.chunks = []
    this.chunkBytes = 0
    this.taken.push(this.full)
    this.full = []
    this.blockBytes = chunks.length > 1 ? this.blockBytes : blockBytesMin
    return chunks
  }

  /** The kernel has what the oldest take() answered. */
  recycle(): void {
    const blocks = this.taken.shift()
    assert(blocks !== undefined, 'what is recycled was taken')
    for (const block of blocks) this.pool.giveBack(block)
    if (this.taken.length > 0 || this.block === undefined || this.from < this.at) return
    // Nothing of the block is under way: an idle connection holds no memory.
    this.pool.giveBack(this.block)
    this.block = undefined
    this.from = this.at = 0
  }

  // --- frames -----------------------------------------------------------------------------------------------------

  /** Bytes as they are: the protocol header. */
  raw(bytes: Buffer): void {
    this.copy(bytes)
  }

  method<Name extends MethodName>(channel: number, name: Name, values: MethodInput<Name>): void {
    this.methodFrame(channel, encodeMethod(name, values))
  }

  heartbeat(): void {
    this.room(frameOverheadBytes)
    this.frameHead(frameHeartbeat, 0, 0)
    this.u8(frameEnd)
  }

  ack(channel: number, tag: number, multiple: boolean): void {
    this.settlement(channel, 80, tag, multiple ? 1 : 0)
  }

  /** To a publisher: what it published was not taken. `requeue` means nothing there; RabbitMQ sets it. */
  nack(channel: number, tag: number, multiple: boolean): void {
    this.settlement(channel, 120, tag, multiple ? 3 : 2)
  }

  private settlement(channel: number, methodId: number, tag: number, bits: number): void {
    this.room(frameOverheadBytes + 13)
    this.frameHead(frameMethod, channel, 13)
    this.u16(60)
    this.u16(methodId)
    this.u64(tag)
    this.u8(bits)
    this.u8(frameEnd)
  }

  /** basic.deliver with its message. */
  deliver(
    channel: number,
    consumerTag: string,
    tag: number,
    redelivered: boolean,
    exchange: Buffer,
    routingKey: Buffer,
    properties: Buffer,
    body: Buffer,
  ): void {
    const tagBytes = utf8Bytes(consumerTag)
    checkShort(tagBytes)
    checkShort(exchange.length)
    checkShort(routingKey.length)
    const payload = 4 + 1 + tagBytes + 8 + 1 + 1 + exchange.length + 1 + routingKey.length
    this.room(payload + frameOverheadBytes)
    this.frameHead(frameMethod, channel, payload)
    this.u16(60)
    this.u16(60)
    this.u8(tagBytes)
    this.text(consumerTag, tagBytes)
    this.u64(tag)
    this.u8(redelivered ? 1 : 0)
    this.u8(exchange.length)
    this.short(exchange)
    this.u8(routingKey.length)
    this.short(routingKey)
    this.u8(frameEnd)
    this.contentHeader(channel, properties, body.length)
    this.bodyFrames(channel, body)
  }

  /** basic.get-ok with its message. */
  getOk(
    channel: number,
    tag: number,
    redelivered: boolean,
    exchange: Buffer,
    routingKey: Buffer,
    messages: number,
    properties: Buffer,
    body: Buffer,
  ): void {
    checkShort(exchange.length)
    checkShort(routingKey.length)
    const payload = 4 + 8 + 1 + 1 + exchange.length + 1 + routingKey.length + 4
    this.room(payload + frameOverheadBytes)
    this.frameHead(frameMethod, channel, payload)
    this.u16(60)
    this.u16(71)
    this.u64(tag)
    this.u8(redelivered ? 1 : 0)
    this.u8(exchange.length)
    this.short(exchange)
    this.u8(routingKey.length)
    this.short(routingKey)
    this.u32(Math.min(messages, 0xffff_ffff))
    this.u8(frameEnd)
    this.contentHeader(channel, properties, body.length)
    this.bodyFrames(channel, body)
  }

  /** basic.return with its message, as it was published: the body in the pieces it came in. */
  returned(
    channel: number,
    values: MethodInput<'basicReturn'>,
    properties: Buffer,
    body: readonly Buffer[],
    bodyBytes: number,
  ): void {
    this.method(channel, 'basicReturn', values)
    this.message(channel, properties, body, bodyBytes)
  }

  /** basic.publish with its message: the client's side. */
  publish(
    channel: number,
    values: MethodInput<'basicPublish'>,
    properties: Buffer,
    body: readonly Buffer[],
    bodyBytes: number,
  ): void {
    this.method(channel, 'basicPublish', values)
    this.message(channel, properties, body, bodyBytes)
  }

  private message(channel: number, properties: Buffer, body: readonly Buffer[], bodyBytes: number): void {
    this.contentHeader(channel, properties, bodyBytes)
    let written = 0
    for (const piece of body) {
      this.bodyFrames(channel, piece)
      written += piece.length
    }
    assert(written === bodyBytes, 'a body is as long as its header says')
  }

  private methodFrame(channel: number, payload: Buffer): void {
    this.room(frameHeadBytes)
    this.frameHead(frameMethod, channel, payload.length)
    this.copy(payload)
    this.room(1)
    this.u8(frameEnd)
  }

  private contentHeader(channel: number, properties: Buffer, bodyBytes: number): void {
    this.room(frameHeadBytes + headerBytes)
    this.frameHead(frameHeader, channel, headerBytes + properties.length)
    this.u32(60 << 16)
    this.u64(bodyBytes)
    if (properties.length < 64) {
      this.room(properties.length + 1)
      this.short(properties)
    } else {
      this.copy(properties)
      this.room(1)
    }
    this.u8(frameEnd)
  }

  /** None for what is empty. */
  private bodyFrames(channel: number, body: Buffer): void {
    const { length } = body
    for (let from = 0; from < length; from += this.payloadBytesMax) {
      const to = Math.min(length, from + this.payloadBytesMax)
      this.room(frameHeadBytes)
      this.frameHead(frameBody, channel, to - from)
      this.copy(from === 0 && to === length ? body : body.subarray(from, to))
      this.room(1)
      this.u8(frameEnd)
    }
  }

  // --- memory -----------------------------------------------------------------------------------------------------

  /** Makes sure that the next `bytes` bytes, at most a small block's, are contiguous. */
  private room(bytes: number): void {
    if (this.block !== undefined && bytes <= this.block.length - this.at) return
    this.closeChunk()
    if (this.block !== undefined) {
      this.full.push(this.block)
      this.blockBytes = Math.min(2 * this.blockBytes, blockBytesMax)
    }
    assert(bytes <= this.blockBytes, 'only short pieces are written in one')
    this.block = this.pool.take(this.blockBytes)
    this.from = this.at = 0
  }

  private closeChunk(): void {
    if (this.block === undefined || this.at === this.from) return
    this.chunks.push(this.block.subarray(this.from, this.at))
    this.chunkBytes += this.at - this.from
    this.from = this.at
  }

  /** Bytes of any length, over as many blocks as it takes. */
  private copy(bytes: Buffer): void {
    this.room(1)
    let block = this.block as Buffer
    if (bytes.length <= block.length - this.at) {
      block.set(bytes, this.at)
      this.at += bytes.length
      return
    }
    let done = 0
    while (done < bytes.length) {
      this.room(1)
      block = this.block as Buffer
      const count = Math.min(bytes.length - done, block.length - this.at)
      bytes.copy(block, this.at, done, done + count)
      this.at += count
      done += count
    }
  }

  // Each of these writes where room() has been made.

  private frameHead(type: number, channel: number, size: number): void {
    const block = this.block as Buffer
    const at = this.at
    block[at] = type
    block[at + 1] = channel >>> 8
    block[at + 2] = channel
    block[at + 3] = size >>> 24
    block[at + 4] = size >>> 16
    block[at + 5] = size >>> 8
    block[at + 6] = size
    this.at = at + frameHeadBytes
  }

  private u8(value: number): void {
    const block = this.block as Buffer
    block[this.at++] = value
  }

  private u16(value: number): void {
    const block = this.block as Buffer
    block[this.at] = value >>> 8
    block[this.at + 1] = value
    this.at += 2
  }

  private u32(value: number): void {
    const block = this.block as Buffer
    const at = this.at
    block[at] = value >>> 24
    block[at + 1] = value >>> 16
    block[at + 2] = value >>> 8
    block[at + 3] = value
    this.at = at + 4
  }

  private u64(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a number on the wire is exact')
    this.u32(Math.floor(value / 0x1_0000_0000))
    this.u32(value >>> 0)
  }

  /** Names are short: a loop is faster than a call into the runtime. */
  private short(bytes: Buffer): void {
    const block = this.block as Buffer
    const { length } = bytes
    const at = this.at
    if (length > 48) block.set(bytes, at)
    else for (let index = 0; index < length; index++) block[at + index] = bytes[index]
    this.at = at + length
  }

  private text(text: string, bytes: number): void {
    const block = this.block as Buffer
    const at = this.at
    if (bytes !== text.length) block.write(text, at, bytes, 'utf8')
    else for (let index = 0; index < bytes; index++) block[at + index] = text.charCodeAt(index)
    this.at = at + bytes
  }
}

function checkShort(bytes: number): void {
  if (bytes > shortTextBytesMax) throw new EncodeError(`a short string of ${bytes} bytes`)
}
