// RecordBatch v2, the one stored form: where its fields lie, how a head is judged, patched and written.
// Promises: never reads outside the buffer given; a head that readBatchHead accepts is plausible, its CRC still unproven.
// Does not know: records inside (records.ts), codecs (compression.ts), who sent it.
//
// Layout, KIP-98 (byte: field): 0 baseOffset(8) 8 length(4) 12 partitionLeaderEpoch(4) 16 magic(1) 17 crc(4)
// 21 attributes(2) 23 lastOffsetDelta(4) 27 baseTimestamp(8) 35 maxTimestamp(8) 43 producerId(8) 51 producerEpoch(2)
// 53 baseSequence(4) 57 count(4) 61 records. The CRC covers 21 to the end, so an offset or epoch is patched without it.

import { assert } from '../base/assert.ts'
import { crc32c } from '../base/crc32c.ts'
import type { Offset } from './store.ts'

export const batchHeadBytes = 61
/** baseOffset and length come before what the length field counts. */
const batchLengthOverhead = 12

const noProducerId = -1
const noSequence = -1

export type CompressionName = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
const codecs: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

const codecMask = 0x07
/** Attribute bit 3: the times of the records are that of their append, which is the greatest in the head. */
export const logAppendTimeBit = 0x08
const transactionalBit = 0x10
const controlBit = 0x20
const deleteHorizonBit = 0x40
/**
 * Attribute bit 7, which Kafka leaves unused: a batch that queues wrote, whose records have the form of
 * queues/message.ts. A client cannot set it (hasUnknownAttributes), and Kafka's clients look at no bit above 6.
 */
export const ownBatchBit = 0x80

/** The head of a batch, opened. Offsets and times are exact numbers. */
export interface BatchHead {
  readonly baseOffset: Offset
  /** Whole batch in bytes, the first 12 included. */
  readonly bytes: number
  readonly leaderEpoch: number
  readonly attributes: number
  readonly lastOffsetDelta: number
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly count: number
}

/** Two 32-bit halves; exact below 2^53, saturated beyond (only a stranger's timestamp can be there). */
export function readInt64(buffer: Buffer, at: number): number {
  const value = buffer.readInt32BE(at) * 0x1_0000_0000 + buffer.readUInt32BE(at + 4)
  if (value > Number.MAX_SAFE_INTEGER) return Number.MAX_SAFE_INTEGER
  return value < Number.MIN_SAFE_INTEGER ? Number.MIN_SAFE_INTEGER : value
}

export function writeInt64(buffer: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value), 'an int64 is written exactly')
  buffer.writeInt32BE(Math.floor(value / 0x1_0000_0000), at)
  buffer.writeUInt32BE(value >>> 0, at + 4)
}

export const baseOffsetAt = (buffer: Buffer, at: number): number => readInt64(buffer, at)
export const batchBytesAt = (buffer: Buffer, at: number): number => buffer.readInt32BE(at + 8) + batchLengthOverhead
const leaderEpochAt = (buffer: Buffer, at: number): number => buffer.readInt32BE(at + 12)
export const magicAt = (buffer: Buffer, at: number): number => buffer.readInt8(at + 16)
export const attributesAt = (buffer: Buffer, at: number): number => buffer.readInt16BE(at + 21)
export const lastOffsetDeltaAt = (buffer: Buffer, at: number): number => buffer.readInt32BE(at + 23)
export const maxTimestampAt = (buffer: Buffer, at: number): number => readInt64(buffer, at + 35)

export const compressionOf = (attributes: number): CompressionName | undefined => codecs[attributes & codecMask]
export const compressionBits = (codec: CompressionName): number => codecs.indexOf(codec)
export const hasLogAppendTime = (attributes: number): boolean => (attributes & logAppendTimeBit) !== 0
export const isTransactional = (attributes: number): boolean => (attributes & transactionalBit) !== 0
export const isControl = (attributes: number): boolean => (attributes & controlBit) !== 0
export const hasDeleteHorizon = (attributes: number): boolean => (attributes & deleteHorizonBit) !== 0
export const isOwnBatch = (attributes: number): boolean => (attributes & ownBatchBit) !== 0
/** Bits that Kafka leaves unused; a stranger's batch has them clear. */
export const hasUnknownAttributes = (attributes: number): boolean =>
  (attributes & ~(codecMask | logAppendTimeBit | transactionalBit | controlBit | deleteHorizonBit)) !== 0

