// The naive model of one ledger, and of an append that is on its way: sets of offsets, and what a start would read.
// Promises: nothing clever.
// Does not know: ledgers, stores, how what is written comes to be durable.

/** What is believed of one ledger. */
export class LedgerModel {
  end = 0
  readonly levels = new Map<number, number>()
  readonly expiries = new Map<number, number>()
  closed = new Set<number>()
  readonly acquired = new Set<number>()
  /** Acquired, and closed by an append under way. */
  readonly closing = new Set<number>()
  handedOut = new Set<number>()
  readonly counts = new Map<number, number>()
  /** Closed and counted since the last append. */
  fresh = new Set<number>()
  freshCounts = new Map<number, number>()
  durable = new Set<number>()
  durableCounts = new Map<number, number>()
  /** Written by a snapshot before their own record: nobody promised it, but they may be there after a failure. */
  readonly maybe = new Set<number>()
  readonly maybeCounts = new Map<number, number>()

  ready(): number[] {
    const offsets: number[] = []
    for (let at = 0; at < this.end; at++) if (!this.closed.has(at) && !this.acquired.has(at)) offsets.push(at)
    return offsets
  }

  close(at: number): void {
    this.acquired.delete(at)
    this.closed.add(at)
    this.fresh.add(at)
    // Of what is closed no count is kept: should it be ready again, the log's word counts.
    this.counts.delete(at)
    this.freshCounts.delete(at)
  }
}

/** What one append to the store carries. */
export interface Flight {
  readonly closed: readonly (readonly number[])[]
  readonly counts: readonly (readonly (readonly [number, number])[])[]
  readonly closing: { readonly which: number; readonly offsets: readonly number[] } | undefined
  readonly end: { readonly which: number; readonly end: number } | undefined
}

export const emptyFlight: Flight = { closed: [[], []], counts: [[], []], closing: undefined, end: undefined }
