// Whose turn it is among the lanes of a queue: those that may have something to give out, one after the other.
// Promises: each has a bounded share of a round; an empty one, or one that waits for its disk, holds up none of the
// others and costs nothing until it is woken.
// Does not know: which message is next within a lane (dispatch.ts), who takes it (consumers.ts).

import type { Consumers } from './consumers.ts'
import type { Lane } from './lane.ts'

/** Messages of one lane before the next one has its turn, when several have some. */
const shareMax = 8

export class LaneTurns {
  /** The first is next. */
  #lanes: Lane[] = []

  /** It may have something to give out. */
  add(lane: Lane): void {
    if (lane.isWaitingForTurn) return
    lane.isWaitingForTurn = true
    this.#lanes.push(lane)
  }

  remove(lane: Lane): void {
    if (!lane.isWaitingForTurn) return
    lane.isWaitingForTurn = false
    this.#lanes.splice(this.#lanes.indexOf(lane), 1)
  }

  /** Gives out at most so many. True: more could be given out now. */
  pump(consumers: Consumers, messagesMax: number): boolean {
    for (let left = messagesMax; left > 0 && this.#lanes.length > 0;) {
      const lane = this.#lanes[0]
      const isAlone = this.#lanes.length === 1
      const { dispatch } = lane
      const pumped = dispatch.pump(consumers, isAlone ? left : Math.min(left, shareMax))
      left -= dispatch.given
      if (pumped === 'empty' || pumped === 'waiting') {
        this.remove(lane)
        continue
      }
      if (!isAlone && dispatch.given > 0) this.#behind(lane)
      if (pumped === 'nobody') return false
    }
    return this.#lanes.length > 0
  }

  /** The next one has its turn. */
  #behind(lane: Lane): void {
    // Meanwhile it may have gone, or come again.
    const at = this.#lanes.indexOf(lane)
    if (at < 0) return
    this.#lanes.splice(at, 1)
    this.#lanes.push(lane)
  }
}