/** The head at `at`, or undefined when these bytes cannot be a whole batch head of magic 2. */
export function readBatchHead(buffer: Buffer, at = 0): BatchHead | undefined {
  if (at < 0 || at + batchHeadBytes > buffer.length) return undefined
  const bytes = batchBytesAt(buffer, at)
  const lastOffsetDelta = lastOffsetDeltaAt(buffer, at)
  const count = buffer.readInt32BE(at + 57)
  if (magicAt(buffer, at) !== 2 || bytes < batchHeadBytes || lastOffsetDelta < 0 || count < 0) return undefined
  return {
    baseOffset: readInt64(buffer, at) as Offset,
    bytes,
    leaderEpoch: leaderEpochAt(buffer, at),
    attributes: attributesAt(buffer, at),
    lastOffsetDelta,
    baseTimestampMs: readInt64(buffer, at + 27),
    maxTimestampMs: maxTimestampAt(buffer, at),
    producerId: readInt64(buffer, at + 43),
    producerEpoch: buffer.readInt16BE(at + 51),
    baseSequence: buffer.readInt32BE(at + 53),
    count,
  }
}

/** Whether the stored CRC is that of bytes 21 to the end of the batch of `bytes` at `at`. */
export function batchCrcHolds(buffer: Buffer, at: number, bytes: number): boolean {
  if (bytes < batchHeadBytes || at + bytes > buffer.length) return false
  return buffer.readUInt32BE(at + 17) === crc32c(buffer.subarray(at + 21, at + bytes))
}

/** Gives the batch its place in a log, in place; the CRC does not cover these bytes. */
export function patchBatch(batch: Buffer, baseOffset: number, leaderEpoch: number): void {
  writeInt64(batch, baseOffset, 0)
  batch.writeInt32BE(leaderEpoch, 12)
}

/** Whether the batch has just this place: a torn write may have left it another one. */
export const isPlacedAt = (batch: Buffer, baseOffset: number, leaderEpoch: number): boolean =>
  readInt64(batch, 0) === baseOffset && batch.readInt32BE(12) === leaderEpoch

/** Marks a batch as stamped by the log: attribute bit 3, max timestamp, CRC again. In place. */
export function stampLogAppendTime(batch: Buffer, nowMs: number): void {
  batch.writeInt16BE(attributesAt(batch, 0) | logAppendTimeBit, 21)
  writeInt64(batch, nowMs, 35)
  sealBatch(batch)
}

/** Writes the CRC of a batch that is complete otherwise. */
export function sealBatch(batch: Buffer): void {
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
}

/** What a new batch says of itself; the rest follows from its records. */
export interface NewBatch {
  readonly attributes: number
  readonly lastOffsetDelta: number
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
  readonly count: number
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
}

/** Writes the head of the batch that fills the buffer, at base offset 0; its CRC is sealBatch()'s. */
export function writeBatchHead(batch: Buffer, head: NewBatch): void {
  patchBatch(batch, 0, 0)
  batch.writeInt32BE(batch.length - batchLengthOverhead, 8)
  batch.writeInt8(2, 16)
  batch.writeInt16BE(head.attributes, 21)
  batch.writeInt32BE(head.lastOffsetDelta, 23)
  writeInt64(batch, head.baseTimestampMs, 27)
  writeInt64(batch, head.maxTimestampMs, 35)
  writeInt64(batch, head.producerId ?? noProducerId, 43)
  batch.writeInt16BE(head.producerEpoch ?? -1, 51)
  batch.writeInt32BE(head.baseSequence ?? noSequence, 53)
  batch.writeInt32BE(head.count, 57)
}

/** One batch of a head and its (already compressed) records section, sealed, at base offset 0. */
export function assembleBatch(head: NewBatch, records: Uint8Array): Buffer {
  const batch = Buffer.allocUnsafe(batchHeadBytes + records.length)
  writeBatchHead(batch, head)
  batch.set(records, batchHeadBytes)
  sealBatch(batch)
  return batch
}

/** Calls `visit` for each whole batch in `buffer`; stops at the first that is not whole or when visit says false. */
export function forEachBatch(buffer: Buffer, visit: (head: BatchHead, at: number) => boolean | void): number {
  let at = 0
  for (;;) {
    const head = readBatchHead(buffer, at)
    if (head === undefined || at + head.bytes > buffer.length) return at
    if (visit(head, at) === false) return at
    at += head.bytes
  }
}
