// A closed segment written anew without some of its batches, for logs whose readers are done with most of it.
// Promises: the new file is whole and on the medium before it takes the old one's name; a crash leaves one or the other.
// Does not know: who wants which batches kept, nor the chain that the segment belongs to.

import { type Offset } from '../../log/store.ts'
import { baseOffsetAt } from '../../log/batch.ts'
import { writeBytesMax } from './options.ts'
import { chunkLast, type Segment, type SegmentWorld } from './segment.ts'

/** Whether the batch of these offsets, the second one after its last, stays. */
export type KeepTest = (base: Offset, next: Offset) => boolean

/** What a rewriting that was cut off leaves behind; recovery removes it. */
export const rewrittenEnding = '.rewritten'

export interface Rewritten {
  readonly path: string
  readonly bytes: number
}

/** The kept batches of `segment` in a file beside it, synced. Undefined: all are kept, and there is no such file. */
export async function rewriteSegment(
  world: SegmentWorld,
  segment: Segment,
  keep: KeepTest,
): Promise<Rewritten | undefined> {
  const path = `${segment.path}${rewrittenEnding}`
  world.disk.removeFile(path)
  const file = world.disk.open(path, 'create')
  try {
    let written = 0
    let position = 0
    while (position < segment.bytes) {
      const piece = await nextPiece(segment, position, keep)
      if (piece.chunks.length > 0) await file.write(piece.chunks, written)
      written += piece.bytes
      position = piece.position
    }
    if (written === segment.bytes) {
      file.close()
      world.disk.removeFile(path)
      return undefined
    }
    await file.sync()
    file.close()
    return { path, bytes: written }
  } catch (error) {
    file.close()
    world.disk.removeFile(path)
    throw error
  }
}

interface Piece {
  readonly chunks: readonly Buffer[]
  readonly bytes: number
  /** Where the next piece begins. */
  readonly position: number
}

/** Batches to keep from `position` on, as many as one write takes. Each is proven: damage must not move to a new file. */
async function nextPiece(segment: Segment, from: number, keep: KeepTest): Promise<Piece> {
  const chunks: Buffer[] = []
  let bytes = 0
  let position = from
  await segment.scan(from, segment.bytes, true, (chunk, at, start, batchBytes) => {
    if (start - from >= writeBytesMax) return false
    position = start + batchBytes
    if (!keep(baseOffsetAt(chunk, at) as Offset, (chunkLast(chunk, at) + 1) as Offset)) return true
    // A copy: the scan reads its next piece into the same buffer.
    chunks.push(Buffer.from(chunk.subarray(at, at + batchBytes)))
    bytes += batchBytes
    return true
  })
  return { chunks, bytes, position }
}
