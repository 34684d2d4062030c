// Priority levels of a ledger: which offsets are of which level, and which of the ready ones comes first.
// Promises: level 0 costs nothing; any other at most 2 bytes a message; the first ready offset is found in about
// constant time, whatever lies before it acquired or closed.
// Does not know: what is written of it (ledger-record.ts), what is closed or acquired beyond being asked to look.

import { noOffset, OffsetSet } from './offset-set.ts'

/** The levels that were noted: 0 is everything else. Closed offsets may stay in it until the floor passes them. */
export class LedgerLevels {
  /** Of all levels above 0. */
  readonly noted = new OffsetSet()
  /** By level; [0] is not used. */
  readonly sets: (OffsetSet | undefined)[] = []

  get bytes(): number {
    return this.sets.reduce((sum, set) => sum + (set?.bytes ?? 0), this.noted.bytes)
  }

  /** [from, to) is of `level`. Told again, the last word counts. */
  note(from: number, to: number, level: number): void {
    this.put(from, to, level)
    if (level === 0) return
    if (to - from === 1) this.noted.add(from)
    else this.noted.addRange(from, to)
  }

  /** As note(), without `noted`: for those who tell many runs and add all of them there at once. */
  put(from: number, to: number, level: number): void {
    if (from < this.noted.ceiling && this.noted.countRange(from, to) > 0) {
      for (const set of this.sets) set?.removeRange(from, to)
      this.noted.removeRange(from, to)
    }
    if (level === 0) return
    let set = this.sets[level]
    if (set === undefined) {
      while (this.sets.length <= level) this.sets.push(undefined)
      set = this.sets[level] = new OffsetSet()
    }
    if (to - from === 1) set.add(from)
    else set.addRange(from, to)
  }

  levelOf(offset: number): number {
    if (!this.noted.has(offset)) return 0
    for (let level = this.sets.length - 1; level > 0; level--) if (this.sets[level]?.has(offset) === true) return level
    return 0
  }

  /** Forgets [from, to), which is closed. */
  drop(from: number, to: number): void {
    if (this.noted.removeRange(from, to) === 0) return
    for (const set of this.sets) set?.removeRange(from, to)
  }
}

/** What the order looks at beside the levels. */
export interface LedgerSets {
  readonly floor: number
  readonly end: number
  readonly closed: OffsetSet
  readonly acquiredSet: OffsetSet
}

/**
 * The order of the ready offsets: the highest level first, in it the lowest offset. With a neutral level, what nothing is
 * said of stands with that one, and the level `lowest` below all.
 */
export class LedgerOrder {
  readonly #levels: LedgerLevels
  readonly #neutral: number
  /** The level below all others; 0 without a neutral one. */
  readonly #lowest: number
  /** By level: of it nothing below is ready but what was given back. */
  readonly #cursors: number[] = []
  /** By level: given back, ready again. */
  readonly #returned: (OffsetSet | undefined)[] = []
  /** Above this rank no level has anything ready. */
  #highest = 0

  constructor(levels: LedgerLevels, neutral = 0, lowest = 0) {
    this.#levels = levels
    this.#neutral = neutral
    this.#lowest = lowest
    this.extended()
  }

  #rankOf(level: number): number {
    if (this.#neutral === 0) return level
    return level === 0 ? this.#neutral : level === this.#lowest ? 0 : level
  }

  /** Something was noted at or behind `from`. */
  noted(from: number, level: number): void {
    if (this.#cursor(level) > from) this.#cursors[level] = from
    this.#highest = Math.max(this.#highest, this.#rankOf(level))
  }

  /** More offsets are known. */
  extended(): void {
    const { length } = this.#levels.sets
    this.#highest = this.#neutral === 0 ? length : Math.max(this.#neutral, Math.min(length, this.#lowest - 1))
  }

  returned(offset: number): void {
    const level = this.#levels.levelOf(offset)
    while (this.#returned.length <= level) this.#returned.push(undefined)
    const set = (this.#returned[level] ??= new OffsetSet())
    set.add(offset)
    this.#highest = Math.max(this.#highest, this.#rankOf(level))
  }

  /** Offsets of [from, to) that were given back are ready no more. */
  taken(from: number, to: number): void {
    for (const set of this.#returned) if (set !== undefined && set.count > 0) set.removeRange(from, to)
  }

  /** noOffset: nothing is ready. */
  peek(sets: LedgerSets): number {
    for (let rank = this.#highest; rank >= 0; rank--) {
      const first = this.#firstRanked(rank, sets)
      if (first === noOffset) continue
      this.#highest = rank
      return first
    }
    this.#highest = 0
    return noOffset
  }

  #firstRanked(rank: number, sets: LedgerSets): number {
    const neutral = this.#neutral
    const first = this.#firstOf(neutral > 0 && rank === 0 ? this.#lowest : rank, sets)
    if (neutral === 0 || rank !== neutral) return first
    const unsaid = this.#firstOf(0, sets)
    return first === noOffset || (unsaid !== noOffset && unsaid < first) ? unsaid : first
  }

  #cursor(level: number): number {
    return level < this.#cursors.length ? this.#cursors[level] : 0
  }

  #firstOf(level: number, sets: LedgerSets): number {
    const set = this.#levels.sets[level]
    let at = noOffset
    if (level === 0 || (set !== undefined && set.count > 0)) {
      while (this.#cursors.length <= level) this.#cursors.push(0)
      at = this.#walk(set, Math.max(this.#cursors[level], sets.floor), sets)
      this.#cursors[level] = at === noOffset ? sets.end : at
    }
    const returned = level < this.#returned.length ? this.#returned[level] : undefined
    if (returned === undefined || returned.count === 0) return at
    const back = returned.min()
    return at === noOffset || back < at ? back : at
  }

  /** The first offset of the level at or behind `from` that is neither closed nor acquired. */
  #walk(set: OffsetSet | undefined, from: number, { closed, acquiredSet, end }: LedgerSets): number {
    const { noted } = this.#levels
    let at = from
    for (;;) {
      if (set !== undefined) {
        at = set.firstAtOrAfter(at)
        if (at === noOffset) return noOffset
      } else at = noted.firstMissingAtOrAfter(at)
      if (at >= end) return noOffset
      const open = acquiredSet.firstMissingAtOrAfter(closed.firstMissingAtOrAfter(at))
      if (open === at) return at
      at = open
    }
  }
}
