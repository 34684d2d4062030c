// Where in a log a beginning is: the offset of what a queue's declaration, a rewind or a binding says, found once.
// Promises: an offset of the log as it is then: not below its start, not beyond what is committed.
// Does not know: how beginnings are said (stream-start.ts, queue-arguments-ours.ts) or kept (ledgers).

import type { Clock } from '../../../base/world.ts'
import { baseOffsetAt } from '../../../log/batch.ts'
import { offset, type Log } from '../../../log/store.ts'
import { findOffset } from '../../streams/reading.ts'
import type { StreamStart } from './stream-start.ts'

export async function startIn(log: Log, start: StreamStart, clock: Pick<Clock, 'endOfTurn'>): Promise<number> {
  const found = await foundIn(log, start, clock)
  return Math.max(log.start, Math.min(found, log.committed))
}

async function foundIn(log: Log, start: StreamStart, clock: Pick<Clock, 'endOfTurn'>): Promise<number> {
  switch (start.kind) {
    case 'first':
      return log.start
    case 'next':
      return log.committed
    case 'offset':
      return start.offset
    case 'last':
      return lastBatchOf(log)
    case 'time': {
      const found = await findOffset(log, { timestampMs: start.timeMs }, clock)
      // Nothing is as young yet.
      return found.offset < 0 ? log.committed : found.offset
    }
  }
}

/** The batch that was stored last, as a stream's consumer begins with it. */
async function lastBatchOf(log: Log): Promise<number> {
  const end = log.committed
  if (end <= log.start) return end
  const { chunks, release } = await log.read(offset(end - 1), 1, end)
  const base = chunks.length === 0 ? end : baseOffsetAt(chunks[0], 0)
  release?.()
  return base
}
