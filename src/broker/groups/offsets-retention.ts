// When committed offsets expire: KIP-211's rules, by the state of their group.
// Promises: pure. An offset in use never expires; every other lives offsetsRetentionMs from the moment its use ended.
// Does not know: timers, logs, how offsets are removed.

import { subscribes, type Group } from './group.ts'
import { consumerProtocolType } from './group-subscription.ts'
import type { OffsetPlace, StoredOffset } from './offsets.ts'
import type { TopicId } from '../../log/store.ts'

/** The offsets of `group` to be removed at `wallMs`. `nameOf`: a topic's name, undefined when it is gone. */
export function expiredOffsets(
  group: Group,
  offsets: Iterable<OffsetPlace & { readonly stored: StoredOffset }>,
  wallMs: number,
  retentionMs: number,
  nameOf: (topic: TopicId) => string | undefined,
): readonly OffsetPlace[] {
  const expired: OffsetPlace[] = []
  for (const { topicId, partition, stored } of offsets) {
    const sinceMs = unusedSinceMs(group, nameOf(topicId), stored.committedAtMs)
    if (sinceMs !== undefined && wallMs - sinceMs >= retentionMs) expired.push({ topicId, partition })
  }
  return expired
}

/** Since when an offset serves nobody; undefined: it is in use, or that cannot be told. */
function unusedSinceMs(group: Group, topic: string | undefined, committedAtMs: number): number | undefined {
  // Nobody ever joined: a consumer that only keeps its offsets here shows itself by committing.
  if (group.protocolType === null) return committedAtMs
  // Kafka counts from the group's last change alone; a later commit from outside (a reset) shall live as long.
  if (group.state === 'Empty') return Math.max(group.stateSinceMs, committedAtMs)
  const isTold = group.state === 'Stable' && group.protocolType === consumerProtocolType
  if (isTold && (topic === undefined || !subscribes(group, topic))) return committedAtMs
  return undefined
}
