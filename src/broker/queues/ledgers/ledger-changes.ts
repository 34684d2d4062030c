// What changed in a ledger since it was written last, gathered until the next append.
// Promises: what is done in order is one number; nothing is allocated once it has grown to what a turn brings.
// Does not know: when it is written, and with what (ledgers.ts).

import {
  type LedgerRecordWriter,
  ledgerRecordVersion,
  ledgerSections as sections,
  NumberList,
} from './ledger-record.ts'
import type { LedgerState } from './ledger-state.ts'

/** Batches of expirations that begin so near to one another are written as one. */
const expirySpan = 256

export class LedgerChanges {
  hasMark = false
  /** Pairs [from, to). */
  readonly #closed = new NumberList()
  #counts: NumberList | undefined
  /** Triples: base, count, level. */
  #levels: NumberList | undefined
  /** Triples: base, count, earliest expiry. */
  #expiries: NumberList | undefined

  get hasNotes(): boolean {
    return (this.#levels?.length ?? 0) > 0 || (this.#expiries?.length ?? 0) > 0
  }

  get isEmpty(): boolean {
    return !this.hasMark && this.#closed.length === 0 && (this.#counts?.length ?? 0) === 0 && !this.hasNotes
  }

  clear(): void {
    this.hasMark = false
    this.#closed.clear()
    this.#counts?.clear()
    this.forgetNotes()
  }

  forgetNotes(): void {
    this.#levels?.clear()
    this.#expiries?.clear()
  }

  closed(from: number, to: number): void {
    const { values, length } = this.#closed
    if (length > 0) {
      if (values[length - 1] === from) {
        values[length - 1] = to
        return
      }
      if (values[length - 2] === to) {
        values[length - 2] = from
        return
      }
    }
    this.#closed.push(from)
    this.#closed.push(to)
  }

  count(offset: number): void {
    this.#counts ??= new NumberList()
    this.#counts.push(offset)
  }

  level(from: number, to: number, level: number): void {
    const pending = (this.#levels ??= new NumberList())
    const { values, length } = pending
    if (length > 0 && values[length - 1] === level && values[length - 3] + values[length - 2] === from) {
      values[length - 2] += to - from
      return
    }
    pending.push(from)
    pending.push(to - from)
    pending.push(level)
  }

  expiry(from: number, to: number, earliestMs: number): void {
    const pending = (this.#expiries ??= new NumberList())
    const { values, length } = pending
    const last = length === 0 ? -1 : values[length - 3]
    if (last >= 0 && from >= last && from - last < expirySpan) {
      values[length - 2] = Math.max(values[length - 2], to - last)
      values[length - 1] = Math.min(values[length - 1], earliestMs)
      return
    }
    pending.push(from)
    pending.push(to - from)
    pending.push(earliestMs)
  }

  // --- writing ------------------------------------------------------------------------------------------------------

  writeMark(writer: LedgerRecordWriter, { generation, mark }: LedgerState): void {
    writer.byte(ledgerRecordVersion)
    writer.byte(sections.mark)
    writer.number(0)
    writer.number(generation)
    writer.number(mark)
    this.hasMark = false
  }

  /** One record of all of it; nothing is pending then. */
  write(writer: LedgerRecordWriter, state: LedgerState, withNotedEnd: boolean): void {
    const at = writer.at
    let flags = 0
    writer.byte(ledgerRecordVersion)
    writer.byte(0)
    writer.number(state.floor)
    this.#dropBelow(state.floor)
    if (this.#closed.length > 0) {
      flags |= sections.closed
      writer.ranges(state.floor, this.#closed)
    }
    if (this.#counts !== undefined && this.#counts.length > 0) {
      flags |= sections.counts
      this.#writeCounts(writer, state, this.#counts)
    }
    if (this.hasMark) {
      flags |= sections.mark
      writer.number(state.generation)
      writer.number(state.mark)
    }
    if (withNotedEnd) {
      flags |= sections.notedEnd
      writer.number(state.notedEnd)
    }
    if (this.#levels !== undefined && this.#levels.length > 0) {
      flags |= sections.levels
      writer.levels(this.#levels)
    }
    if (this.#expiries !== undefined && this.#expiries.length > 0) {
      flags |= sections.expiries
      writer.expiries(this.#expiries)
    }
    writer.patchByte(at + 1, flags)
    this.clear()
  }

  /** The record begins with the floor: of what was closed only that above it has to be written. */
  #dropBelow(floor: number): void {
    const { values, length } = this.#closed
    let kept = 0
    for (let at = 0; at < length; at += 2) {
      if (values[at + 1] <= floor) continue
      values[kept++] = values[at]
      values[kept++] = values[at + 1]
    }
    this.#closed.length = kept
  }

  #writeCounts(writer: LedgerRecordWriter, state: LedgerState, offsets: NumberList): void {
    const { counts } = state.detailed()
    writer.number(offsets.length)
    let before = state.floor
    for (let at = 0; at < offsets.length; at++) {
      const offset = offsets.values[at]
      writer.difference(offset - before)
      writer.number(counts.get(offset))
      before = offset
    }
  }

  /** After a replay: what was not written yet happened after what the log says. */
  applyTo(state: LedgerState): void {
    const closed = this.#closed
    for (let at = 0; at < closed.length; at += 2) state.closeRange(closed.values[at], closed.values[at + 1])
    const levels = this.#levels
    if (levels !== undefined)
      for (let at = 0; at < levels.length; at += 3)
        state.noteLevel(levels.values[at], levels.values[at] + levels.values[at + 1], levels.values[at + 2])
    const expiries = this.#expiries
    if (expiries !== undefined)
      for (let at = 0; at < expiries.length; at += 3) {
        const base = expiries.values[at]
        state.noteExpiry(base, base + expiries.values[at + 1], expiries.values[at + 2])
      }
  }
}
