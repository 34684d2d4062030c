// What a crash left of topics made or deleted half: put right at the start.
// Promises: afterwards there is a log for each partition that somebody names, and no other.
// Does not know: how topics are made and deleted (topics.ts).

import { machineLogId } from '../../log/machine.ts'
import { logId, type LogId, type Store } from '../../log/store.ts'
import type { Catalog } from '../catalog.ts'
import { logSettingsOf } from '../settings/topic-policy.ts'

/** Puts right what a crash left: logs without a topic (or `owned` otherwise) are removed, logs a topic misses are made. */
export async function settleLogs(
  store: Store,
  catalog: Catalog,
  owned: readonly LogId[] = [],
): Promise<{ removed: number; made: number }> {
  const there = new Set(store.list())
  const wanted = new Set<LogId>([machineLogId, ...owned])
  const missing: { id: LogId; settings: ReturnType<typeof logSettingsOf> }[] = []
  for (const topic of catalog.all()) {
    for (const id of Array.from({ length: topic.partitions }, (_, index) => logId(topic.id, index))) {
      wanted.add(id)
      if (!there.has(id)) missing.push({ id, settings: logSettingsOf(topic.policy, id) })
    }
  }
  const orphans = [...there].filter((id) => !wanted.has(id))
  if (orphans.length > 0) await store.delete(orphans)
  if (missing.length > 0) await store.create(missing)
  return { removed: orphans.length, made: missing.length }
}
