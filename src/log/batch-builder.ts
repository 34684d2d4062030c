// A batch in the making: records written one after the other straight into the buffer that is appended.
// Promises: no object per record; a sealed batch is whole, with its CRC, and marked as ours (ownBatchBit).
// Does not know: what keys, values and headers mean; where the batch will lie in its log.

import { assert } from '../base/assert.ts'
import type { BufferPool } from '../base/buffer-pool.ts'
import { KiB } from '../base/limits.ts'
import { batchHeadBytes, batchLengthOverhead, ownBatchBit, sealBatch, writeInt64 } from './batch.ts'

/** A batch is closed before it would pass this many bytes; one larger record is a batch of its own. */
export const ownBatchBytesMax = 256 * KiB
const firstBytes = 8 * KiB
/** Up to here copying byte by byte is cheaper than a call into native code (measured). */
const copyInlineMax = 48

/** A batch ready to be appended. Its buffer goes back to the pool once nobody reads it any more. */
export interface SealedBatch {
  readonly bytes: Buffer
  readonly count: number
  readonly maxTimestampMs: number
  readonly buffer: Buffer
  /** Said when the same batch is appended to several logs: whether the one who leaves was the last. */
  readonly shared?: { leave(): boolean }
}

export class BatchBuilder {
  readonly #pool: BufferPool
  #buffer: Buffer | undefined
  #at = 0
  #count = 0
  #baseTimestampMs = 0
  #maxTimestampMs = 0
  /** What the last batch took: the next one likely takes as much, and growing costs copies. */
  #bytesBefore = firstBytes

  constructor(pool: BufferPool) {
    this.#pool = pool
  }

  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#at
  }

  /** Whether one more record of about this many bytes belongs into this batch. */
  hasRoom(recordBytes: number): boolean {
    return this.#count === 0 || this.#at + recordBytes <= ownBatchBytesMax
  }

  /**
   * Adds one record and returns its offset delta. `headers` is the whole rest of the record from the count of headers
   * on, already encoded. Everything is copied during the call.
   */
  add(
    timestampMs: number,
    key: Uint8Array | null,
    body: readonly Uint8Array[],
    bodyBytes: number,
    headers: readonly Uint8Array[],
  ): number {
    const delta = this.#count
    if (delta === 0) this.#baseTimestampMs = this.#maxTimestampMs = timestampMs
    else if (timestampMs > this.#maxTimestampMs) this.#maxTimestampMs = timestampMs
    // A clock set back within a batch: the record is as old as the batch.
    const timestampDelta = Math.max(0, timestampMs - this.#baseTimestampMs)
    let bytes = 1 + varintBytes(timestampDelta) + varintBytes(delta) + varintBytes(bodyBytes) + bodyBytes
    bytes += key === null ? 1 : varintBytes(key.length) + key.length
    for (let index = 0; index < headers.length; index++) bytes += headers[index].length
    const target = this.#room(bytes + 5)
    let at = putVarint(target, this.#at, bytes)
    const end = at + bytes
    target[at++] = 0
    at = putVarint(target, at, timestampDelta)
    at = putVarint(target, at, delta)
    if (key === null) target[at++] = 1
    else at = putBytes(target, putVarint(target, at, key.length), key)
    at = putVarint(target, at, bodyBytes)
    for (let index = 0; index < body.length; index++) at = putBytes(target, at, body[index])
    for (let index = 0; index < headers.length; index++) at = putBytes(target, at, headers[index])
    assert(at === end, 'a record takes the bytes that were counted for it')
    this.#at = at
    this.#count = delta + 1
    return delta
  }

  /** The buffer, with at least `bytes` free behind what is written. */
  #room(bytes: number): Buffer {
    const buffer = this.#buffer
    if (buffer === undefined) {
      this.#at = batchHeadBytes
      const first = Math.max(this.#bytesBefore, batchHeadBytes + bytes)
      return (this.#buffer = this.#pool.take(first))
    }
    if (this.#at + bytes <= buffer.length) return buffer
    const larger = this.#pool.take(Math.max(buffer.length * 2, this.#at + bytes))
    buffer.copy(larger, 0, 0, this.#at)
    this.#pool.giveBack(buffer)
    return (this.#buffer = larger)
  }

  /** The batch of everything added, at base offset 0. The builder is empty again. */
  seal(): SealedBatch {
    const buffer = this.#buffer
    assert(buffer !== undefined && this.#count > 0, 'a batch holds records')
    const batch = buffer.subarray(0, this.#at)
    writeInt64(batch, 0, 0)
    batch.writeInt32BE(batch.length - batchLengthOverhead, 8)
    batch.writeInt32BE(0, 12)
    batch[16] = 2
    batch.writeInt16BE(ownBatchBit, 21)
    batch.writeInt32BE(this.#count - 1, 23)
    writeInt64(batch, this.#baseTimestampMs, 27)
    writeInt64(batch, this.#maxTimestampMs, 35)
    // No producer: id (8), epoch (2) and first sequence (4) are all -1.
    batch.fill(0xff, 43, 57)
    batch.writeInt32BE(this.#count, 57)
    sealBatch(batch)
    const sealed = {
      bytes: batch,
      count: this.#count,
      maxTimestampMs: this.#maxTimestampMs,
      buffer,
    }
    this.#bytesBefore = Math.max(firstBytes, Math.min(this.#at, ownBatchBytesMax))
    this.#buffer = undefined
    this.#at = this.#count = 0
    return sealed
  }

  /** After the append: nobody looks at the batch any more. */
  giveBack(sealed: SealedBatch): void {
    this.#pool.giveBack(sealed.buffer)
  }
}

/** Bytes of a number ≥ 0 (below 2^53) as a zigzag varint. */
export function varintBytes(value: number): number {
  if (value < 64) return 1
  if (value < 8192) return 2
  if (value < 1_048_576) return 3
  let bytes = 3
  let rest = value / 1_048_576
  while (rest >= 1) {
    rest /= 128
    bytes++
  }
  return bytes
}

/** Writes a number ≥ 0 as a zigzag varint; returns where it ends. */
export function putVarint(target: Uint8Array, at: number, value: number): number {
  assert(value >= 0, 'lengths and deltas of ours are not negative')
  if (value < 64) {
    target[at] = value << 1
    return at + 1
  }
  let rest = value * 2
  while (rest >= 128) {
    target[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  target[at++] = rest
  return at
}

function putBytes(target: Buffer, at: number, bytes: Uint8Array): number {
  const { length } = bytes
  if (length > copyInlineMax) target.set(bytes, at)
  else for (let index = 0; index < length; index++) target[at + index] = bytes[index]
  return at + length
}
