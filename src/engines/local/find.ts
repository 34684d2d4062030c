// Finding batches by time in the segments of one log.
// Promises: the first batch at or above a start that reaches a time; the first that has the greatest.
// Does not know: the tail in memory.

import { maxTimestampAt, baseOffsetAt } from '../../log/batch.ts'
import type { Offset } from '../../log/store.ts'
import { chunkLast, type Segment } from './segment.ts'
import type { SegmentChain } from './segment-chain.ts'

export interface Timed {
  readonly base: Offset
  readonly timestampMs: number
}

export async function findTime(chain: SegmentChain, start: Offset, timestampMs: number): Promise<Offset | undefined> {
  // A copy: a trim may take segments away meanwhile.
  const segments = [...chain.segments]
  for (const segment of segments) {
    if (segment.next <= start || segment.bytes === 0 || segment.maxTimestampMs < timestampMs) continue
    const found = await firstFrom(segment, await segment.timePosition(timestampMs), start, timestampMs)
    if (found !== undefined) return Math.max(found.base, start) as Offset
  }
  return undefined
}

export async function findMaxTime(chain: SegmentChain, start: Offset): Promise<Timed | undefined> {
  let best: Timed | undefined
  // A copy: a trim may take segments away meanwhile.
  const segments = [...chain.segments]
  for (const segment of segments) {
    if (segment.next <= start || segment.bytes === 0) continue
    if (best !== undefined && segment.maxTimestampMs <= best.timestampMs) continue
    const found =
      segment.base >= start
        ? await firstFrom(segment, await segment.timePosition(segment.maxTimestampMs), start, segment.maxTimestampMs)
        : await greatestFrom(segment, start)
    if (found !== undefined && (best === undefined || found.timestampMs > best.timestampMs)) best = found
  }
  return best
}

async function firstFrom(
  segment: Segment,
  position: number,
  start: Offset,
  timestampMs: number,
): Promise<Timed | undefined> {
  let found: Timed | undefined
  await segment.scan(position, segment.bytes, false, (chunk, at) => {
    const reached = maxTimestampAt(chunk, at)
    if (reached < timestampMs || chunkLast(chunk, at) < start) return true
    found = { base: baseOffsetAt(chunk, at) as Offset, timestampMs: reached }
    return false
  })
  return found
}

/** The start lies within: what is greatest of the whole segment may lie below it. */
async function greatestFrom(segment: Segment, start: Offset): Promise<Timed | undefined> {
  let best: Timed | undefined
  await segment.scan(await segment.position(start), segment.bytes, false, (chunk, at) => {
    const reached = maxTimestampAt(chunk, at)
    if (chunkLast(chunk, at) < start || (best !== undefined && reached <= best.timestampMs)) return
    best = { base: baseOffsetAt(chunk, at) as Offset, timestampMs: reached }
  })
  return best
}
