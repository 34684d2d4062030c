// Which batches of a piece of a segment answer a read.
// Promises: every batch selected is whole and proven by its CRC; an index that led astray is told from damage.
// Does not know: files, caches, who reads.

import { baseOffsetAt, batchCrcHolds, batchHeadBytes, readBatchHead } from '../../log/batch.ts'
import type { Offset } from '../../log/store.ts'
import { readBytesMin } from './options.ts'
import { chunkLast, type Segment } from './segment.ts'

interface Selection {
  /** The wanted batches lie between `begin` and `stop` in the buffer; with none, go on from `begin`. */
  readonly begin: number
  readonly stop: number
  readonly next: Offset
  /** Bytes to read from `begin` on to see a whole batch; 0: nothing below the bound. */
  readonly wanted: number
}

/** Which batches of `buffer`, read at `position`, answer a read; every one of them proven by its CRC. */
export function selectBatches(
  segment: Segment,
  buffer: Buffer,
  position: number,
  from: Offset,
  bytesMax: number,
  below: Offset,
  isByIndex: boolean,
): Selection | 'doubtful' {
  let at = 0
  let begin = -1
  let next = from
  while (at < buffer.length) {
    if (buffer.length - at < batchHeadBytes) break
    const bytes = readBatchHead(buffer, at)?.bytes
    // An index leads to a batch at or below what is looked for; anything else may be the index's fault.
    const isAstray = bytes === undefined || baseOffsetAt(buffer, at) > from
    if (isByIndex && at === 0 && isAstray && !segment.isProven(from, position)) return 'doubtful'
    if (bytes === undefined || baseOffsetAt(buffer, at) < segment.base) throw segment.damagedAt(position + at)
    const after = (chunkLast(buffer, at) + 1) as Offset
    const isWanted = begin >= 0 || after > from
    if (isWanted && (after > below || (begin >= 0 && at + bytes - begin > bytesMax))) {
      return { begin: begin < 0 ? at : begin, stop: at, next, wanted: 0 }
    }
    if (at + bytes > buffer.length) {
      return { begin: begin < 0 ? at : begin, stop: at, next, wanted: bytes }
    }
    if (isWanted) {
      if (!batchCrcHolds(buffer, at, bytes)) throw segment.damagedAt(position + at)
      if (begin < 0) begin = at
      next = after
    }
    at += bytes
  }
  return { begin: begin < 0 ? at : begin, stop: at, next, wanted: readBytesMin }
}
