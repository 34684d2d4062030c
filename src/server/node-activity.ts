// What stirs inside an embedded broker: whether anything happened lately, and what is still under way.
// Promises: counting only; settled() answers after some turns of the event loop in which nothing happened, and in any
// case after a bound of turns, for a client that never stops asking must not stop time.
// Does not know: what happens.

export class Activity {
  /** Bytes came or went, work was put off to the end of a turn, an append began or ended. */
  stirs = 0
  /** Calls of the store that are not answered yet. */
  underWay = 0

  readonly stirred = (): void => void this.stirs++

  /** Counts the call from now to its answer, and hands it on. */
  following<T>(call: Promise<T>): Promise<T> {
    this.stirs++
    this.underWay++
    const done = (): void => {
      this.stirs++
      this.underWay--
    }
    call.then(done, done)
    return call
  }

  async settled(): Promise<void> {
    let quietTurns = 0
    for (let turn = 0; quietTurns < quietTurnsMin && turn < turnsMax;) {
      const before = this.stirs
      // The turns of a disk that syncs are nobody's conversation.
      if (this.underWay === 0) turn++
      await nextTurn()
      quietTurns = this.underWay === 0 && this.stirs === before ? quietTurns + 1 : 0
    }
  }
}

/** From our write to a client in this process, to its answer, to us: two turns each way, and one for what it does. */
const quietTurnsMin = 5
const turnsMax = 1000

/** A whole turn of the event loop: sockets are looked at in between. */
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
