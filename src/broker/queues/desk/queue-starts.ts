// Where a queue over a topic begins: the offset of each partition, found once, when the queue is declared.
// Promises: an offset of the log as it is then: not below its start, not beyond what is committed. What is produced
// after the declaration was answered is in the queue whatever `x-start` says.
// Does not know: how the start is kept (ledgers), what else a declaration says.

import type { FieldTable } from '../../../base/fields.ts'
import type { Clock } from '../../../base/world.ts'
import type { Log, LogId } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import { isRefusal, type Refusal } from '../../errors.ts'
import type { RewindTo } from '../../queue-door.ts'
import type { Partitions } from '../../streams/partitions.ts'
import { startIn } from '../stream/start-in-log.ts'
import { ledgerStartOf } from './queue-arguments-ours.ts'

/** Of one log: everything below `start` is none of the queue's. */
export interface QueueStart {
  readonly log: LogId
  readonly start: number
}

/** The same, and what there is to say of it. */
export interface QueuePlace extends QueueStart {
  readonly partition: number
  /** How many offsets lie behind it, as of now. */
  readonly behind: number
  /** There was more, or may have been, that the log does not hold any more. */
  readonly isCut: boolean
}

export function findStarts(
  partitions: Pick<Partitions, 'of'>,
  topic: Topic,
  args: FieldTable,
  clock: Clock,
): Promise<readonly QueuePlace[] | Refusal> {
  return findPlaces(partitions, topic, ledgerStartOf(args), clock)
}

export async function findPlaces(
  partitions: Pick<Partitions, 'of'>,
  topic: Topic,
  wanted: RewindTo,
  clock: Clock,
): Promise<readonly QueuePlace[] | Refusal> {
  const starts: QueuePlace[] = []
  for (let index = 0; index < topic.partitions; index++) {
    const log = await partitions.of(topic, index)?.open(topic.policy)
    if (log === undefined) continue
    if (isRefusal(log)) return log
    const start = await startIn(log, wanted, clock)
    starts.push({
      partition: index,
      log: log.id,
      start,
      behind: log.committed - start,
      isCut: isCut(log, wanted, start),
    })
  }
  return starts
}

function isCut(log: Log, wanted: RewindTo, start: number): boolean {
  if (wanted.kind === 'offset') return wanted.offset < start
  return wanted.kind === 'time' && start > 0 && start === log.start
}
