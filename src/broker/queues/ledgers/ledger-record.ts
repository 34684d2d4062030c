// The stored form of what happened in a ledger: numbers as varints, sections by flags (docs/formats.md).
// Promises: a record read back gives the numbers that were written; bytes that cannot be one are a CorruptLog.
// Does not know: what follows from a record (ledger-state.ts).

import { assert } from '../../../base/assert.ts'
import { CorruptLog } from '../../../log/store.ts'

/** The first byte of each record. */
export const ledgerRecordVersion = 1

/** Which sections follow the floor, in this order. */
export const ledgerSections = {
  closed: 1,
  counts: 2,
  mark: 4,
  notedEnd: 8,
  levels: 16,
  expiries: 32,
  bitmap: 64,
} as const

const noValues = new Float64Array(0)

/** A list of numbers that keeps its memory: what is to be written at the end of a turn. */
export class NumberList {
  length = 0
  values = noValues

  push(value: number): void {
    if (this.length === this.values.length) {
      const larger = new Float64Array(Math.max(8, this.length * 2))
      larger.set(this.values)
      this.values = larger
    }
    this.values[this.length++] = value
  }

  clear(): void {
    this.length = 0
    if (this.values.length > 4096) this.values = noValues
  }
}

/** Writes records one behind the other into one buffer that is used again. */
export class LedgerRecordWriter {
  #buffer = Buffer.allocUnsafeSlow(16 * 1024)
  #at = 0

  get at(): number {
    return this.#at
  }

  reset(): void {
    this.#at = 0
    if (this.#buffer.length > 1024 * 1024) this.#buffer = Buffer.allocUnsafeSlow(16 * 1024)
  }

  /** What was written from `from` on; valid until reset(), when the buffer was large enough, so taken at the end. */
  slice(from: number, to: number): Buffer {
    return this.#buffer.subarray(from, to)
  }

  byte(value: number): void {
    this.#room(1)
    this.#buffer[this.#at++] = value
  }

  /** A byte of flags that is known only later. */
  patchByte(at: number, value: number): void {
    this.#buffer[at] = value
  }

  number(value: number): void {
    assert(value >= 0 && Number.isSafeInteger(value), 'a ledger stores safe integers')
    this.#room(8)
    let rest = value
    while (rest > 0x7fff_ffff) {
      this.#buffer[this.#at++] = (rest & 0x7f) | 0x80
      rest = Math.floor(rest / 128)
    }
    while (rest > 0x7f) {
      this.#buffer[this.#at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#buffer[this.#at++] = rest
  }

  /** A difference: small ones are short, whatever their sign. */
  difference(value: number): void {
    this.number(value < 0 ? -2 * value - 1 : 2 * value)
  }

  bytes(value: Uint8Array): void {
    this.#room(value.length)
    this.#buffer.set(value, this.#at)
    this.#at += value.length
  }

  /** Two runs of [from, to) pairs, each as its distance to the one before, from `base` on, and its length. */
  ranges(base: number, list: NumberList): void {
    this.number(list.length / 2)
    let before = base
    for (let at = 0; at < list.length; at += 2) {
      this.difference(list.values[at] - before)
      before = list.values[at + 1]
      this.number(before - list.values[at] - 1)
    }
  }

  /**
   * Runs of equal level, from triples (base, count, level): segments of runs without gaps, each a start, how many runs,
   * and one number a run of its length and, in the lowest four or eight bits, its level.
   */
  levels(list: NumberList): void {
    const { values, length } = list
    let bits = 4
    for (let at = 2; at < length; at += 3) if (values[at] > 15) bits = 8
    this.byte(bits)
    const scale = 2 ** bits
    let at = 0
    while (at < length) {
      let to = at
      let end = values[at]
      let runs = 0
      while (to < length && values[to] >= end) {
        if (values[to] > end) runs++
        end = values[to] + values[to + 1]
        runs++
        to += 3
      }
      this.number(runs)
      this.number(values[at])
      end = values[at]
      for (; at < to; at += 3) {
        if (values[at] > end) this.number((values[at] - end - 1) * scale)
        end = values[at] + values[at + 1]
        this.number((values[at + 1] - 1) * scale + values[at + 2])
      }
    }
    this.number(0)
  }

  /** As levels(), from a level for each offset from `base` on; level 0 is what nothing is said of. */
  levelCells(base: number, cells: Uint8Array): void {
    let first = 0
    while (first < cells.length && cells[first] === 0) first++
    let last = cells.length
    while (last > first && cells[last - 1] === 0) last--
    let runs = 0
    let highest = 0
    for (let at = first; at < last; at++) {
      const level = cells[at]
      if (at === first || level !== cells[at - 1]) runs++
      if (level > highest) highest = level
    }
    const bits = highest > 15 ? 8 : 4
    this.byte(bits)
    this.number(runs)
    if (runs === 0) return
    this.number(base + first)
    this.#room(runs * 4)
    let at = first
    while (at < last) {
      const level = cells[at]
      let end = at + 1
      while (end < last && cells[end] === level) end++
      const value = ((end - at - 1) << bits) | level
      if (value < 0x80) this.#buffer[this.#at++] = value
      else this.number(value)
      at = end
    }
    this.number(0)
  }

  /** Triples (base, count, earliest expiry). */
  expiries(list: NumberList): void {
    this.number(list.length / 3)
    let base = 0
    let earliest = 0
    for (let at = 0; at < list.length; at += 3) {
      this.difference(list.values[at] - base)
      base = list.values[at]
      this.number(list.values[at + 1])
      this.difference(list.values[at + 2] - earliest)
      earliest = list.values[at + 2]
    }
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + bytes))
    this.#buffer.copy(larger, 0, 0, this.#at)
    this.#buffer = larger
  }
}

export class LedgerRecordReader {
  #buffer: Buffer = Buffer.alloc(0)
  #at = 0

  open(buffer: Buffer): void {
    this.#buffer = buffer
    this.#at = 0
  }

  get isAtEnd(): boolean {
    return this.#at === this.#buffer.length
  }

  byte(): number {
    if (this.#at >= this.#buffer.length) throw new CorruptLog('a ledger record ends within a number')
    return this.#buffer[this.#at++]
  }

  number(): number {
    let byte = this.byte()
    if (byte < 0x80) return byte
    let value = byte & 0x7f
    let scale = 128
    for (let index = 1; index < 8; index++) {
      byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break
        return value
      }
      scale *= 128
    }
    throw new CorruptLog('a number of a ledger record is too large')
  }

  difference(): number {
    const value = this.number()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  bytes(length: number): Buffer {
    if (length > this.#buffer.length - this.#at) throw new CorruptLog('a ledger record ends within its bytes')
    const slice = this.#buffer.subarray(this.#at, this.#at + length)
    this.#at += length
    return slice
  }
}
