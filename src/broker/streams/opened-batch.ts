// An opened batch: its records' offsets and times, for the few who must look inside.
// Promises: a batch that lies (does not inflate, passes the limit, breaks off) gives what was readable, or undefined.
// Does not know: keys and values' meaning, the log.

import { batchInflateBytesMax } from '../../base/limits.ts'
import type { Clock } from '../../base/world.ts'
import { batchHeadBytes, compressionOf, type BatchHead } from '../../log/batch.ts'
import { CodecUnavailable } from '../../log/compression-codec.ts'
import { inflateOffLoop } from '../../log/compression.ts'
import { MalformedRecords, RecordCursor } from '../../log/records.ts'

export interface OpenedBatch {
  /** The first answer that `look` gives; records are walked in their order. */
  find<Answer>(look: (offsetDelta: number, timestampMs: number) => Answer | undefined): Answer | undefined
}

/** undefined: it cannot be opened. */
export async function openBatch(
  batch: Buffer,
  head: BatchHead,
  clock: Pick<Clock, 'endOfTurn'>,
): Promise<OpenedBatch | undefined> {
  const codec = compressionOf(head.attributes)
  if (codec === undefined) return undefined
  try {
    const section = batch.subarray(batchHeadBytes, head.bytes)
    const content = await inflateOffLoop(codec, section, batchInflateBytesMax, clock)
    return { find: (look) => findIn(content, head, look) }
  } catch (error) {
    if (error instanceof MalformedRecords || error instanceof CodecUnavailable) return undefined
    throw error
  }
}

function findIn<Answer>(
  content: Buffer,
  head: BatchHead,
  look: (offsetDelta: number, timestampMs: number) => Answer | undefined,
): Answer | undefined {
  const cursor = new RecordCursor(content)
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
