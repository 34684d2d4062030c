// An append on its way: one call of the port, and its parts in the logs' queues.
// Promises: settled once, when every part is committed or one is refused.
// Does not know: files.

import { assert } from '../../base/assert.ts'
import type { AppendFailure, Offset } from '../../log/store.ts'

/**
 * waiting: taken, nowhere yet. writing: its segment write is under way. journalling: in the entry under way.
 * landed: synced in its segment, its journal part is to come. committed: promised by the journal, not yet in the
 * segment. done: in the segment.
 */
export type ItemState = 'waiting' | 'writing' | 'landed' | 'journalling' | 'committed' | 'done' | 'refused'

export const noSequence = -1

/** The log an item is on its way to. */
export interface ItemOwner<Owner> {
  readonly queue: Item<Owner>[]
  /** Takes back every offset from `to` on. */
  takeBack(to: Offset): void
}

export interface Item<Owner> {
  readonly append: Append<Owner>
  readonly partition: Owner
  readonly batch: Buffer
  readonly base: Offset
  readonly next: Offset
  readonly maxTimestampMs: number
  state: ItemState
  /** The one before it in its log's queue at the time it was taken. */
  before: Item<Owner> | undefined
  /** The journal entry that holds it, or `noSequence`. */
  sequence: number
}

export interface Append<Owner> {
  /** Rises from call to call. */
  readonly order: number
  readonly items: Item<Owner>[]
  /** Goes through the journal: some log promises `commit`, or there are several that must go together. */
  readonly isJournalled: boolean
  /** Does not wait for the sync under way (AppendEntry.isUrgent). */
  readonly isUrgent: boolean
  bytes: number
  /** Parts not committed yet. */
  left: number
  readonly resolve: () => void
  readonly reject: (why: Error) => void
}

/** One part is committed; the last one settles the append. */
export function settlePart<Owner>(item: Item<Owner>): void {
  const { append } = item
  assert(append.left > 0, 'an append is settled once')
  append.left--
  if (append.left === 0) append.resolve()
}

/**
 * Refuses `item` and all taken after it in its log, and with each the whole append it belongs to, in every log.
 * Only what was not handed to the journal can be refused. Answers the logs that took offsets back.
 */
export function refuseFrom<Owner extends ItemOwner<Owner>>(item: Item<Owner>, why: AppendFailure): Set<Owner> {
  const touched = new Set<Owner>()
  const pending: Item<Owner>[] = [item]
  const refused = new Set<Append<Owner>>()
  while (pending.length > 0) {
    const { partition, base } = pending.pop() as Item<Owner>
    const { queue } = partition
    const at = queue.findIndex((other) => other.base >= base)
    if (at < 0) continue
    partition.takeBack(queue[at].base)
    touched.add(partition)
    for (const other of queue.splice(at)) {
      assert(other.state !== 'journalling' && other.state !== 'committed', 'what the journal has is not refused')
      other.state = 'refused'
      refused.add(other.append)
      for (const sibling of other.append.items) {
        if (sibling.state !== 'refused' && sibling.state !== 'done') pending.push(sibling)
      }
    }
  }
  // In call order: who awaits several learns of them in the order he asked.
  const inOrder = [...refused].sort((one, other) => one.order - other.order)
  for (const append of inOrder) append.reject(why)
  return touched
}
