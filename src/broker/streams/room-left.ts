// Room left: how much of the disk is free, and what that forbids.
// Promises: below the low mark producing is refused, below the reserve making topics too; both end by themselves when
// there is room again. The store is asked at most once a second.
// Does not know: who wants to write; what could be dropped (retention.ts).

import type { Clock, Timer } from '../../base/world.ts'
import type { Store } from '../../log/store.ts'
import type { BrokerSettings } from '../settings/broker-settings.ts'
import { refuse, type Refusal } from '../errors.ts'

const askEveryMs = 1000

export class RoomLeft {
  readonly #clock: Clock
  readonly #store: Store
  readonly #settings: BrokerSettings
  #askedAtMs = -Infinity
  #freeBytes = 0
  #produceRefusal: Refusal | undefined
  #createRefusal: Refusal | undefined
  #overBudget: Refusal | undefined
  readonly #watchers = new Set<() => void>()
  #timer: Timer | undefined

  constructor(clock: Clock, store: Store, settings: BrokerSettings) {
    this.#clock = clock
    this.#store = store
    this.#settings = settings
  }

  get freeBytes(): number {
    this.#ask()
    return this.#freeBytes
  }

  produceRefusal(): Refusal | undefined {
    this.#ask()
    return this.#produceRefusal
  }

  createRefusal(): Refusal | undefined {
    this.#ask()
    return this.#createRefusal
  }

  #ask(): void {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#askedAtMs < askEveryMs) return
    this.#askedAtMs = nowMs
    this.#freeBytes = this.#store.usage().freeBytes
    const before = this.#produceRefusal
    this.#produceRefusal = this.#refusalBelow('disk.low.bytes', 'Nothing can be produced') ?? this.#overBudget
    this.#createRefusal = this.#refusalBelow('disk.reserve.bytes', 'No topic can be made')
    if ((before === undefined) !== (this.#produceRefusal === undefined)) this.#clock.endOfTurn(() => this.#tell())
  }

  /** What is only dropped once consumed takes more than everything may; undefined: it does not. */
  keepBudget(over: { readonly kept: number; readonly budget: number } | undefined): void {
    const was = this.#overBudget
    this.#overBudget =
      over &&
      refuse(
        'storageFull',
        `Nothing can be produced: ${over.kept} bytes wait to be consumed, more than retention.budget.bytes=${over.budget}. Consume or delete some.`,
      )
    if ((was === undefined) !== (over === undefined)) this.askAgain()
  }

  #refusalBelow(name: string, what: string): Refusal | undefined {
    const mark = this.#settings.number(name)
    if (this.#freeBytes >= mark) return undefined
    return refuse(
      'storageFull',
      `${what}: ${this.#freeBytes} bytes are free, less than ${name}=${mark}. Delete topics or records, or make room on the disk.`,
    )
  }

  /** Calls `changed` when producing is refused or allowed again; a look a second while somebody wants to know. */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed)
    this.#timer ??= this.#lookLater()
    return () => {
      this.#watchers.delete(changed)
      if (this.#watchers.size > 0) return
      this.#timer?.cancel()
      this.#timer = undefined
    }
  }

  #lookLater(): Timer {
    return this.#clock.after(askEveryMs, () => {
      this.#timer = this.#lookLater()
      this.#ask()
    })
  }

  #tell(): void {
    for (const changed of Array.from(this.#watchers)) changed()
  }

  /** What was found is forgotten: after something was deleted, say. */
  askAgain(): void {
    this.#askedAtMs = -Infinity
  }
}
