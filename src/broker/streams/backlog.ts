// What lies in one log behind a place in it: about how many bytes, and since when.
// Promises: whole segments are counted exactly, of the one that `from` is in its share by offsets; reads one batch at most.
// Does not know: who reads, or why he is behind.

import type { Clock } from '../../base/world.ts'
import { forEachBatch, hasLogAppendTime, type BatchHead } from '../../log/batch.ts'
import { offset, type Log } from '../../log/store.ts'
import { openBatch } from './opened-batch.ts'

export interface BytesBehind {
  readonly bytes: number
  /** A part of them is an average: `from` lies inside a segment. */
  readonly areEstimated: boolean
}

/** Bytes of the batches at and behind `from`. */
export function bytesBehind(log: Log, from: number): BytesBehind {
  let bytes = 0
  let areEstimated = false
  for (const segment of log.segments()) {
    if (segment.next <= from || segment.next === segment.base) continue
    if (segment.base >= from) bytes += segment.bytes
    else {
      areEstimated = true
      bytes += (segment.bytes * (segment.next - from)) / (segment.next - segment.base)
    }
  }
  return { bytes: Math.round(bytes), areEstimated }
}

/** When the first record at or behind `from` was stamped, ms; undefined: there is none, or its batch cannot be opened. */
export async function timeOfFirst(
  log: Log,
  from: number,
  clock: Pick<Clock, 'endOfTurn'>,
): Promise<number | undefined> {
  const at = Math.max(from, log.start)
  if (at >= log.committed) return undefined
  // The first batch comes whole, whatever its size.
  const batches = await log.read(offset(at), 1, log.committed)
  try {
    for (const chunk of batches.chunks) {
      const time = await timeIn(chunk, at, clock)
      if (time !== undefined) return time
    }
    return undefined
  } finally {
    batches.release?.()
  }
}

async function timeIn(chunk: Buffer, at: number, clock: Pick<Clock, 'endOfTurn'>): Promise<number | undefined> {
  const found: { head: BatchHead; position: number }[] = []
  forEachBatch(chunk, (head, position) => {
    if (found.length === 0 && head.baseOffset + head.lastOffsetDelta >= at) found.push({ head, position })
  })
  if (found.length === 0) return undefined
  const { head, position } = found[0]
  if (hasLogAppendTime(head.attributes)) return head.maxTimestampMs
  // Of its first record the head itself tells.
  if (head.baseOffset >= at) return head.baseTimestampMs
  const opened = await openBatch(chunk.subarray(position, position + head.bytes), head, clock)
  return opened?.find((offsetDelta, timestampMs) => (head.baseOffset + offsetDelta >= at ? timestampMs : undefined))
}
