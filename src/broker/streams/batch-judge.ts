// Judging a produced batch: everything Kafka's LogValidator asks of a batch that can be asked of its head.
// Promises: what it accepts may be stored as it is; records inside are not opened. Never throws at a stranger's bytes.
// Does not know: producers' sequences (producers.ts), offsets, the log.

import { batchInflateBytesMax } from '../../base/limits.ts'
import {
  batchBytesAt,
  batchCrcHolds,
  batchHeadBytes,
  compressionOf,
  hasDeleteHorizon,
  hasLogAppendTime,
  hasUnknownAttributes,
  isControl,
  isTransactional,
  magicAt,
  readBatchHead,
  type BatchHead,
} from '../../log/batch.ts'
import { refuse, type Refusal } from '../errors.ts'
import type { TopicPolicy } from '../settings/topic-policy.ts'

const magicByteAt = 16
/** A record of nothing: its length, attributes, two deltas, no key, no value, no headers, a byte each. */
const recordBytesMin = 7
/** A record without a timestamp: never too old nor too new. */
const noTimestampMs = -1

export function judgeBatch(batch: Buffer, policy: TopicPolicy, nowMs: number): BatchHead | Refusal {
  const framed = judgeFrame(batch)
  if (framed !== undefined) return framed
  const head = readBatchHead(batch)
  if (head === undefined) return refuse('invalidRecord', 'The batch head contradicts itself.')
  if (batch.length > policy.batchBytesMax)
    return refuse(
      'batchTooLarge',
      `The batch has ${batch.length} bytes, more than max.message.bytes=${policy.batchBytesMax} of the topic.`,
    )
  return (
    judgeCounts(head, batch) ??
    judgeAttributes(head) ??
    judgeTimes(head, policy, nowMs) ??
    judgeCrc(batch, head) ??
    head
  )
}

/** One batch of magic 2 that fills the buffer. */
function judgeFrame(batch: Buffer): Refusal | undefined {
  if (batch.length <= magicByteAt)
    return refuse('invalidRecord', 'A produce request carries one record batch; there is none.')
  const magic = magicAt(batch, 0)
  if (magic < 0 || magic > 2) return refuse('corruptBatch', `A batch of magic ${magic} does not exist.`)
  if (magic < 2)
    return refuse(
      'invalidRecord',
      `A batch of magic ${magic} is too old: only magic 2 (Kafka 0.11 and later) is taken.`,
    )
  if (batch.length < batchHeadBytes) return refuse('corruptBatch', 'The batch is shorter than its head.')
  const bytes = batchBytesAt(batch, 0)
  if (bytes < batchHeadBytes) return refuse('corruptBatch', `The batch claims ${bytes} bytes, less than its head.`)
  if (bytes !== batch.length)
    return refuse('invalidRecord', `Exactly one record batch is taken: it claims ${bytes} of ${batch.length} bytes.`)
  return undefined
}

function judgeCounts(head: BatchHead, batch: Buffer): Refusal | undefined {
  if (head.count <= 0) return refuse('invalidRecord', 'The batch holds no record.')
  if (head.lastOffsetDelta + 1 !== head.count)
    return refuse(
      'invalidRecord',
      `The batch counts ${head.count} records but takes ${head.lastOffsetDelta + 1} offsets.`,
    )
  // More than could ever be read of it: whoever has to account for each of them would be kept busy for long.
  const isPacked = compressionOf(head.attributes) !== 'none'
  if (head.count * recordBytesMin > (isPacked ? batchInflateBytesMax : batch.length - batchHeadBytes))
    return refuse('invalidRecord', `The batch counts ${head.count} records, more than its bytes can hold.`)
  if (head.producerId >= 0 && (head.baseSequence < 0 || head.producerEpoch < 0))
    return refuse('invalidRecord', 'A batch with a producer id has a sequence and an epoch.')
  return undefined
}

function judgeAttributes(head: BatchHead): Refusal | undefined {
  const { attributes } = head
  if (isControl(attributes)) return refuse('invalidRecord', 'Clients may not write control records.')
  if (hasUnknownAttributes(attributes) || hasDeleteHorizon(attributes))
    return refuse('invalidRecord', 'The batch sets attribute bits that a producer leaves clear.')
  if (compressionOf(attributes) === undefined)
    return refuse('unsupportedCompression', 'The batch names a compression that does not exist.')
  if (isTransactional(attributes))
    return refuse('transactionsUnavailable', 'Transactions are not built yet: produce without a transactional id.')
  return undefined
}

/** KIP-937. The head's times stand for its records: the first one's and the greatest. */
function judgeTimes(head: BatchHead, policy: TopicPolicy, nowMs: number): Refusal | undefined {
  if (policy.stampsAppendTime) return undefined
  if (hasLogAppendTime(head.attributes))
    return refuse('invalidTimestamp', 'A producer may not stamp its batch with the time of the append.')
  const { maxTimestampMs } = head
  if (maxTimestampMs !== noTimestampMs && maxTimestampMs - nowMs > policy.timestampAfterMs)
    return refuse(
      'invalidTimestamp',
      `Timestamp ${maxTimestampMs} lies more than message.timestamp.after.max.ms=${policy.timestampAfterMs} in the future.`,
    )
  return undefined
}

function judgeCrc(batch: Buffer, head: BatchHead): Refusal | undefined {
  return batchCrcHolds(batch, 0, head.bytes)
    ? undefined
    : refuse('corruptBatch', 'The checksum of the batch is not that of its bytes.')
}
