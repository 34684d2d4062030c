// Offset sets against a naive set of numbers, and what they cost.
// Promises: seeded; costs are judged with generous bounds.
// Does not know: ledgers.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { OffsetContainer } from './offset-set-container.ts'
import { OffsetSet } from './offset-set.ts'

const MiB = 1024 * 1024

/** Few containers, positions near their edges and in a dense middle, so that runs meet and split. */
const offset = fc.oneof(
  fc.nat({ max: 40 }),
  fc.integer({ min: 65_500, max: 65_580 }),
  fc.nat({ max: 200_000 }),
  fc.integer({ min: 2 ** 40 - 20, max: 2 ** 40 + 20 }),
)
const length = fc.oneof(fc.nat({ max: 5 }), fc.nat({ max: 3000 }), fc.constant(70_000))
const step = fc.oneof(
  fc.record({ op: fc.constantFrom('add' as const, 'remove', 'ask'), at: offset, length: fc.constant(1) }),
  fc.record({ op: fc.constantFrom('addRange' as const, 'removeRange', 'ask', 'scatter', 'thin'), at: offset, length }),
)

/** A byte an offset: low offsets at their place, those around 2^40 behind them. */
const highBase = 2 ** 40 - 400_000
const indexOf = (at: number): number => (at > 2 ** 39 ? at - highBase : at)
const offsetOf = (index: number): number => (index >= 300_000 ? index + highBase : index)
const cells = 600_000

const agrees = (() => {
  const naive = new Uint8Array(cells)
  /** Sets the flags; answers how many changed. */
  const put = (at: number, many: number, flag: number): number => {
    let changed = 0
    for (let index = indexOf(at); index < indexOf(at) + many; index++) {
      if (naive[index] !== flag) changed++
      naive[index] = flag
    }
    return changed
  }
  const first = (from: number, flag: number): number => {
    const index = naive.indexOf(flag, from)
    return index < 0 ? -1 : offsetOf(index)
  }
  const runs = (): number[][] => {
    const found: number[][] = []
    for (let from = naive.indexOf(1); from >= 0;) {
      const to = naive.indexOf(0, from)
      found.push([offsetOf(from), offsetOf(from) + to - from])
      from = naive.indexOf(1, to)
    }
    return found
  }
  return fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    naive.fill(0)
    let count = 0
    const set = new OffsetSet()
    for (const { op, at, length: many } of steps) {
      if (op === 'add' || op === 'addRange') {
        const added = put(at, many, 1)
        if (op === 'add') expect(set.add(at)).toBe(added === 1)
        else expect(set.addRange(at, at + many)).toBe(added)
        count += added
      } else if (op === 'remove' || op === 'removeRange') {
        const removed = put(at, many, 0)
        if (op === 'remove') expect(set.remove(at)).toBe(removed === 1)
        else expect(set.removeRange(at, at + many)).toBe(removed)
        count -= removed
      } else if (op === 'scatter') {
        let added = 0
        for (let each = at; each < at + many; each += 3) if (set.add(each)) added++
        for (let each = at; each < at + many; each += 3) count += put(each, 1, 1)
        expect(set.count).toBe(count)
      } else if (op === 'thin') {
        for (let each = at; each < at + many; each += 2) set.remove(each)
        for (let each = at; each < at + many; each += 2) count -= put(each, 1, 0)
      }
      expect([set.count, set.min(), set.has(at)]).toEqual([count, first(0, 1), naive[indexOf(at)] === 1])
      const last = naive.lastIndexOf(1)
      expect(set.max()).toBe(last < 0 ? -1 : offsetOf(last))
      expect(set.firstAtOrAfter(at)).toBe(first(indexOf(at), 1))
      expect(set.firstMissingAtOrAfter(at)).toBe(first(indexOf(at), 0))
      let inside = 0
      for (const flag of naive.subarray(indexOf(at), indexOf(at) + many)) inside += flag
      expect(set.countRange(at, at + many)).toBe(inside)
    }
    expect(Array.from(set.ranges())).toEqual(runs())
    const copy = new OffsetSet()
    for (let key = set.containerKeyFrom(0); key >= 0; key = set.containerKeyFrom(key + 1)) {
      copy.addBitmap(key, set.container(key)!.toBitmap())
      copy.addBitmap(key, set.container(key)!.toBitmap())
    }
    expect(Array.from(copy.ranges())).toEqual(runs())
    expect([copy.count, copy.ceiling]).toEqual([count, copy.max() + 1])
  })
})()

