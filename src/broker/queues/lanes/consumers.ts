// Who takes from a queue: in the order they came, by priority, or one alone.
// Promises: consumers of one priority take turns, higher ones come first while they can take; one who cannot take holds up
// nobody. One who is alone is given nothing before it has an epoch of its own.
// Does not know: messages, lanes, channels, where epochs come from.

import type { QueueConsumer } from '../parts.ts'

interface Rank {
  readonly priority: number
  readonly consumers: QueueConsumer[]
  /** Who of them is asked first. */
  turn: number
}

/** Who takes from a queue, in the order they came and by priority. */
export class Consumers {
  /** Only one is given messages: the first of the highest priority there was when the last one went. */
  isSingleActive = false
  readonly #ranks: Rank[] = []
  #count = 0
  #active: QueueConsumer | undefined
  /** Whose epoch `epoch` is. */
  #epochOf: QueueConsumer | undefined
  /** Of the single active consumer: the header that goes with what it is given. */
  epoch: Buffer | undefined
  #asked: Rank | undefined

  get count(): number {
    return this.#count
  }

  get isExclusive(): boolean {
    return this.#count === 1 && this.#ranks[0].consumers[0].isExclusive
  }

  add(consumer: QueueConsumer): void {
    let rank = this.#ranks.find((one) => one.priority === consumer.priority)
    if (rank === undefined) {
      rank = { priority: consumer.priority, consumers: [], turn: 0 }
      this.#ranks.push(rank)
      this.#ranks.sort((one, other) => other.priority - one.priority)
    }
    rank.consumers.push(consumer)
    this.#count++
    this.#active ??= consumer
  }

  /** False: it was not there. */
  remove(consumer: QueueConsumer): boolean {
    const rank = this.#ranks.find((one) => one.consumers.includes(consumer))
    if (rank === undefined) return false
    rank.consumers.splice(rank.consumers.indexOf(consumer), 1)
    rank.turn = 0
    if (rank.consumers.length === 0) this.#ranks.splice(this.#ranks.indexOf(rank), 1)
    this.#count--
    if (this.#active === consumer) this.#active = this.#ranks.at(0)?.consumers[0]
    if (this.#epochOf === consumer) this.#epochOf = this.epoch = undefined
    return true
  }

  /** There is a single active consumer that was not active before. */
  get lacksEpoch(): boolean {
    return this.isSingleActive && this.#active !== undefined && this.#active !== this.#epochOf
  }

  giveEpoch(entry: Buffer): void {
    this.#epochOf = this.#active
    this.epoch = entry
  }

  get #activeWhoCan(): QueueConsumer | undefined {
    return this.#active !== undefined && this.#active === this.#epochOf && this.#active.canTake
      ? this.#active
      : undefined
  }

  /** Who is given the next message; undefined: nobody can take one. */
  next(): QueueConsumer | undefined {
    if (this.isSingleActive) return this.#activeWhoCan
    for (const rank of this.#ranks) {
      const { consumers } = rank
      for (let tried = 0, index = rank.turn; tried < consumers.length; tried++) {
        if (consumers[index].canTake) {
          rank.turn = index
          this.#asked = rank
          return consumers[index]
        }
        index = index + 1 === consumers.length ? 0 : index + 1
      }
    }
    return undefined
  }

  /** Whom next() named was given one: the one behind is first the next time. */
  given(): void {
    const rank = this.#asked
    if (rank !== undefined) rank.turn = rank.turn + 1 >= rank.consumers.length ? 0 : rank.turn + 1
  }

  get canAnyTake(): boolean {
    if (this.isSingleActive) return this.#activeWhoCan !== undefined
    for (const { consumers } of this.#ranks) for (const consumer of consumers) if (consumer.canTake) return true
    return false
  }

  all(): QueueConsumer[] {
    return this.#ranks.flatMap((rank) => rank.consumers)
  }
}
