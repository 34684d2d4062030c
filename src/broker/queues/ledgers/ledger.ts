// One ledger: which offsets of a log are ready, acquired or closed for one queue, and which ready one comes next.
// Promises: constant time and no allocation for what is handed out and acknowledged in order; whatever has to be
// durable is noted for the next append of all ledgers (ledgers.ts).
// Does not know: messages, queues, the machine log.

import { assert } from '../../../base/assert.ts'
import { LedgerOrder, type LedgerSets } from './ledger-levels.ts'
import { LedgerChanges } from './ledger-changes.ts'
import type { LedgerRecordWriter } from './ledger-record.ts'
import type { LedgerState } from './ledger-state.ts'
import { noOffset, OffsetSet } from './offset-set.ts'
import type { BatchNote, ClosedReason, ExpiryBlock, LedgerId, LedgerPart } from '../parts.ts'

/** How far ahead of what is handed out the mark is written, so that few records hold one. */
const markStep = 4096
/** notedEnd is written at least this often. */
const notedStep = 4096

/** What a ledger is opened with. */
export interface LedgerFacts {
  readonly id: LedgerId
  readonly key: Buffer
  readonly name: string
  readonly start: number
  readonly levels: number
  /** With which level stands what nothing is said of; the last level is then below all. */
  readonly neutral: number
  readonly isVolatile: boolean
}

/** Who writes what ledgers have to write. */
export interface LedgerHost {
  /** There is something to be written at the next flush. */
  changed(ledger: Ledger): void
  /** The mark has to be on its way to the disk before what is handed out now reaches a consumer. */
  markRaised(ledger: Ledger): void
  closed(reason: ClosedReason, count: number): void
}

export class Ledger implements LedgerPart, LedgerSets {
  readonly id: LedgerId
  /** Its key, and that as text of a character a byte. */
  readonly key: Buffer
  readonly name: string
  readonly isVolatile: boolean
  readonly start: number
  state: LedgerState
  end: number
  onCommitted: (() => void) | undefined
  onReplayed: (() => void) | undefined
  /** Acquired offsets that appends under way close. */
  closing: OffsetSet | undefined
  /** It is among those that ledgers.ts writes at its next flush. */
  isListed = false
  readonly acquiredSet = new OffsetSet()
  readonly #host: LedgerHost
  #closed: OffsetSet
  /** Handed out in this run and ready again. */
  readonly #returned = new OffsetSet()
  /** Without levels: below it nothing is ready but what was given back. */
  #next: number
  #order: LedgerOrder | undefined
  readonly #levels: number
  readonly #neutral: number
  /** The run before handed out up to here. */
  #handedOutBefore: number
  #wasExtended = false
  /** notedEnd as it was written last. */
  #notedWritten: number

  readonly #changes = new LedgerChanges()

