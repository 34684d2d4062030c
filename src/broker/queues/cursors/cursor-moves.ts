// Copies of one cursor: where they go, and the append that stores them together with how far the cursor is.
// Promises: copies and closing are one atomic append; a target that is full, or cannot be stored to now, keeps what comes
// behind waiting; what goes nowhere is counted with its reason.
// Does not know: what is matched, how a log is read (cursor.ts), when it is tried again.

import type { World } from '../../../base/world.ts'
import type { AppendEntry } from '../../../log/store.ts'
import { isRefusal, type Refusal } from '../../errors.ts'
import { isGivenIn } from '../dead-letters/dead-letter.ts'
import { hasDiedIn } from '../dead-letters/death.ts'
import { firstClosed, takesToo } from '../targets.ts'
import type {
  Ahead,
  CopyingBinding,
  LedgerPart,
  LedgersPart,
  NewMessage,
  QueuePart,
  QueuesPart,
  Router,
} from '../parts.ts'

export interface CursorMovesHost {
  readonly world: World
  readonly router: Router
  readonly queues: QueuesPart
  readonly ledgers: LedgersPart
  /** Why nothing may be stored now (a full disk); undefined: it may. */
  produceRefusal(): Refusal | undefined
}

/** A message to be copied, and where to. */
export interface Copy {
  readonly offset: number
  readonly message: NewMessage
  readonly targets: readonly QueuePart[]
  /** Why it goes to one destination less, or to none; told once it was moved. */
  readonly dropped: readonly Dropped[]
}

/** What a cursor found: copies, and offsets from the first of them on, those that are passed over too. */
export interface Found {
  readonly copies: readonly Copy[]
  readonly offsets: readonly number[]
}

type Dropped = 'noExchange' | 'unroutable' | 'cycle' | 'tooLarge'

const droppedCounters: Readonly<Record<Dropped, string>> = {
  noExchange: 'cursors.dropped.noExchange',
  unroutable: 'cursors.dropped.unroutable',
  cycle: 'cursors.dropped.cycle',
  tooLarge: 'cursors.dropped.tooLarge',
}

export class CursorMoves {
  readonly #host: CursorMovesHost

  constructor(host: CursorMovesHost) {
    this.#host = host
  }

  /** The message's slices are the caller's again after move(). */
  copyOf(binding: CopyingBinding, offset: number, keys: readonly string[], message: NewMessage): Copy {
    const { router, queues } = this.#host
    const { vhost, destination, destinationKind } = binding
    let names: readonly string[] = [destination]
    if (destinationKind === 'exchange') {
      const routed = router.route(vhost, destination, keys, message, true)
      if (isRefusal(routed)) return { offset, message, targets: [], dropped: ['noExchange'] }
      if (routed.length === 0) return { offset, message, targets: [], dropped: ['unroutable'] }
      names = routed
    }
    const targets: QueuePart[] = []
    const dropped: Dropped[] = []
    const isGiven = isGivenIn(queues, vhost)
    for (const name of names) {
      const target = queues.findLog(vhost, name)
      if (target === undefined || target.isDeleted) continue
      // Nobody but the broker moved it around since it left that queue: it would go on for ever.
      if (message.isDeadLetter && hasDiedIn(name, message.properties, isGiven)) dropped.push('cycle')
      else if (isTooLarge(target, message.bodyBytes)) dropped.push('tooLarge')
      else targets.push(target)
    }
    return { offset, message, targets, dropped }
  }

  /** Answers how many of the copies were moved, with all offsets before the next. 0: nothing can be done now. */
  async move(ledger: LedgerPart, found: Found, isOver: () => boolean): Promise<number> {
    const { ledgers, produceRefusal, world } = this.#host
    if (produceRefusal() !== undefined) return 0
    for (let target = firstClosed(found.copies); target !== undefined; target = firstClosed(found.copies))
      if ((await target.ready()) !== undefined && !target.isDeleted) return 0
    // From here on to the append all is decided in one turn.
    if (isOver()) return 0
    const byTarget = new Map<QueuePart, NewMessage[]>()
    const moved = takeWhileThereIsRoom(found.copies, byTarget)
    if (moved === 0) return 0
    const next = found.copies[moved]?.offset ?? Infinity
    const offsets = found.offsets.filter((offset) => offset < next)
    const [{ offset: first }] = found.copies
    // What comes before the first was looked at and is not wanted.
    ledger.closeReady(first, 'filtered')
    const entries: AppendEntry[] = []
    for (const [target, messages] of byTarget) entries.push(...target.entriesFor(messages))
    const outcome = ledgers.appendClosing(entries, [{ ledger, offsets, reason: 'copied' }])
    for (const target of byTarget.keys()) target.appended(outcome)
    await outcome
    world.trace.count('cursors.copied', moved)
    for (const { dropped } of found.copies.slice(0, moved))
      for (const why of dropped) world.trace.count(droppedCounters[why])
    return moved
  }
}

/** Whether the target would never take it, however long it waits. */
function isTooLarge(target: QueuePart, bodyBytes: number): boolean {
  if (target.topic.queue === undefined) return !target.accepts(bodyBytes)
  const { overflow, lengthBytesMax } = target.policy
  return overflow !== 'drop-head' && lengthBytesMax !== undefined && bodyBytes > lengthBytesMax
}

/** Sorts the first copies by their targets, up to one that a target does not take; answers how many. */
function takeWhileThereIsRoom(copies: readonly Copy[], byTarget: Map<QueuePart, NewMessage[]>): number {
  const ahead = new Map<QueuePart, Ahead>()
  for (const [at, { message, targets }] of copies.entries()) {
    for (const target of targets) if (!target.isDeleted && !takesToo(target, message.bodyBytes, ahead)) return at
    for (const target of targets) {
      if (target.isDeleted) continue
      const messages = byTarget.get(target)
      if (messages === undefined) byTarget.set(target, [message])
      else messages.push(message)
    }
  }
  return copies.length
}
