// What of a ledger is durable: what is closed, how often messages came back, how far it handed out, levels, expirations.
// Promises: merging a record twice, or records in another order, ends in the same state; a floor alone costs one object.
// Does not know: what is acquired (ledger.ts), the machine log.

import { CorruptLog } from '../../../log/store.ts'
import { ExpiryIndex } from './expiry-index.ts'
import { LedgerCounts } from './ledger-counts.ts'
import { LedgerLevels } from './ledger-levels.ts'
import {
  LedgerRecordReader,
  LedgerRecordWriter,
  ledgerRecordVersion,
  ledgerSections as sections,
  NumberList,
} from './ledger-record.ts'
import { containerPositions } from './offset-set-container.ts'
import { noOffset, OffsetSet } from './offset-set.ts'
import type { LogClosings } from '../parts.ts'

/** Counts a piece of a snapshot holds at most. */
const pieceCounts = 8192
/** A container with more runs than this is stored as its bitmap. */
const pieceRunsMax = 3000

const reader = new LedgerRecordReader()
const writer = new LedgerRecordWriter()
const list = new NumberList()
/** The level of each offset of one container. */
const cells = new Uint8Array(containerPositions)

/** What most ledgers lack. */
export class LedgerDetail {
  /** At or above the floor. */
  readonly closed = new OffsetSet()
  readonly counts = new LedgerCounts()
  levels: LedgerLevels | undefined
  expiries: ExpiryIndex | undefined
}

export class LedgerState implements LogClosings {
  /** All below is closed. */
  floor = 0
  /** The floor as it is committed. */
  committedFloor = 0
  /** Of two marks that of the higher generation counts; of two of one generation the higher. */
  generation = 0
  /** Everything handed out lies below it. */
  mark = 0
  notedEnd = 0
  detail: LedgerDetail | undefined

  /** With room for more than the floor. */
  detailed(): LedgerDetail {
    return (this.detail ??= new LedgerDetail())
  }

  /** Without what it would hold empty. */
  compact(): void {
    const { detail } = this
    if (detail === undefined || detail.closed.count > 0 || detail.counts.size > 0) return
    if ((detail.levels?.noted.count ?? 0) > 0 || (detail.expiries?.blocks ?? 0) > 0) return
    this.detail = undefined
  }

  isClosed(offset: number): boolean {
    return offset < this.floor || (this.detail !== undefined && this.detail.closed.has(offset))
  }

  nextOpen(from: number): number {
    const at = Math.max(from, this.floor)
    return this.detail === undefined ? at : this.detail.closed.firstMissingAtOrAfter(at)
  }

  nextClosed(from: number): number {
    if (from < this.floor) return from
    const at = this.detail?.closed.firstAtOrAfter(from) ?? noOffset
    return at === noOffset ? Infinity : at
  }

  countOpen(from: number, to: number): number {
    const first = Math.max(from, this.floor)
    return to <= first ? 0 : to - first - (this.detail?.closed.countRange(first, to) ?? 0)
  }

  /** One offset at or above the floor, not closed yet. */
  close(offset: number): void {
    const { detail } = this
    if (detail !== undefined) detail.counts.remove(offset)
    if (offset === this.floor) this.#raise(offset + 1)
    else {
      const { closed, levels } = this.detailed()
      closed.add(offset)
      if (levels !== undefined && closed.isFullAround(offset)) this.#dropLevels(levels, offset)
    }
  }

  /** [from, to); answers how many were not closed before. */
  closeRange(from: number, to: number): number {
    if (to <= this.floor) return 0
    const { detail } = this
    const start = Math.max(from, this.floor)
    if (detail !== undefined) detail.counts.removeRange(start, to)
    if (start > this.floor) return this.detailed().closed.addRange(start, to)
    const before = detail === undefined ? 0 : detail.closed.countRange(start, to)
    this.#raise(to)
    return to - start - before
  }