  constructor(host: LedgerHost, facts: LedgerFacts, state: LedgerState) {
    const { id, key, name, start, levels, neutral, isVolatile } = facts
    this.#host = host
    this.id = id
    this.key = key
    this.name = name
    this.state = state
    this.start = start
    this.isVolatile = isVolatile
    this.#levels = levels
    this.#neutral = neutral
    this.#closed = state.detailed().closed
    this.end = Math.max(state.floor, this.#closed.ceiling)
    this.#next = state.floor
    this.#handedOutBefore = state.mark
    this.#notedWritten = state.notedEnd
    this.#makeOrder()
  }

  get floor(): number {
    return this.state.floor
  }

  get committedFloor(): number {
    return this.state.committedFloor
  }

  get closed(): OffsetSet {
    return this.#closed
  }

  get ready(): number {
    return this.end - this.state.floor - this.#closed.count - this.acquiredSet.count
  }

  get acquired(): number {
    return this.acquiredSet.count
  }

  get notedEnd(): number {
    return this.state.notedEnd
  }

  get nextExpiryMs(): number | undefined {
    return this.state.detail?.expiries?.nextMs
  }

  /** What it holds in memory, about. */
  get bytes(): number {
    const { counts, levels, expiries } = this.state.detailed()
    const sets = this.#closed.bytes + this.acquiredSet.bytes + this.#returned.bytes
    return sets + counts.bytes + (levels?.bytes ?? 0) + (expiries?.bytes ?? 0)
  }

  #makeOrder(): void {
    const detail = this.state.detailed()
    if (this.#levels <= 1) return
    // Made here, so that the order and what is noted later speak of the same levels.
    this.state.noteLevels()
    assert(detail.levels !== undefined, 'a ledger with levels has them')
    this.#order = new LedgerOrder(detail.levels, this.#neutral, this.#neutral === 0 ? 0 : this.#levels - 1)
  }

  extend(end: number): void {
    if (!this.#wasExtended) {
      this.#wasExtended = true
      // The mark was written ahead: what did not exist then was not handed out.
      this.#handedOutBefore = Math.min(this.#handedOutBefore, Math.max(end, this.end))
    }
    if (end <= this.end) return
    this.end = end
    if (this.#order !== undefined) this.#order.extended()
  }

  note({ base, count, level, earliestExpiryMs }: BatchNote): void {
    const from = Math.max(base, this.state.floor)
    const to = base + count
    if (to <= from) return
    if (this.#order !== undefined) {
      assert(level >= 0 && level < this.#levels, 'a level is one of the ledger')
      this.state.noteLevel(from, to, level)
      this.#order.noted(from, level)
      if (level > 0 && !this.isVolatile) this.#changes.level(from, to, level)
    }
    if (earliestExpiryMs !== undefined) {
      this.state.noteExpiry(from, to, earliestExpiryMs)
      if (!this.isVolatile) this.#changes.expiry(from, to, earliestExpiryMs)
    }
    if (this.#changes.hasNotes) this.#change()
  }

  noted(to: number): void {
    if (to <= this.state.notedEnd) return
    this.state.notedEnd = to
    if (to - this.#notedWritten >= notedStep) this.#change()
  }

  // --- handing out --------------------------------------------------------------------------------------------------

  peek(): number | undefined {
    if (this.#order !== undefined) {
      const first = this.#order.peek(this)
      return first === noOffset ? undefined : first
    }
    let next = this.#next
    if (next < this.state.floor) next = this.state.floor
    // Both are below it as long as everything is handed out in order.
    while (next < this.#closed.ceiling || next < this.acquiredSet.ceiling) {
      const open = this.acquiredSet.firstMissingAtOrAfter(this.#closed.firstMissingAtOrAfter(next))
      if (open === next) break
      next = open
    }
    this.#next = next
    if (this.#returned.count > 0) {
      const back = this.#returned.min()
      if (back < next) return back
    }
    return next < this.end ? next : undefined
  }

  acquire(offset: number): boolean {
    const wasHandedOut = this.wasHandedOut(offset)
    assert(offset >= this.state.floor && offset < this.end && !this.#closed.has(offset), 'what is acquired is ready')
    const isNew = this.acquiredSet.add(offset)
    assert(isNew, 'what is acquired was not')
    if (offset === this.#next) this.#next = offset + 1
    if (this.#returned.count > 0 && this.#returned.remove(offset)) this.#order?.taken(offset, offset + 1)
    if (offset >= this.state.mark) this.#raiseMark(offset)
    return wasHandedOut
  }

  #raiseMark(offset: number): void {
    if (this.isVolatile) return
    this.state.mark = offset + markStep
    this.#changes.hasMark = true
    this.#host.markRaised(this)
  }

  wasHandedOut(offset: number): boolean {
    return offset < this.#handedOutBefore || (this.#returned.count > 0 && this.#returned.has(offset))
  }

  deliveryCount(offset: number): number {
    return this.state.detail?.counts.get(offset) ?? 0
  }

  counted(): Float64Array | undefined {
    const counts = this.state.detail?.counts
    return counts === undefined || counts.size === 0 ? undefined : counts.offsets()
  }

  acknowledge(offset: number): boolean {
    if (!this.acquiredSet.remove(offset)) return false
    this.#closeOne(offset)
    return true
  }

  giveBack(offset: number, counts: boolean): void {
    if (!this.acquiredSet.remove(offset)) return
    this.#returned.add(offset)
    this.#order?.returned(offset)
    if (counts) this.#countReturn(offset)
  }

  countReturn(offset: number): void {
    if (this.acquiredSet.has(offset)) this.#countReturn(offset)
  }

  #countReturn(offset: number): void {
    const table = this.state.detailed().counts
    table.set(offset, table.get(offset) + 1)
    if (this.isVolatile) return
    this.#changes.count(offset)
    this.#change()
  }

  // --- closing ------------------------------------------------------------------------------------------------------

  close(offset: number, reason: ClosedReason): boolean {
    if (offset >= this.end || this.state.isClosed(offset)) return false
    if (!this.acquiredSet.remove(offset) && this.#returned.count > 0 && this.#returned.remove(offset))
      this.#order?.taken(offset, offset + 1)
    this.#closeOne(offset)
    this.#host.closed(reason, 1)
    return true
  }

  #closeOne(offset: number): void {
    this.state.close(offset)
    if (!this.isVolatile) this.#changes.closed(offset, offset + 1)
    if (!this.isListed) this.#change()
  }

  #closeRange(from: number, to: number): number {
    const count = this.state.closeRange(from, to)
    if (count === 0) return 0
    if (this.#returned.count > 0 && this.#returned.removeRange(from, to) > 0) this.#order?.taken(from, to)
    if (!this.isVolatile) this.#changes.closed(from, to)
    this.#change()
    return count
  }

  closeReady(below: number, reason: ClosedReason, from = 0): number {
    const limit = Math.min(below, this.end)
    let count = 0
    // Only what is ready is written as closed here: what is closed already may be part of an append that is refused yet.
    let at = this.nextReady(from)
    while (at !== undefined && at < limit) {
      const held = this.acquiredSet.firstAtOrAfter(at)
      const closed = this.#closed.firstAtOrAfter(at)
      const to = Math.min(limit, held === noOffset ? limit : held, closed === noOffset ? limit : closed)
      count += this.#closeRange(at, to)
      at = this.nextReady(to)
    }
    if (count > 0) this.#host.closed(reason, count)
    return count
  }

  closeBelow(below: number, reason: ClosedReason): number {
    if (below <= this.state.floor) return 0
    this.end = Math.max(this.end, below)
    this.acquiredSet.removeRange(this.state.floor, below)
    const count = this.#closeRange(this.state.floor, below)
    if (count > 0) this.#host.closed(reason, count)
    return count
  }

  // --- looking ------------------------------------------------------------------------------------------------------

  nextReady(from: number): number | undefined {
    let at = Math.max(from, this.state.floor)
    for (;;) {
      const open = this.acquiredSet.firstMissingAtOrAfter(this.#closed.firstMissingAtOrAfter(at))
      if (open === at) return at < this.end ? at : undefined
      at = open
    }
  }

  nextAcquired(from: number): number | undefined {
    const at = this.acquiredSet.firstAtOrAfter(from)
    return at === noOffset ? undefined : at
  }

  countOpen(from: number, to: number): number {
    const first = Math.max(from, this.state.floor)
    const last = Math.min(to, this.end)
    return last <= first ? 0 : last - first - this.#closed.countRange(first, last)
  }

  isAcquired(offset: number): boolean {
    return this.acquiredSet.has(offset)
  }

  isClosed(offset: number): boolean {
    return this.state.isClosed(offset)
  }

  isClosedThroughout(from: number, to: number): boolean {
    return this.#closed.firstMissingAtOrAfter(Math.max(from, this.state.floor)) >= to
  }

  due(nowMs: number, see: (block: ExpiryBlock) => void): void {
    const expiries = this.state.detail?.expiries
    if (expiries === undefined) return
    expiries.due(nowMs, (block) => {
      if (this.isClosedThroughout(block.from, block.to)) expiries.reprice(block.from, undefined)
      else see(block)
    })
  }

  reprice(offset: number, earliestExpiryMs: number | undefined): void {
    this.state.detail?.expiries?.reprice(offset, earliestExpiryMs)
  }

  // --- writing ------------------------------------------------------------------------------------------------------

  #change(): void {
    if (!this.isListed) this.#host.changed(this)
  }

  /** Its first record, when there is something in it that its log does not say. */
  writeStart(): void {
    if (this.isVolatile || this.start === 0) return
    this.#changes.closed(0, this.start)
    this.#change()
  }

  get hasChanges(): boolean {
    return !this.#changes.isEmpty || this.state.notedEnd - this.#notedWritten >= notedStep
  }

  /** Only the mark: in a record of its own, which may be written in the middle of other changes. */
  writeMark(writer: LedgerRecordWriter): void {
    this.#changes.writeMark(writer, this.state)
  }

  /** What changed since it was written last, and `closing`, which is closed by the append that is to hold this. */
  writeChanges(writer: LedgerRecordWriter, closing: readonly number[] | undefined): void {
    if (closing !== undefined)
      for (const offset of closing) if (!this.state.isClosed(offset)) this.#changes.closed(offset, offset + 1)
    this.#changes.write(writer, this.state, this.state.notedEnd > this.#notedWritten)
    this.#notedWritten = this.state.notedEnd
  }

  /** The batches that notes were told of are refused. */
  forgetNotes(): void {
    this.#changes.forgetNotes()
  }

  /** What is pending is written, or never will be. */
  forgetChanges(): void {
    this.#changes.clear()
  }

  // --- after a refused append, at the end ---------------------------------------------------------------------------

  /** Goes on from what the log says, with what was not given to any append yet, and with what is acquired. */
  rebase(state: LedgerState): void {
    const known = Math.max(this.end, state.floor)
    const before = this.state
    this.#changes.applyTo(state)
    const counts = before.detail?.counts
    if (counts !== undefined)
      for (const offset of counts.offsets())
        if (!state.isClosed(offset) && counts.get(offset) > state.detailed().counts.get(offset))
          state.detailed().counts.set(offset, counts.get(offset))
    this.state = state
    this.#closed = state.detailed().closed
    this.end = Math.max(known, this.#closed.ceiling)
    this.acquiredSet.removeRange(0, state.floor)
    for (const [from, to] of this.#closed.ranges()) this.acquiredSet.removeRange(from, to)
    this.#notedWritten = state.notedEnd
    this.#changes.hasMark = false
    this.#findReturned(before)
    this.#makeOrder()
    this.#order?.extended()
    if (this.#order !== undefined) for (const [from, to] of this.#returned.ranges()) this.#orderReturned(from, to)
    const handedOut = Math.max(this.acquiredSet.max(), this.#returned.max())
    if (handedOut >= state.mark) {
      state.mark = handedOut + markStep
      this.#changes.hasMark = true
    }
    if (this.hasChanges) this.#change()
  }

  /** Whatever was closed or given back in memory, and is not closed in the log, is ready again. */
  #findReturned(before: LedgerState): void {
    const from = this.state.floor
    if (this.#order === undefined) this.#returned.addRange(from, Math.min(this.#next, this.end))
    else this.#returned.addRange(from, before.floor)
    const closedBefore = before.detail?.closed
    if (closedBefore !== undefined)
      for (const [first, last] of closedBefore.ranges()) this.#returned.addRange(Math.max(first, from), last)
    this.#returned.removeRange(0, from)
    for (const [first, last] of this.#closed.ranges()) this.#returned.removeRange(first, last)
    for (const [first, last] of this.acquiredSet.ranges()) this.#returned.removeRange(first, last)
  }

  #orderReturned(from: number, to: number): void {
    for (let offset = from; offset < to; offset++) this.#order?.returned(offset)
  }

  /**
   * Nothing is handed out any more in this run: the mark says exactly how far that went, instead of a step ahead.
   * False: it says so already.
   */
  settleMark(): boolean {
    if (this.isVolatile || this.state.mark === 0) return false
    const returned = this.#returned.max() + 1
    const acquired = this.acquiredSet.max() + 1
    const mark = Math.max(returned, acquired, Math.min(this.#handedOutBefore, this.end), this.state.floor)
    if (mark >= this.state.mark) return false
    this.state.generation++
    this.state.mark = mark
    this.#changes.hasMark = true
    return true
  }
}
