// What a life of both protocols knows, naively: which record lies where, and what became of it in each queue.
// Promises: each claim is an expectation with its name; what a crash leaves open is judged neither way.
// Does not know: how anything comes about (both-ways-life.contract.ts).

import { expect } from 'vitest'

export interface Place {
  readonly partition: number
  readonly offset: number
}

const placeText = ({ partition, offset }: Place): string => `${partition} ${offset}`

interface Entry {
  readonly id: string
  /** Told to its publisher or producer: it may not be lost. */
  isPromised: boolean
  place: Place | undefined
  /** By the queue's number. */
  readonly fates: readonly Fate[]
}

/** What became of a record in one queue. */
export interface Fate {
  readonly entry: Entry
  /** Acknowledged or dropped by a consumer; promised once a later answer says so, in doubt after a crash until then. */
  settled: 'no' | 'applied' | 'doubtful' | 'promised'
  isHeld: boolean
  wasFresh: boolean
}

export class Model {
  readonly entries = new Map<string, Entry>()
  readonly #at = new Map<string, Entry>()
  /** By queue, in the order of their first deliveries, since the broker was started. */
  readonly #fresh: Entry[][]

  constructor(queues: number) {
    this.#fresh = Array.from({ length: queues }, () => [])
  }

  sent(id: string): void {
    const fates: Fate[] = []
    const entry: Entry = { id, isPromised: false, place: undefined, fates }
    for (let queue = 0; queue < this.#fresh.length; queue++)
      fates.push({ entry, settled: 'no', isHeld: false, wasFresh: false })
    this.entries.set(id, entry)
  }

  fates(): Fate[] {
    return [...this.entries.values()].flatMap(({ fates }) => fates)
  }

  of(id: string): Entry {
    const entry = this.entries.get(id)
    expect(entry, `${id} was sent`).toBeDefined()
    return entry as Entry
  }

  /** Somebody was told that the record lies there. */
  placed(id: string, place: Place): void {
    const entry = this.of(id)
    const text = placeText(place)
    expect(placeText(entry.place ?? place), `${id} has one place`).toBe(text)
    expect(this.#at.get(text)?.id ?? id, `${text} has one record`).toBe(id)
    entry.place = place
    this.#at.set(text, entry)
  }

  delivered(queue: number, id: string, redelivered: boolean): void {
    const fate = this.of(id).fates[queue]
    expect(fate.isHeld, `${id} is delivered to one at a time`).toBe(false)
    expect(['no', 'doubtful'], `${id} comes back although it is settled`).toContain(fate.settled)
    if (!redelivered) {
      expect(fate.wasFresh, `${id} is delivered first once`).toBe(false)
      fate.wasFresh = true
      this.#fresh[queue].push(fate.entry)
    }
    fate.settled = 'no'
    fate.isHeld = true
  }

  /** First deliveries are in the order of offsets, each partition's. */
  judgeOrder(): void {
    for (const fresh of this.#fresh) this.#judgeOrder(fresh)
  }

  #judgeOrder(fresh: readonly Entry[]): void {
    const orders = new Map<number, number[]>()
    for (const { place } of fresh) {
      if (place === undefined) continue
      const order = orders.get(place.partition)
      if (order === undefined) orders.set(place.partition, [place.offset])
      else order.push(place.offset)
    }
    for (const order of orders.values()) {
      const sorted = order.toSorted((a, b) => a - b)
      expect(order, 'first deliveries have the order of the log').toEqual(sorted)
    }
  }

  /** What is readable of a partition from `start` on, whole: all that was ever told of it is still so. */
  judgeRead(partition: number, start: number, found: ReadonlyMap<number, string>, mayHaveGaps: boolean): void {
    for (const [offset, id] of found) this.placed(id, { partition, offset })
    for (const { id, fates, place } of this.#at.values()) {
      if (place?.partition !== partition || found.has(place.offset)) continue
      // What all have settled may vanish at any time from a queue that AMQP made; the start is above nothing else.
      expect(
        mayHaveGaps && fates.every(({ settled }) => settled !== 'no'),
        `${id} at ${placeText(place)} is still there, from ${start} on`,
      ).toBe(true)
    }
  }

  /** The broker is gone. `isForgetful`: what it had not synced is gone too. */
  ended(how: 'closed' | 'killed' | 'cut'): void {
    this.judgeOrder()
    for (const fresh of this.#fresh) fresh.length = 0
    for (const fate of this.fates()) {
      fate.isHeld = false
      if (fate.settled === 'applied') fate.settled = how === 'closed' ? 'promised' : 'doubtful'
      // That it was handed out is written, but nobody waits for the disk.
      if (how === 'cut') fate.wasFresh = false
    }
  }

  /** Everything was taken out. */
  judgeDrained(): void {
    for (const { id, isPromised, fates } of this.entries.values())
      for (const { settled } of isPromised ? fates : [])
        expect(settled, `${id} was promised, and never came`).not.toBe('no')
  }
}
