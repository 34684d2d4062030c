// A batch in the making: records written one after the other straight into the buffer that is appended.
// Promises: no object per record; a sealed batch is whole, with its CRC, and marked as ours (ownBatchBit).
// Does not know: what keys, values and headers mean; where the batch will lie in its log.

import { assert } from '../base/assert.ts'
import type { BufferPool } from '../base/buffer-pool.ts'
import { KiB } from '../base/limits.ts'
import { batchHeadBytes, ownBatchBit, sealBatch, writeBatchHead } from './batch.ts'
import { putBytes, putVarint, varintBytes } from './record-fields.ts'

/** A batch is closed before it would pass this many bytes; one larger record is a batch of its own. */
export const ownBatchBytesMax = 256 * KiB
const firstBytes = 8 * KiB

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
   * on, already encoded. `bodyBytes` below 0: the value is null. Everything is copied during the call.
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
    let bytes = 1 + varintBytes(timestampDelta) + varintBytes(delta) + varintBytes(bodyBytes) + Math.max(0, bodyBytes)
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
    at = putVarint(target, at, Math.max(-1, bodyBytes))
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
    writeBatchHead(batch, {
      attributes: ownBatchBit,
      lastOffsetDelta: this.#count - 1,
      baseTimestampMs: this.#baseTimestampMs,
      maxTimestampMs: this.#maxTimestampMs,
      count: this.#count,
    })
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