test('whatever is added and removed, it says what an array of flags says', () => {
  fc.assert(agrees, { numRuns: 80, seed: 7 })
})

type Container = OffsetContainer
const container = OffsetContainer.prototype

/** What is wrong, and in which method. */
const breaks: readonly (readonly [string, keyof Container, (whole: never) => unknown])[] = [
  [
    'a run that is joined is counted one short',
    'addRange',
    (whole: Container['addRange']) =>
      function (this: Container, first: number, last: number) {
        return whole.call(this, first, last > first + 1 ? last - 1 : last)
      },
  ],
  [
    'a removed range keeps its last member',
    'removeRange',
    (whole: Container['removeRange']) =>
      function (this: Container, first: number, last: number) {
        return whole.call(this, first, Math.max(first, last - 1))
      },
  ],
  [
    'the last position is no position',
    'add',
    (whole: Container['add']) =>
      function (this: Container, position: number) {
        return position !== 65_535 && whole.call(this, position)
      },
  ],
  [
    'a container of one member forgets it',
    'remove',
    (whole: Container['remove']) =>
      function (this: Container, position: number) {
        const removed = whole.call(this, position)
        if (this.size === 1) this.clear()
        return removed
      },
  ],
  [
    'the greatest is looked for in runs only',
    'lastMember',
    (whole: Container['lastMember']) =>
      function (this: Container) {
        return this.isBitmap ? 65_535 : whole.call(this)
      },
  ],
  [
    'a bitmap passes over the position asked for',
    'firstAtOrAfter',
    (whole: Container['firstAtOrAfter']) =>
      function (this: Container, position: number) {
        return whole.call(this, this.isBitmap ? Math.min(65_535, position + 1) : position)
      },
  ],
  [
    'a bitmap misses nothing',
    'firstMissingAtOrAfter',
    (whole: Container['firstMissingAtOrAfter']) =>
      function (this: Container, position: number) {
        return this.isBitmap ? 65_536 : whole.call(this, position)
      },
  ],
  [
    'bitmaps are added without what was there',
    'addBitmap',
    (whole: Container['addBitmap']) =>
      function (this: Container, bytes: Uint8Array) {
        this.clear()
        return whole.call(this, bytes)
      },
  ],
]

test.each(breaks)('the test is red when %s', (_, name, make) => {
  const methods = container as unknown as Record<string, unknown>
  const whole = methods[name]
  methods[name] = make(whole as never)
  try {
    expect(fc.check(agrees, { numRuns: 300, seed: 7, endOnFailure: true }).failed).toBe(true)
  } finally {
    methods[name] = whole
  }
})

describe('what it costs', () => {
  test('ten million in one run: kilobytes', () => {
    const set = new OffsetSet()
    set.addRange(1000, 10_001_000)
    expect([set.count, set.bytes < 16 * 1024]).toEqual([10_000_000, true])
  })

  test('scattered members: at most 2 bytes each at any density', () => {
    for (const every of [2, 3, 7, 16, 20, 100]) {
      const set = new OffsetSet()
      for (let at = 0; at < 2_000_000; at += every) set.add(at)
      expect(set.bytes / set.count).toBeLessThanOrEqual(2.6)
      expect(set.bytes).toBeLessThan(MiB)
    }
  })

  test('the next added and the lowest removed, a million times: no larger than before', () => {
    const set = new OffsetSet()
    const round = (from: number, many: number): void => {
      for (let at = from; at < from + many; at++) {
        set.add(at)
        if (at >= 100) set.remove(at - 100)
      }
    }
    round(0, 500_000)
    const { bytes } = set
    round(500_000, 1_000_000)
    expect(set.count).toBe(100)
    expect(set.bytes).toBeLessThanOrEqual(bytes)
    expect(bytes).toBeLessThan(16 * 1024)
  })
})
