// One large message that goes to several queues, encoded once: a batch of its own in each of their logs.
// Promises: the bytes are the same for all; their buffer is free again when the last queue has appended them.
// Does not know: queues. The engine patches the few bytes that differ, at each append, before it copies.

import { KiB } from '../../../base/limits.ts'
import type { SealedBatch } from '../../../log/batch-builder.ts'

/** From this size on, encoding a body again costs more than a batch of its own. */
export const sharedBodyBytesMin = 64 * KiB

export class SharedBatch {
  #sealed: SealedBatch | undefined
  #uses = 0

  /** The batch, made by the first who asks. */
  take(make: () => SealedBatch): SealedBatch {
    this.#uses++
    return (this.#sealed ??= { ...make(), shared: this })
  }

  /** One of those who took it has appended it. Says whether that was the last. */
  leave(): boolean {
    return --this.#uses === 0
  }
}
