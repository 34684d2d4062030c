// Frames and heads of the Kafka protocol: four bytes of length, a head, a body; for both sides of the conversation.
// Promises: heads are readable whatever their key and version; no announced length is allocated; bodies are slices.
// Does not know: which versions are advertised, what a message means, sockets.

import { BufferPool } from '../../base/buffer-pool.ts'
import { DecodeError, Reader, Writer } from '../../base/bytes.ts'
import { codecFor, hasVersion } from '../../base/schema-compose.ts'
import type { InputOf, ValueOf } from '../../base/schema.ts'
import { apiByKey, apis } from './api-table.ts'
import type { AnyApi } from './api-table.ts'

export interface RequestHead {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
  /** Where the body begins in the frame; meaningful only when the key and version are in our tables. */
  readonly bodyPosition: number
}

/**
 * Reads the head of a request frame. Up to the client id it is alike in all versions, so that a request we do not know
 * can still be answered; the tags of head v2 are read only where the tables say that they are there (KIP-511).
 */
export function decodeRequestHead(frame: Buffer): RequestHead {
  const reader = new Reader(frame)
  const apiKey = reader.int16()
  const apiVersion = reader.int16()
  const correlationId = reader.int32()
  // The client id keeps its int16 length even in head v2: an old broker must be able to read any ApiVersions request.
  const clientIdBytes = reader.int16()
  if (clientIdBytes < -1) throw new DecodeError(`a client id of ${clientIdBytes} bytes`)
  const clientId = clientIdBytes === -1 ? null : reader.utf8(clientIdBytes)
  const api = apiByKey.get(apiKey)
  if (api !== undefined && hasVersion(api.request, apiVersion) && apiVersion >= api.request.flexible) skipTags(reader)
  return { apiKey, apiVersion, correlationId, clientId, bodyPosition: reader.position }
}

function skipTags(reader: Reader): void {
  for (let left = reader.unsignedVarint(); left > 0; left--) {
    reader.unsignedVarint()
    reader.skip(reader.unsignedVarint())
  }
}

/** The body of a request whose head was read. Bytes behind the last field are ignored, as Kafka does. */
export function decodeRequestBody<A extends AnyApi>(api: A, frame: Buffer, head: RequestHead): ValueOf<A['request']> {
  const codec = codecFor(api.request, head.apiVersion)
  return codec.decode(new Reader(frame, head.bodyPosition)) as ValueOf<A['request']>
}

/** ApiVersions is answered with head v0 in every version: who asks does not know yet what we speak (KIP-511). */
function responseHasTags(api: AnyApi, version: number): boolean {
  return version >= api.response.flexible && api.key !== apis.apiVersions.key
}

/** A whole response frame, its length first, as chunks to be sent in order. */
export function encodeResponse<A extends AnyApi>(
  api: A,
  version: number,
  correlationId: number,
  value: InputOf<A['response']>,
): Buffer[] {
  const writer = new Writer()
  writer.int32(0)
  writer.int32(correlationId)
  if (responseHasTags(api, version)) writer.uint8(0)
  codecFor(api.response, version).encode(writer, value as never)
  writer.patchInt32(0, writer.bytes - 4)
  return writer.finish()
}

/** The client's side: a whole request frame. */
export function encodeRequest<A extends AnyApi>(
  api: A,
  version: number,
  correlationId: number,
  clientId: string | null,
  value: InputOf<A['request']>,
): Buffer[] {
  const writer = new Writer()
  writer.int32(0)
  writer.int16(api.key)
  writer.int16(version)
  writer.int32(correlationId)
  if (clientId === null) writer.int16(-1)
  else {
    const bytes = Buffer.byteLength(clientId)
    writer.int16(bytes)
    writer.utf8(clientId, bytes)
  }
  if (version >= api.request.flexible) writer.uint8(0)
  codecFor(api.request, version).encode(writer, value as never)
  writer.patchInt32(0, writer.bytes - 4)
  return writer.finish()
}

/** The client's side: which request a response frame answers. */
export function responseCorrelationId(frame: Buffer): number {
  return new Reader(frame).int32()
}

/** The client's side: the body of a response frame. A broker's answer may hold as many elements as it has bytes. */
export function decodeResponse<A extends AnyApi>(api: A, version: number, frame: Buffer): ValueOf<A['response']> {
  const reader = new Reader(frame, 4, frame.length, frame.length)
  if (responseHasTags(api, version)) skipTags(reader)
  return codecFor(api.response, version).decode(reader) as ValueOf<A['response']>
}

/** A frame's buffer is reserved up to this much by its announced length; beyond, it grows with what arrived. */
const reservedBytesMax = 256 * 1024

/**
 * Cuts a stream into frames, without their length. Chunks are the caller's again after push(): every frame is copied
 * once, into a buffer of the pool. Memory grows with what arrived, not with what was announced.
 */
export class FrameCutter {
  private readonly frameBytesMax: number
  private readonly pool: BufferPool
  /** Bytes of the length field seen so far, and their value. */
  private lengthBytes = 0
  private length = 0
  /** The frame under way and how much of it is there. */
  private frame: Buffer | undefined
  private filled = 0

  constructor(frameBytesMax: number, pool = new BufferPool(0)) {
    this.frameBytesMax = frameBytesMax
    this.pool = pool
  }

  /** Bytes held of a frame that is not complete. */
  get heldBytes(): number {
    return this.filled
  }

  /** The frames that `chunk` completes. A length that no frame can have is a DecodeError; the stream is then lost. */
  push(chunk: Buffer): Buffer[] {
    const frames: Buffer[] = []
    let at = 0
    while (at < chunk.length) {
      if (this.lengthBytes < 4) {
        at = this.readLength(chunk, at)
        if (this.lengthBytes < 4) break
      }
      if (this.length < 0 || this.length > this.frameBytesMax) {
        throw new DecodeError(`a frame of ${this.length} bytes, at most ${this.frameBytesMax} are taken`)
      }
      const found = Math.min(this.length - this.filled, chunk.length - at)
      const frame = this.roomFor(this.filled + found)
      chunk.copy(frame, this.filled, at, at + found)
      this.filled += found
      at += found
      if (this.filled === this.length) frames.push(this.finish(frame))
    }
    return frames
  }

  private readLength(chunk: Buffer, from: number): number {
    let at = from
    while (this.lengthBytes < 4 && at < chunk.length) {
      this.length = (this.length << 8) | chunk[at++]
      this.lengthBytes++
    }
    return at
  }

  /** The buffer of the frame under way, with room for `bytes`: doubled as it fills, never past the frame's length. */
  private roomFor(bytes: number): Buffer {
    const held = this.frame
    if (held !== undefined && held.length >= bytes) return held
    const wanted = Math.max(bytes, held === undefined ? reservedBytesMax : 2 * held.length)
    const frame = this.pool.take(Math.min(this.length, wanted))
    held?.copy(frame, 0, 0, this.filled)
    this.frame = frame
    return frame
  }

  private finish(frame: Buffer): Buffer {
    this.frame = undefined
    this.lengthBytes = this.length = this.filled = 0
    return frame
  }
}
