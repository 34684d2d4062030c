// A batch of ours as the settings of its topic want it stored: compressed, stamped with the time of the append.
// Promises: the very same bytes where nothing is wanted; else a batch of its own, for the one given may be shared.
// Does not know: records; which batches go where.

import {
  assembleBatch,
  batchHeadBytes,
  compressionBits,
  logAppendTimeBit,
  readBatchHead,
  type CompressionName,
} from '../../../log/batch.ts'
import { assert } from '../../../base/assert.ts'
import { MiB } from '../../../base/limits.ts'
import { deflate } from '../../../log/compression.ts'
import type { TopicPolicy } from '../../settings/topic-policy.ts'

/** A larger message is stored as it came: compressing it would keep everybody else waiting. */
export const packedBytesMax = MiB

export function asStored(batch: Buffer, policy: TopicPolicy): Buffer {
  const codec: CompressionName = policy.compression === 'producer' ? 'none' : policy.compression
  if (codec === 'none' && !policy.stampsAppendTime) return batch
  const head = readBatchHead(batch)
  assert(head !== undefined, 'a batch of ours has a head')
  const plain = batch.subarray(batchHeadBytes)
  const packed =
    codec === 'none' || plain.length > packedBytesMax ? plain : deflate(codec, plain, policy.compressionLevel)
  const isSmaller = packed.length < plain.length
  const attributes =
    head.attributes | (policy.stampsAppendTime ? logAppendTimeBit : 0) | (isSmaller ? compressionBits(codec) : 0)
  return assembleBatch({ ...head, attributes }, isSmaller ? packed : plain)
}
