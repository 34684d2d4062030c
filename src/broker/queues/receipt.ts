// Receipts: what a publisher holds until the queues have stored what it published, or have not.
// Promises: a receipt settles once; those who wait are called once, never during whenSettled(); a combined one is
// stored when all of its parts are, and refused when any is.
// Does not know: queues, confirms of any protocol.

import { assert } from '../../base/assert.ts'
import type { Receipt } from '../queue-door.ts'

type Settled = 'stored' | 'refused'

/** One batch of one queue: everything in it is stored by one append, or nothing is. */
export class BatchReceipt implements Receipt {
  state: 'pending' | Settled = 'pending'
  #waiting: (() => void)[] | undefined

  whenSettled(done: () => void): void {
    if (this.state !== 'pending') queueMicrotask(done)
    else if (this.#waiting === undefined) this.#waiting = [done]
    else this.#waiting.push(done)
  }

  settle(state: Settled): void {
    assert(this.state === 'pending', 'a receipt settles once')
    this.state = state
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    for (const done of waiting) done()
  }
}

function settledReceipt(state: Settled): Receipt {
  return Object.freeze({ state, whenSettled: (done: () => void) => queueMicrotask(done) })
}

/** What needs no waiting: stored nowhere because nothing promises it (scratch), or stored already. */
export const storedReceipt: Receipt = settledReceipt('stored')
export const refusedReceipt: Receipt = settledReceipt('refused')
