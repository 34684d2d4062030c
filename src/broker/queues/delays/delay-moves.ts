// Waiting messages whose time has come: routed as if published now, and moved to their queues.
// Promises: copies and closing are one atomic append, so that a crash neither loses nor repeats; what goes nowhere is
// closed and counted.
// Does not know: when messages are due, what is done when they could not be moved.

import { findField } from '../../../base/fields.ts'
import { MiB } from '../../../base/limits.ts'
import { PropertyScan } from '../../../base/property-scan.ts'
import type { World } from '../../../base/world.ts'
import { AppendFailure, type AppendEntry } from '../../../log/store.ts'
import { isRefusal, type Refusal } from '../../errors.ts'
import type { DelayBucket } from './delay-bucket.ts'
import { firstClosed, takesToo } from '../targets.ts'
import type {
  Ahead,
  DeadLettering,
  LedgersPart,
  NewMessage,
  QueuePart,
  QueuesPart,
  Router,
  StoredMessage,
} from '../parts.ts'

export interface DelayMovesHost {
  readonly world: World
  readonly router: Router
  readonly queues: QueuesPart
  readonly ledgers: LedgersPart
  deadLettering(): DeadLettering
  /** Why nothing may be stored now (a full disk); undefined: it may. */
  produceRefusal(): Refusal | undefined
}

/** One append moves at most so many bytes, but for a single larger message. */
const movedBytesMax = 4 * MiB

interface Letter {
  readonly message: NewMessage
  readonly targets: readonly QueuePart[]
}

const scan = new PropertyScan()

export class DelayMoves {
  readonly #host: DelayMovesHost

  constructor(host: DelayMovesHost) {
    this.#host = host
  }

  /** Moves what was taken, in its order. Answers those that were not: all when it could not be done now. */
  async move(bucket: DelayBucket, offsets: readonly number[]): Promise<readonly number[]> {
    const { world, ledgers, produceRefusal } = this.#host
    if (produceRefusal() !== undefined) return offsets
    try {
      const letters = await this.#read(bucket, offsets)
      for (let target = firstClosed(letters); target !== undefined; target = firstClosed(letters))
        if ((await target.ready()) !== undefined && !target.isDeleted) return offsets
      // From here on to the append all is decided in one turn.
      if (bucket.isDeleted) return offsets
      const moved = offsets.slice(0, letters.length)
      const byTarget = this.#sort(letters)
      const entries: AppendEntry[] = []
      for (const [target, messages] of byTarget) entries.push(...target.entriesFor(messages))
      const closings = bucket.closings(
        moved.toSorted((one, other) => one - other),
        'acked',
      )
      const outcome = ledgers.appendClosing(entries, closings)
      for (const target of byTarget.keys()) target.appended(outcome)
      await outcome
      world.trace.count('delays.moved', moved.length)
      return offsets.slice(moved.length)
    } catch (error) {
      if (!(error instanceof AppendFailure)) throw error
      world.trace.warn('delayed messages wait', { messages: offsets.length, why: error.message })
      return offsets
    }
  }

  /** One for each of the first offsets, as many as fit one append; undefined for one that is gone from its log. */
  async #read(bucket: DelayBucket, offsets: readonly number[]): Promise<(Letter | undefined)[]> {
    const found = new Map<number, Letter>()
    let bytes = 0
    let next: number | undefined
    await bucket.readWhile(offsets, (stored) => {
      bytes += stored.body.length + stored.properties.length
      if (found.size > 0 && bytes > movedBytesMax) {
        next = stored.offset
        return false
      }
      found.set(stored.offset, this.#letterOf(bucket.facts.vhost, stored))
      return true
    })
    const read = next === undefined ? offsets : offsets.slice(0, offsets.indexOf(next))
    return read.map((offset) => found.get(offset))
  }

  #letterOf(vhost: string, stored: StoredMessage): Letter {
    const { router, queues } = this.#host
    const message: NewMessage = {
      exchange: stored.exchange.toString(),
      routingKey: stored.routingKey.toString(),
      properties: Buffer.from(stored.properties),
      body: [Buffer.from(stored.body)],
      bodyBytes: stored.body.length,
      isDeadLetter: stored.isDeadLetter,
    }
    const keys = [message.routingKey, ...copiesOf(message.properties)]
    const destinations = router.route(vhost, message.exchange, keys, message, true)
    if (isRefusal(destinations)) return this.#nowhere(message, 'noExchange')
    if (destinations.length === 0) return this.#nowhere(message, 'unroutable')
    const targets: QueuePart[] = []
    for (const name of destinations) {
      const target = queues.findLog(vhost, name)
      if (target !== undefined && !target.isDeleted) targets.push(target)
    }
    return { message, targets }
  }

  #nowhere(message: NewMessage, why: 'noExchange' | 'unroutable'): Letter {
    this.#host.world.trace.count(`delays.dropped.${why}`)
    return { message, targets: [] }
  }

  #sort(letters: readonly (Letter | undefined)[]): Map<QueuePart, NewMessage[]> {
    const byTarget = new Map<QueuePart, NewMessage[]>()
    const ahead = new Map<QueuePart, Ahead>()
    for (const letter of letters)
      for (const target of letter?.targets ?? []) {
        if (letter === undefined || target.isDeleted) continue
        if (!takesToo(target, letter.message.bodyBytes, ahead)) {
          if (target.policy.overflow === 'reject-publish-dlx')
            this.#host.deadLettering().deadLetterRefused(target, letter.message)
          else this.#host.world.trace.count('delays.dropped.overflow')
          continue
        }
        const messages = byTarget.get(target)
        if (messages === undefined) byTarget.set(target, [letter.message])
        else messages.push(letter.message)
      }
    return byTarget
  }
}

/** The routing keys of the header CC. BCC was taken off when the message was published. */
function copiesOf(properties: Buffer): string[] {
  scan.scan(properties)
  const copies = findField(scan.headers() ?? [], 'CC')
  if (copies?.type !== 'array') return []
  return copies.value.flatMap((copy) => (copy.type === 'text' ? [copy.value.toString()] : []))
}
