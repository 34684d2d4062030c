// Where the cursors of a new binding begin: the offset of each partition, found once, when the binding is made.
// Promises: an offset of the log as it is then: not below its start, not beyond what is committed. What does not say is
// from now on.
// Does not know: how the start is kept (ledgers); what is published meanwhile.

import { findField } from '../../../base/fields.ts'
import type { Clock } from '../../../base/world.ts'
import { baseOffsetAt } from '../../../log/batch.ts'
import { offset, type Log } from '../../../log/store.ts'
import { findOffset } from '../../streams/reading.ts'
import type { BindingFacts } from '../facts.ts'
import { startArgument, startSaidBy, type StreamStart } from '../stream/stream-start.ts'

export function bindingStartOf(binding: BindingFacts, nowMs: number): StreamStart {
  const said = findField(binding.arguments, startArgument)
  return (said === undefined ? undefined : startSaidBy(said, nowMs)) ?? { at: 'next' }
}

export async function startIn(log: Log, start: StreamStart, clock: Pick<Clock, 'endOfTurn'>): Promise<number> {
  const found = await foundIn(log, start, clock)
  return Math.max(log.start, Math.min(found, log.committed))
}

async function foundIn(log: Log, start: StreamStart, clock: Pick<Clock, 'endOfTurn'>): Promise<number> {
  switch (start.at) {
    case 'first':
      return log.start
    case 'next':
      return log.committed
    case 'offset':
      return start.offset
    case 'last':
      return lastBatchOf(log)
    case 'time': {
      const found = await findOffset(log, { timestampMs: start.timestampMs }, clock)
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