  #raise(to: number): void {
    const { detail } = this
    const before = this.floor
    if (detail === undefined) {
      this.floor = to
      return
    }
    const { closed, levels, expiries } = detail
    let floor = to
    if (closed.count > 0 && closed.min() <= to) {
      floor = closed.firstMissingAtOrAfter(to)
      closed.removeRange(before, floor)
    }
    this.floor = floor
    if (levels !== undefined && levels.noted.count > 0) {
      // A container at a time, or all when nothing is left.
      const lowest = levels.noted.ceiling <= floor ? floor : floor - (floor % containerPositions)
      if (lowest > before - (before % containerPositions)) levels.drop(0, lowest)
    }
    if (expiries !== undefined) expiries.dropBelow(floor)
  }

  #dropLevels(levels: LedgerLevels, offset: number): void {
    const base = offset - (offset % containerPositions)
    levels.drop(base, base + containerPositions)
  }

  setMark(generation: number, mark: number): void {
    if (generation < this.generation || (generation === this.generation && mark <= this.mark)) return
    this.generation = generation
    this.mark = mark
  }

  /** From now on it has levels, even if nothing is noted. */
  noteLevels(): void {
    const detail = this.detailed()
    detail.levels ??= new LedgerLevels()
  }

  noteLevel(from: number, to: number, level: number): void {
    const detail = this.detailed()
    if (level === 0 && detail.levels === undefined) return
    const levels = (detail.levels ??= new LedgerLevels())
    levels.note(from, to, level)
  }

  noteExpiry(from: number, to: number, earliestMs: number): void {
    const detail = this.detailed()
    const expiries = (detail.expiries ??= new ExpiryIndex())
    expiries.note(from, to, earliestMs)
  }

  /** The record of a ledger of which nothing is known but where it begins. */
  startRecord(): Buffer {
    writer.reset()
    writer.byte(ledgerRecordVersion)
    writer.byte(0)
    writer.number(this.floor)
    return Buffer.from(writer.slice(0, writer.at))
  }

  // --- reading records ----------------------------------------------------------------------------------------------

  /** Merges a committed record, a change or a piece of a snapshot. Keeps nothing of the bytes. */
  merge(record: Buffer): void {
    reader.open(record)
    if (reader.byte() !== ledgerRecordVersion) throw new CorruptLog('a ledger record of a version not known here')
    const flags = reader.byte()
    const floor = reader.number()
    this.closeRange(0, floor)
    if ((flags & sections.closed) !== 0) this.#mergeClosed(floor)
    if ((flags & sections.counts) !== 0) this.#mergeCounts(floor)
    if ((flags & sections.mark) !== 0) this.setMark(reader.number(), reader.number())
    if ((flags & sections.notedEnd) !== 0) this.notedEnd = Math.max(this.notedEnd, reader.number())
    if ((flags & sections.levels) !== 0) this.#mergeLevels()
    if ((flags & sections.expiries) !== 0) this.#mergeExpiries()
    if ((flags & sections.bitmap) !== 0) this.#mergeBitmap()
    if (!reader.isAtEnd) throw new CorruptLog('a ledger record goes on behind its end')
    this.committedFloor = this.floor
  }

  #mergeClosed(base: number): void {
    let before = base
    for (let left = reader.number(); left > 0; left--) {
      const from = before + reader.difference()
      before = from + reader.number() + 1
      this.closeRange(from, before)
    }
  }

  #mergeCounts(base: number): void {
    const { counts } = this.detailed()
    let offset = base
    for (let left = reader.number(); left > 0; left--) {
      offset += reader.difference()
      const count = reader.number()
      if (!this.isClosed(offset) && count > counts.get(offset)) counts.set(offset, count)
    }
  }

  #mergeLevels(): void {
    const bits = reader.byte()
    const scale = 2 ** bits
    this.noteLevels()
    const levels = this.detailed().levels
    if (levels === undefined) return
    for (let runs = reader.number(); runs > 0; runs = reader.number()) {
      let from = reader.number()
      /** Where what is not of level 0 began, without a gap up to here. */
      let since = noOffset
      for (; runs > 0; runs--) {
        const run = reader.number()
        const to = from + (run < 0x8000_0000 ? run >>> bits : Math.floor(run / scale)) + 1
        const level = run & (scale - 1)
        // Level 0 fills the gaps between others: nothing is said of it.
        if (level > 0 && to > this.floor) {
          const first = from < this.floor ? this.floor : from
          levels.put(first, to, level)
          if (since === noOffset) since = first
        } else if (since !== noOffset) {
          levels.noted.addRange(since, from)
          since = noOffset
        }
        from = to
      }
      if (since !== noOffset) levels.noted.addRange(since, from)
    }
  }

  #mergeExpiries(): void {
    let base = 0
    let earliest = 0
    for (let left = reader.number(); left > 0; left--) {
      base += reader.difference()
      const count = reader.number()
      earliest += reader.difference()
      if (base + count > this.floor) this.noteExpiry(base, base + count, earliest)
    }
  }

  #mergeBitmap(): void {
    const key = reader.number()
    const { closed, counts } = this.detailed()
    const bitmap = reader.bytes(containerPositions / 8)
    const end = (key + 1) * containerPositions
    if (end <= this.floor) return
    closed.addBitmap(key, bitmap)
    for (const offset of counts.offsets()) if (closed.has(offset)) counts.remove(offset)
    if (closed.min() < this.floor) closed.removeRange(0, this.floor)
    if (closed.min() === this.floor) this.#raise(this.floor)
  }

  // --- writing a snapshot -------------------------------------------------------------------------------------------

  /**
   * All of it as records of bounded size; `closing` are offsets closed by appends that are under way. It may change
   * between two of them: what changes is in records of its own.
   */
  *pieces(closing: OffsetSet | undefined): Generator<Buffer> {
    yield this.#piece(noOffset, closing)
    const offsets = this.detail === undefined ? new Float64Array(0) : this.detail.counts.offsets()
    for (let at = 0; at < offsets.length; at += pieceCounts)
      yield this.#countsPiece(offsets.subarray(at, at + pieceCounts))
    let key = this.#containerFrom(0, closing)
    while (key !== noOffset) {
      yield this.#piece(key, closing)
      key = this.#containerFrom(key + 1, closing)
    }
  }

  get isBlank(): boolean {
    return this.floor === 0 && this.mark === 0 && this.notedEnd === 0 && this.detail === undefined
  }

  /** The next container of 65,536 offsets that has something to be written. */
  #containerFrom(key: number, closing: OffsetSet | undefined): number {
    if (this.detail === undefined && closing === undefined) return noOffset
    const { closed, levels, expiries } = this.detailed()
    let next = closed.containerKeyFrom(key)
    const consider = (other: number): void => {
      if (other !== noOffset && (next === noOffset || other < next)) next = other
    }
    if (closing !== undefined) consider(closing.containerKeyFrom(key))
    if (levels !== undefined) consider(levels.noted.containerKeyFrom(key))
    const expiry = expiries === undefined ? noOffset : expiries.firstFrom(key * containerPositions)
    if (expiry !== noOffset) consider(Math.floor(expiry / containerPositions))
    return next
  }

  /** With the floor and the mark; for noOffset only these. */
  #piece(key: number, closing: OffsetSet | undefined): Buffer {
    writer.reset()
    writer.byte(ledgerRecordVersion)
    let flags = sections.mark | sections.notedEnd
    writer.byte(flags)
    writer.number(this.floor)
    const base = key * containerPositions
    const end = base + containerPositions
    const bitmap = key === noOffset ? undefined : this.#closedPiece(key, closing)
    if (key !== noOffset && list.length > 0) {
      flags |= sections.closed
      writer.ranges(this.floor, list)
    }
    writer.number(this.generation)
    writer.number(this.mark)
    writer.number(this.notedEnd)
    if (key !== noOffset && this.#levelsPiece(base, end)) {
      flags |= sections.levels
      writer.levelCells(base, cells)
    }
    if (key !== noOffset && this.#expiriesPiece(base, end)) {
      flags |= sections.expiries
      writer.expiries(list)
    }
    if (bitmap !== undefined) {
      flags |= sections.bitmap
      writer.number(key)
      writer.bytes(bitmap)
    }
    writer.patchByte(1, flags)
    return Buffer.from(writer.slice(0, writer.at))
  }

  #countsPiece(offsets: Float64Array): Buffer {
    const { counts } = this.detailed()
    const kept = offsets.filter((offset) => counts.get(offset) > 0).sort()
    writer.reset()
    writer.byte(ledgerRecordVersion)
    writer.byte(sections.counts)
    writer.number(this.floor)
    writer.number(kept.length)
    let before = this.floor
    for (const offset of kept) {
      writer.difference(offset - before)
      writer.number(counts.get(offset))
      before = offset
    }
    return Buffer.from(writer.slice(0, writer.at))
  }

  /** Fills the list with what is closed in the container, or gives it as a bitmap. */
  #closedPiece(key: number, closing: OffsetSet | undefined): Uint8Array | undefined {
    const from = key * containerPositions
    const to = from + containerPositions
    list.clear()
    const { closed } = this.detailed()
    for (const set of closing === undefined ? [closed] : [closing, closed]) {
      let at = set.firstAtOrAfter(from)
      while (at !== noOffset && at < to) {
        const end = Math.min(to, set.firstMissingAtOrAfter(at))
        list.push(at)
        list.push(end)
        if (set === closed && list.length > pieceRunsMax * 2) {
          if (closing === undefined) list.clear()
          return closed.container(key)?.toBitmap()
        }
        at = set.firstAtOrAfter(end)
      }
    }
    return undefined
  }

  #levelsPiece(from: number, to: number): boolean {
    const levels = this.detail?.levels
    list.clear()
    if (levels === undefined || levels.noted.countRange(from, to) === 0) return false
    const key = from / containerPositions
    cells.fill(0)
    for (const [level, set] of levels.sets.entries()) set?.container(key)?.paint(cells, level)
    this.detailed().closed.container(key)?.paint(cells, 0)
    return true
  }

  #expiriesPiece(from: number, to: number): boolean {
    list.clear()
    this.detail?.expiries?.eachFrom(from, to, (block) => {
      list.push(block.from)
      list.push(block.to - block.from)
      list.push(block.earliestExpiryMs)
    })
    return list.length > 0
  }
}
