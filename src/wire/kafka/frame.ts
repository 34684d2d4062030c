// Frames and heads of the Kafka protocol: four bytes of length, a head, a body; for both sides of the conversation.
// Promises: heads are readable whatever their key and version; no announced length is allocated; bodies are slices.
// Does not know: which versions are advertised, what a message means, sockets.

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

/** Chunks at least this long are kept as they came; shorter ones are gathered, lest each cost more than it brings. */
const keptBytesMin = 16 * 1024
const gatherBytes = 64 * 1024

/**
 * Cuts a stream into frames, without their length. A frame that came whole within a chunk is a slice of it; one that
 * came in pieces is put together once, at its end. Memory grows with what arrived, not with what was announced.
 */
export class FrameCutter {
  private readonly frameBytesMax: number
  /** Bytes of the length field seen so far, and their value. */
  private lengthBytes = 0
  private length = 0
  private pieces: Buffer[] = []
  private pieceBytes = 0
  /** Where short pieces are gathered: the last of `pieces` is its filled part while `gathered` > 0. */
  private gather: Buffer | undefined
  private gathered = 0

  constructor(frameBytesMax: number) {
    this.frameBytesMax = frameBytesMax
  }

  /** Bytes held of a frame that is not complete. */
  get heldBytes(): number {
    return this.pieceBytes
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
      const missing = this.length - this.pieceBytes
      const found = Math.min(missing, chunk.length - at)
      if (found === missing) {
        const last = chunk.subarray(at, at + found)
        frames.push(this.pieceBytes === 0 ? last : this.join(last))
        this.lengthBytes = this.length = 0
      } else this.keep(at === 0 ? chunk : chunk.subarray(at))
      at += found
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

  private keep(piece: Buffer): void {
    this.pieceBytes += piece.length
    if (piece.length >= keptBytesMin) {
      this.closeGather()
      this.pieces.push(piece)
      return
    }
    if (this.gather === undefined || this.gathered + piece.length > this.gather.length) {
      this.closeGather()
      this.gather = Buffer.allocUnsafeSlow(Math.min(gatherBytes, Math.max(this.length, piece.length)))
    }
    this.gather.set(piece, this.gathered)
    this.gathered += piece.length
  }

  private closeGather(): void {
    if (this.gather !== undefined && this.gathered > 0) this.pieces.push(this.gather.subarray(0, this.gathered))
    this.gather = undefined
    this.gathered = 0
  }

  private join(last: Buffer): Buffer {
    this.closeGather()
    const frame = Buffer.concat([...this.pieces, last], this.length)
    this.pieces = []
    this.pieceBytes = 0
    return frame
  }
}
