// The batch of one append to the machine log: records of keys and values, written once into the buffer that is appended.
// Promises: the very bytes that encodeBatch would give for the same records; one allocation a batch.
// Does not know: machines beyond the byte that each of their keys begins with.

import { batchHeadBytes, batchLengthOverhead, sealBatch, writeInt64 } from './batch.ts'

/** What of a decision goes into the batch. */
interface Decided {
  readonly machine: { readonly kind: number }
  readonly records: readonly { readonly key: Uint8Array; readonly value: Uint8Array | null }[]
}

/** Bytes of a length or count, which is never negative, as a zigzag varint. */
function lengthBytes(value: number): number {
  if (value < 0x40) return 1
  if (value < 0x2000) return 2
  if (value < 0x10_0000) return 3
  return value < 0x800_0000 ? 4 : 5
}

function putLength(target: Buffer, at: number, value: number): number {
  let rest = value * 2
  while (rest > 0x7f) {
    target[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  target[at++] = rest
  return at
}

/** Attributes, no time difference, no headers, and no value when it is null. */
const plainBytes = 3

function bodyBytes(keyBytes: number, value: Uint8Array | null, index: number): number {
  const valueBytes = value === null ? 1 : lengthBytes(value.length) + value.length
  return plainBytes + lengthBytes(index) + lengthBytes(keyBytes) + keyBytes + valueBytes
}

function put(target: Buffer, at: number, bytes: Uint8Array): number {
  if (bytes.length > 48) target.set(bytes, at)
  else for (let index = 0; index < bytes.length; index++) target[at + index] = bytes[index]
  return at + bytes.length
}

export function machineBatch(decisions: readonly Decided[], timestampMs: number): { batch: Buffer; count: number } {
  let bytes = batchHeadBytes
  let count = 0
  for (const { records } of decisions)
    for (const { key, value } of records) {
      const body = bodyBytes(key.length + 1, value, count++)
      bytes += lengthBytes(body) + body
    }
  const batch = Buffer.allocUnsafe(bytes)
  writeHead(batch, count, timestampMs)
  let at = batchHeadBytes
  let index = 0
  for (const { machine, records } of decisions)
    for (const { key, value } of records) {
      at = putLength(batch, at, bodyBytes(key.length + 1, value, index))
      batch[at++] = 0
      batch[at++] = 0
      at = putLength(batch, at, index++)
      at = putLength(batch, at, key.length + 1)
      batch[at++] = machine.kind
      at = put(batch, at, key)
      // A length of -1 is none at all.
      if (value === null) batch[at++] = 1
      else at = put(batch, putLength(batch, at, value.length), value)
      batch[at++] = 0
    }
  sealBatch(batch)
  return { batch, count }
}

function writeHead(batch: Buffer, count: number, timestampMs: number): void {
  batch.fill(0, 0, batchHeadBytes)
  batch.writeInt32BE(batch.length - batchLengthOverhead, 8)
  batch[16] = 2
  batch.writeInt32BE(count - 1, 23)
  writeInt64(batch, timestampMs, 27)
  writeInt64(batch, timestampMs, 35)
  // Of no producer: id, epoch and sequence are -1.
  batch.fill(0xff, 43, 57)
  batch.writeInt32BE(count, 57)
}
