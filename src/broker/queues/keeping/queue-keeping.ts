// What stays of a log though its queues have worked it off: what its topic keeps for a time, and what groups have yet to read.
// Promises: an answer is never higher than what is committed says; what nobody asked to keep is not kept.
// Does not know: ledgers; who trims (queue-trimming.ts).

import type { Clock } from '../../../base/world.ts'
import { partitionOf, type Log } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import type { TopicPolicy } from '../../settings/topic-policy.ts'
import { excessSegments, expiredSegments } from '../../streams/retention.ts'

/** Where a group stands in a partition, as it is committed; undefined: it committed nothing there. */
export type GroupPlace = (topic: Topic, partition: number, group: string) => Promise<number | undefined>

/** Where there are no groups. */
export const noGroupPlace: GroupPlace = () => Promise.resolve(undefined)

/** Whether something of the topic may stay that is worked off: then somebody looks again now and then. */
export const keepsConsumed = ({ dropsConsumed, consumedMs, consumedBytes, holdGroups }: TopicPolicy): boolean =>
  dropsConsumed && (consumedMs !== 0 || consumedBytes !== 0 || holdGroups.length > 0)

/** The first offset from which on all stays, worked off or not; Infinity: nothing does. */
export async function keptFrom(topic: Topic, log: Log, clock: Clock, placeOf: GroupPlace): Promise<number> {
  const { policy } = topic
  if (!keepsConsumed(policy)) return Infinity
  const partition = partitionOf(log.id)
  let kept = consumedFrom(log, policy, clock.nowMs())
  for (const group of policy.holdGroups) kept = Math.min(kept, (await placeOf(topic, partition, group)) ?? log.start)
  return kept
}

function consumedFrom(log: Log, { consumedMs, consumedBytes }: TopicPolicy, nowMs: number): number {
  if (consumedMs === 0 && consumedBytes === 0) return Infinity
  const limits = { retentionMs: consumedMs, retentionBytes: consumedBytes }
  const goes = Math.max(expiredSegments(log, limits, nowMs), excessSegments(log, limits))
  const segments = log.segments()
  return goes === segments.length ? log.end : segments[goes].base
}
