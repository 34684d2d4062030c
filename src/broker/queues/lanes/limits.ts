// The length of a queue, in messages and bytes of all its lanes, and what happens when there is more than it may hold.
// Promises: ready messages are counted, by the bytes of their bodies; what is too much is pushed out from the head of the
// lane that is longest, in bytes where those are too many.
// Does not know: how bytes are counted (lane-bytes.ts), where messages that are pushed out go, how a publisher hears of
// a refusal.

import type { Clock } from '../../../base/world.ts'
import type { QueuePolicy } from '../facts.ts'
import type { LedgerPart, StoredMessage } from '../parts.ts'
import type { LaneBytes } from './lane-bytes.ts'
import type { Reading } from '../messages/reading.ts'

/** Messages pushed out in one turn: a limit may come when there are millions too many. */
const pushedOutPerTurn = 4096

export interface LimitedLane {
  readonly ledger: LedgerPart
  readonly bytes: LaneBytes
  readonly reading: Reading
  /** For looking into; nobody else holds it across a turn. */
  readonly scratch: StoredMessage
  readonly isVoid: boolean
  pushOut(offset: number): void
  /** The log could not be read. */
  failed(what: string, error: unknown): void
}

export interface LimitedQueue {
  readonly policy: QueuePolicy
  readonly isDeleted: boolean
  /** Ready messages of all lanes. */
  readonly messages: number
}

export class Limits {
  readonly #queue: LimitedQueue
  /** Those that are open. */
  readonly #lanes: () => readonly LimitedLane[]
  readonly #clock: Clock
  #isDropping = false

  constructor(queue: LimitedQueue, lanes: () => readonly LimitedLane[], clock: Clock) {
    this.#queue = queue
    this.#lanes = lanes
    this.#clock = clock
  }

  /** Whether one more would be too many. `pending`: added and not ready yet, and nobody waits for them. */
  wouldOverflow(bodyBytes: number, pending: number): boolean {
    const { lengthMax, lengthBytesMax } = this.#queue.policy
    if (lengthMax !== undefined && this.#queue.messages + pending + 1 > lengthMax) return true
    return lengthBytesMax !== undefined && this.#bytes() + bodyBytes > lengthBytesMax
  }

  #bytes(): number {
    let bytes = 0
    for (const lane of this.#lanes()) bytes += lane.bytes.ready
    return bytes
  }

  /** Pushes out what is too much, after everybody who can take had his share. */
  enforce(): void {
    const { overflow, lengthMax, lengthBytesMax } = this.#queue.policy
    if (overflow !== 'drop-head' || (lengthMax === undefined && lengthBytesMax === undefined)) return
    if (lengthBytesMax === undefined && lengthMax !== undefined) return this.#pushOutAllAbove(lengthMax)
    if (!this.#isOver() || this.#isDropping) return
    this.#isDropping = true
    void this.#pushOut().finally(() => {
      this.#isDropping = false
    })
  }

  #pushOutAllAbove(lengthMax: number): void {
    let left = pushedOutPerTurn
    for (let excess = this.#queue.messages - lengthMax; excess > 0;) {
      const { longest, ahead } = longestOf(this.#lanes())
      // As many as make it as long as the next one, so that few looks at all lanes are needed.
      const count = Math.min(excess, ahead + 1, left)
      for (let pushed = 0; pushed < count; pushed++) longest.pushOut(longest.ledger.peek() as number)
      excess -= count
      left -= count
      if (left === 0 && excess > 0) return this.#enforceLater()
    }
  }

  #enforceLater(): void {
    if (this.#isDropping) return
    this.#isDropping = true
    this.#clock.endOfTurn(() => {
      this.#isDropping = false
      if (!this.#queue.isDeleted) this.enforce()
    })
  }

  #isOver(): boolean {
    const { lengthMax } = this.#queue.policy
    return (lengthMax !== undefined && this.#queue.messages > lengthMax) || this.#hasTooManyBytes()
  }

  #hasTooManyBytes(): boolean {
    const { lengthBytesMax } = this.#queue.policy
    return lengthBytesMax !== undefined && this.#bytes() > lengthBytesMax
  }

  /** With a limit in bytes a message is looked at before it goes. What cannot be read stays. */
  async #pushOut(): Promise<void> {
    const unreadable = new Set<LimitedLane>()
    while (!this.#queue.isDeleted && this.#isOver()) {
      const lane = this.#largest(unreadable)
      const offset = lane?.ledger.peek()
      if (lane === undefined || offset === undefined) return
      try {
        const missing = lane.reading.seek(offset)
        if (missing instanceof Promise) {
          await missing
          continue
        }
        if (missing === undefined) {
          lane.reading.fill(offset, lane.scratch)
          lane.bytes.taken(offset, lane.scratch.body.length, false)
        }
        lane.pushOut(offset)
      } catch (error) {
        lane.failed('pushing out', error)
        unreadable.add(lane)
      }
    }
  }

  /** With the most bytes where those are too many, else with the most messages; undefined: none is left. */
  #largest(but: ReadonlySet<LimitedLane>): LimitedLane | undefined {
    const byBytes = this.#hasTooManyBytes()
    let largest: LimitedLane | undefined
    let most = -1
    for (const lane of this.#lanes()) {
      if (lane.isVoid || lane.ledger.ready === 0 || but.has(lane)) continue
      const size = byBytes ? lane.bytes.ready : lane.ledger.ready
      if (size > most) {
        most = size
        largest = lane
      }
    }
    return largest
  }
}

/** The lane with the most ready messages, and by how many it is ahead of the next. */
function longestOf(lanes: readonly LimitedLane[]): { longest: LimitedLane; ahead: number } {
  let longest = lanes[0]
  let second = 0
  for (let index = 1; index < lanes.length; index++) {
    const lane = lanes[index]
    if (lane.ledger.ready > longest.ledger.ready) {
      second = longest.ledger.ready
      longest = lane
    } else if (lane.ledger.ready > second) second = lane.ledger.ready
  }
  return { longest, ahead: longest.ledger.ready - second }
}
