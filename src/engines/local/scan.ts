// Walking the batches of a segment file, large pieces at a time.
// Promises: stops at the first bytes that are not a whole, plausible batch; above a position their CRC is proven too.
// Does not know: what is done with them.

import { assert } from '../../base/assert.ts'
import { batchCrcHolds, batchHeadBytes, readBatchHead } from '../../log/batch.ts'
import type { FileSlot, FileSlots } from './file-slots.ts'
import { scanBytes } from './options.ts'

/** Sees one batch, of `bytes` at `position` in the file and at `at` in the chunk. False ends the scan. */
export type SegmentVisit = (chunk: Buffer, at: number, position: number, bytes: number) => boolean | void

/** Largest batch that is believed: the length field of damaged bytes must not make us take gigabytes. */
const believedBytesMax = 1024 * 1024 * 1024

/**
 * Calls `visit` for each batch between `from` and `end`; from `trustedTo` on only for those whose CRC holds. Answers
 * the position after the last batch visited: `end` when all were good; a visit that says false ends before its batch.
 */
export async function scanBatches(
  slots: FileSlots,
  slot: FileSlot,
  from: number,
  end: number,
  trustedTo: number,
  visit: SegmentVisit,
): Promise<number> {
  assert(from <= end, `${slot.path}: a scan goes forward`)
  let position = from
  let buffer = Buffer.allocUnsafe(Math.min(scanBytes, Math.max(end - from, batchHeadBytes)))
  const file = slots.hold(slot)
  try {
    while (position < end) {
      const target = buffer.subarray(0, Math.min(buffer.length, end - position))
      const filled = await file.read(target, position)
      let at = 0
      let wanted = 0
      while (at < filled) {
        const bytes = filled - at < batchHeadBytes ? 0 : (readBatchHead(buffer, at)?.bytes ?? -1)
        if (bytes === -1 || bytes > believedBytesMax || position + at + bytes > end) return position + at
        if (bytes === 0 || at + bytes > filled) {
          wanted = Math.max(bytes, batchHeadBytes)
          break
        }
        if (position + at >= trustedTo && !batchCrcHolds(buffer.subarray(0, filled), at, bytes)) return position + at
        if (visit(buffer, at, position + at, bytes) === false) return position + at
        at += bytes
      }
      position += at
      if (at > 0) continue
      // Not one whole batch fitted: the rest of the file is too short for one, or the buffer is.
      if (filled < target.length || wanted === 0 || position + wanted > end) return position
      buffer = Buffer.allocUnsafe(wanted)
    }
  } finally {
    slots.release(slot)
  }
  return position
}
