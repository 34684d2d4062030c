// Deliveries of one lane that are not settled in time: their consumer is ended and what it holds goes back.
// Promises: costs nothing while the queue has no consumer timeout.
// Does not know: channels; what counts as a failed delivery.

import type { Clock, Timer } from '../../../base/world.ts'
import type { QueueConsumer } from '../parts.ts'

interface Given {
  readonly consumer: QueueConsumer
  readonly atMs: number
}

export class DeliveryTimeouts {
  readonly #clock: Clock
  readonly #timeoutMs: () => number | undefined
  /** Called with a consumer that was too slow. */
  readonly #end: (consumer: QueueConsumer) => void
  /** In the order they were given. */
  readonly #given = new Map<number, Given>()
  #timer: Timer | undefined

  constructor(clock: Clock, timeoutMs: () => number | undefined, end: (consumer: QueueConsumer) => void) {
    this.#clock = clock
    this.#timeoutMs = timeoutMs
    this.#end = end
  }

  given(offset: number, consumer: QueueConsumer): void {
    const timeoutMs = this.#timeoutMs()
    if (timeoutMs === undefined) return
    this.#given.delete(offset)
    this.#given.set(offset, { consumer, atMs: this.#clock.monotonicMs() })
    this.#timer ??= this.#clock.after(timeoutMs, () => this.#look())
  }

  settled(offset: number): void {
    if (this.#given.size > 0) this.#given.delete(offset)
  }

  #look(): void {
    this.#timer = undefined
    const timeoutMs = this.#timeoutMs()
    if (timeoutMs === undefined) return this.#given.clear()
    const nowMs = this.#clock.monotonicMs()
    for (const { consumer, atMs } of this.#given.values()) {
      if (atMs + timeoutMs > nowMs) {
        this.#timer = this.#clock.after(atMs + timeoutMs - nowMs, () => this.#look())
        return
      }
      this.#end(consumer)
    }
  }

  /** What a consumer holds and is given no more time for. */
  heldBy(consumer: QueueConsumer): number[] {
    const offsets: number[] = []
    for (const [offset, given] of this.#given) if (given.consumer === consumer) offsets.push(offset)
    for (const offset of offsets) this.#given.delete(offset)
    return offsets
  }

  close(): void {
    this.#timer?.cancel()
    this.#given.clear()
  }
}
