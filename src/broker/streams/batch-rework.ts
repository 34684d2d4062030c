// Batches that cannot be stored as they came: another codec is asked for, or records' own times must be judged.
// Promises: needsRework looks at the head only; rework opens the batch, within batchInflateBytesMax, and keeps its
// records, offsets, producer and times.
// Does not know: logs and producers.

import { batchHeadBytes, compressionOf, attributesAt, type BatchHead } from '../../log/batch.ts'
import { refuse, type Refusal } from '../errors.ts'
import type { TopicPolicy } from '../topic-policy.ts'

/** Whether this batch is not what the topic stores; a batch too short to tell is left to the judge. */
export function needsRework(policy: TopicPolicy, batch: Buffer): boolean {
  if (policy.compression === 'producer' || batch.length < batchHeadBytes) return false
  return compressionOf(attributesAt(batch, 0)) !== policy.compression
}

export async function rework(
  _policy: TopicPolicy,
  _batch: Buffer,
  _head: BatchHead,
  _nowMs: number,
): Promise<Buffer | Refusal> {
  return refuse('unsupportedCompression', 'Compressing again is not built yet.')
}
