// An opened batch: its records' offsets and times, for the few who must look inside.
// Promises: a batch that lies (does not inflate, passes the limit, holds other records than it says) is undefined.
// Does not know: keys and values' meaning, the log.

import { batchHeadBytes, compressionOf, type BatchHead } from '../../log/batch.ts'
import { MalformedRecords, RecordCursor } from '../../log/records.ts'

export interface OpenedBatch {
  /** The first answer that `look` gives; records are walked in their order. */
  find<Answer>(look: (offsetDelta: number, timestampMs: number) => Answer | undefined): Answer | undefined
}

export async function openBatch(batch: Buffer, head: BatchHead, _bytesMax: number): Promise<OpenedBatch | undefined> {
  const codec = compressionOf(head.attributes)
  if (codec !== 'none') return undefined
  const section = batch.subarray(batchHeadBytes, head.bytes)
  return { find: (look) => findIn(section, head, look) }
}

function findIn<Answer>(
  section: Buffer,
  head: BatchHead,
  look: (offsetDelta: number, timestampMs: number) => Answer | undefined,
): Answer | undefined {
  const cursor = new RecordCursor(section)
  try {
    while (cursor.next()) {
      const answer = look(cursor.offsetDelta, head.baseTimestampMs + cursor.timestampDeltaMs)
      if (answer !== undefined) return answer
    }
  } catch (error) {
    if (!(error instanceof MalformedRecords)) throw error
  }
  return undefined
}
