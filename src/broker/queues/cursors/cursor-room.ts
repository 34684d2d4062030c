// Room for what all cursors of a broker hold in memory: what a few of them read, and copies that are not stored yet.
// Promises: at most its bytes and one message more, however many bindings have something to copy; who waits holds no
// room, and has his turn.
// Does not know: cursors, logs.

import { MiB } from '../../../base/limits.ts'

/** What is found and not stored yet, each message once for each of its destinations. */
export const copiesBytesMax = 32 * MiB
/** Cursors that read at a time: each may have to read a batch as large as a queue takes. */
const lookingMax = 4

export class CursorRoom {
  #bytes = 0
  #looking = 0
  readonly #waiting: (() => void)[] = []

  /** Nothing more may be copied now. */
  get isFull(): boolean {
    return this.#bytes >= copiesBytesMax
  }

  get #isBusy(): boolean {
    return this.isFull || this.#looking >= lookingMax
  }

  /** Somebody looks for what there is to copy: resolves when he may. To be followed by found(), and by give() at last. */
  async look(): Promise<void> {
    while (this.#isBusy) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#looking++
  }

  found(): void {
    this.#looking--
    this.#next()
  }

  take(bytes: number): void {
    this.#bytes += bytes
  }

  give(bytes: number): void {
    this.#bytes -= bytes
    this.#next()
  }

  #next(): void {
    if (!this.#isBusy) this.#waiting.shift()?.()
  }
}
