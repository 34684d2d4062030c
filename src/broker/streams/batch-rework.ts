// Batches that cannot be stored as they came: another codec is asked for, or each record's own time must be judged.
// Promises: needsRework looks at the head only; rework opens the batch within batchInflateBytesMax and keeps its
// records, offsets, producer and times. A batch that lies about its records is refused.
// Does not know: logs and producers.

import { batchInflateBytesMax } from '../../base/limits.ts'
import type { Clock } from '../../base/world.ts'
import {
  assembleBatch,
  attributesAt,
  batchHeadBytes,
  compressionBits,
  compressionOf,
  type BatchHead,
  type CompressionName,
} from '../../log/batch.ts'
import { CodecUnavailable } from '../../log/compression-codec.ts'
import { deflate, inflateOffLoop } from '../../log/compression.ts'
import { MalformedRecords, RecordCursor } from '../../log/records.ts'
import type { ProduceRefusal } from '../door.ts'
import { refuse } from '../errors.ts'
import type { TopicPolicy } from '../settings/topic-policy.ts'

const codecMask = 0x07
const noTimestampMs = -1
/** Records at fault that one refusal names. */
const namedRecordsMax = 100

const judgesRecordTimes = (policy: TopicPolicy): boolean =>
  !policy.stampsAppendTime && policy.timestampBeforeMs < Number.MAX_SAFE_INTEGER

function recompresses(policy: TopicPolicy, batch: Buffer): boolean {
  return policy.compression !== 'producer' && compressionOf(attributesAt(batch, 0)) !== policy.compression
}

/** Whether this batch must be opened first; one too short to tell is left to the judge. */
export function needsRework(policy: TopicPolicy, batch: Buffer): boolean {
  if (batch.length < batchHeadBytes) return false
  return judgesRecordTimes(policy) || recompresses(policy, batch)
}

/** The batch as it may be stored. `head` is judged. */
export async function rework(
  policy: TopicPolicy,
  batch: Buffer,
  head: BatchHead,
  clock: Pick<Clock, 'nowMs' | 'endOfTurn'>,
): Promise<Buffer | ProduceRefusal> {
  try {
    const codec = compressionOf(head.attributes) ?? 'none'
    const section = await inflateOffLoop(codec, batch.subarray(batchHeadBytes), batchInflateBytesMax, clock)
    const wrong = judgeRecords(section, head, policy, clock.nowMs())
    if (wrong !== undefined) return wrong
    return recompresses(policy, batch) ? compressed(section, head, policy) : batch
  } catch (error) {
    if (error instanceof MalformedRecords)
      return refuse('invalidRecord', `The batch cannot be opened: ${error.message}.`)
    if (error instanceof CodecUnavailable) return refuse('unsupportedCompression', `${error.message}.`)
    throw error
  }
}

function judgeRecords(
  section: Buffer,
  head: BatchHead,
  policy: TopicPolicy,
  nowMs: number,
): ProduceRefusal | undefined {
  const cursor = new RecordCursor(section)
  const tooOld: { index: number; why: string }[] = []
  const oldestMs = judgesRecordTimes(policy) ? nowMs - policy.timestampBeforeMs : -Infinity
  let count = 0
  while (cursor.next()) {
    const timestampMs = head.baseTimestampMs + cursor.timestampDeltaMs
    if (timestampMs < oldestMs && timestampMs !== noTimestampMs && tooOld.length < namedRecordsMax)
      tooOld.push({ index: count, why: `Timestamp ${timestampMs} is too old.` })
    if (cursor.offsetDelta !== count)
      throw new MalformedRecords(`record ${count} has offset delta ${cursor.offsetDelta}`)
    count++
  }
  if (count !== head.count) throw new MalformedRecords(`${count} records where the head counts ${head.count}`)
  if (tooOld.length === 0) return undefined
  const why = `${tooOld.length} record(s) lie more than message.timestamp.before.max.ms=${policy.timestampBeforeMs} in the past.`
  return { ...refuse('invalidTimestamp', why), records: tooOld }
}

function compressed(section: Buffer, head: BatchHead, policy: TopicPolicy): Buffer | ProduceRefusal {
  const codec = policy.compression as CompressionName
  const attributes = (head.attributes & ~codecMask) | compressionBits(codec)
  const batch = assembleBatch({ ...head, attributes }, deflate(codec, section, policy.compressionLevel))
  if (batch.length <= policy.batchBytesMax) return batch
  return refuse(
    'batchTooLarge',
    `The batch has ${batch.length} bytes as ${codec}, more than max.message.bytes=${policy.batchBytesMax} of the topic.`,
  )
}
