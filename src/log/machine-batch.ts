// The batch of one append to the machine log: records of keys and values, written once into the buffer that is appended.
// Promises: the very bytes that encodeBatch would give for the same records; one allocation a batch.
// Does not know: machines beyond the byte that each of their keys begins with.

import { batchHeadBytes, sealBatch, writeBatchHead } from './batch.ts'
import { putBytes, putVarint, varintBytes } from './record-fields.ts'

/** What of a decision goes into the batch. */
interface Decided {
  readonly machine: { readonly kind: number }
  readonly records: readonly { readonly key: Uint8Array; readonly value: Uint8Array | null }[]
}

/** Attributes, no time difference, no headers, and no value when it is null. */
const plainBytes = 3

function bodyBytes(keyBytes: number, value: Uint8Array | null, index: number): number {
  const valueBytes = value === null ? 1 : varintBytes(value.length) + value.length
  return plainBytes + varintBytes(index) + varintBytes(keyBytes) + keyBytes + valueBytes
}

export function machineBatch(decisions: readonly Decided[], timestampMs: number): { batch: Buffer; count: number } {
  let bytes = batchHeadBytes
  let count = 0
  for (const { records } of decisions)
    for (const { key, value } of records) {
      const body = bodyBytes(key.length + 1, value, count++)
      bytes += varintBytes(body) + body
    }
  const batch = Buffer.allocUnsafe(bytes)
  writeBatchHead(batch, {
    attributes: 0,
    lastOffsetDelta: count - 1,
    baseTimestampMs: timestampMs,
    maxTimestampMs: timestampMs,
    count,
  })
  let at = batchHeadBytes
  let index = 0
  for (const { machine, records } of decisions)
    for (const { key, value } of records) {
      at = putVarint(batch, at, bodyBytes(key.length + 1, value, index))
      batch[at++] = 0
      batch[at++] = 0
      at = putVarint(batch, at, index++)
      at = putVarint(batch, at, key.length + 1)
      batch[at++] = machine.kind
      at = putBytes(batch, at, key)
      // A length of -1 is none at all.
      if (value === null) batch[at++] = 1
      else at = putBytes(batch, putVarint(batch, at, value.length), value)
      batch[at++] = 0
    }
  sealBatch(batch)
  return { batch, count }
}
