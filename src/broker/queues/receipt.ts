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

/** Several queues' receipts as one. */
class CombinedReceipt implements Receipt {
  readonly parts: readonly Receipt[]
  readonly #batch = new BatchReceipt()
  #pending: number
  #refused: boolean

  constructor(parts: readonly Receipt[]) {
    this.parts = parts
    const pending = parts.filter((part) => part.state === 'pending')
    this.#pending = pending.length
    this.#refused = parts.some((part) => part.state === 'refused')
    for (const part of pending) part.whenSettled(() => this.#settled(part))
  }

  get state(): 'pending' | Settled {
    return this.#batch.state
  }

  whenSettled(done: () => void): void {
    this.#batch.whenSettled(done)
  }

  #settled(part: Receipt): void {
    if (part.state === 'refused') this.#refused = true
    if (--this.#pending === 0) this.#batch.settle(this.#refused ? 'refused' : 'stored')
  }
}

/**
 * Makes one receipt of several. Publishes of one turn to the same queues are in the same batches, so their receipts
 * are the same: the last combined one is given again for them.
 */
export class ReceiptCombiner {
  #last: CombinedReceipt | undefined

  /** The array is the caller's again. Each part stands for itself; there is at least one. */
  combine(parts: readonly Receipt[]): Receipt {
    const [first] = parts
    if (parts.length === 1) return first
    const last = this.#last
    if (last?.state === 'pending' && sameParts(last.parts, parts)) return last
    this.#last = undefined
    if (parts.every((part) => part === first)) return first
    if (!parts.some((part) => part.state === 'pending'))
      return parts.some((part) => part.state === 'refused') ? refusedReceipt : storedReceipt
    return (this.#last = new CombinedReceipt([...parts]))
  }
}

function sameParts(a: readonly Receipt[], b: readonly Receipt[]): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false
  return true
}
