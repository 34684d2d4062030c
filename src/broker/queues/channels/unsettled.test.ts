// Unsettled deliveries against a naive map, and what they cost.
// Promises: random deliveries, settlements in any order and restores leave the same tags, holders and offsets in both;
// the listed breaks turn the model red. A run is bounded in its work: compared are numbers, by hand.
// Does not know: channels.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Unsettled, type SettledBy } from './unsettled.ts'

type Step =
  | { readonly does: 'add' | 'skip'; readonly count: number }
  | { readonly does: 'settle' | 'settleUpTo'; readonly pick: number; readonly near: 'old' | 'new' | 'any' }
  | { readonly does: 'settleMost'; readonly keepEvery: number }
  | { readonly does: 'settleAll' }
  | { readonly does: 'keep and restore'; readonly picks: readonly number[] }

const pick = fc.nat(1_000_000)
const near = fc.constantFrom('old' as const, 'new' as const, 'any' as const)
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ does: fc.constant('add' as const), count: fc.integer({ min: 1, max: 90 }) }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constant('add' as const), count: fc.constant(9000) }) },
    { weight: 2, arbitrary: fc.record({ does: fc.constant('skip' as const), count: fc.integer({ min: 1, max: 90 }) }) },
    { weight: 8, arbitrary: fc.record({ does: fc.constant('settle' as const), pick, near }) },
    { weight: 3, arbitrary: fc.record({ does: fc.constant('settleUpTo' as const), pick, near }) },
    {
      weight: 2,
      arbitrary: fc.record({ does: fc.constant('settleMost' as const), keepEvery: fc.integer({ min: 2, max: 40 }) }),
    },
    { weight: 1, arbitrary: fc.constant({ does: 'settleAll' as const }) },
    {
      weight: 2,
      arbitrary: fc.record({
        does: fc.constant('keep and restore' as const),
        picks: fc.array(pick, { maxLength: 20 }),
      }),
    },
  ),
  { maxLength: 60 },
)

type Told = [tag: number, holder: number, offset: number]

/** Several times what makes the ring grow and shrink; more would only take longer. */
const unsettledMax = 40_000

/** Asked for each of thousands: an expect() of its own would be most of the work. */
function same(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) expect.fail(`${what}: expected ${String(expected)}, got ${String(actual)}`)
}

class Telling implements SettledBy {
  readonly told: Told[] = []
  settled(holder: number, offset: number, tag: number): void {
    this.told.push([tag, holder, offset])
  }
}

class Run {
  readonly real: Unsettled
  /** In the order of tags, since they only rise. */
  model = new Map<number, Told>()
  last = 0

  constructor(real: Unsettled) {
    this.real = real
  }

  play(run: readonly Step[]): void {
    for (const step of run) {
      this.step(step)
      expect(this.real.count).toBe(this.model.size)
      expect(this.real.lastTag).toBe(this.last)
    }
    for (const tag of [0, 1, this.last, this.last + 1]) expect(this.real.has(tag)).toBe(this.model.has(tag))
    this.expectSame((by) => this.real.settleAll(by), [...this.model.values()])
  }

  step(step: Step): void {
    switch (step.does) {
      case 'add':
        for (let count = 0; count < step.count && this.model.size < unsettledMax; count++) {
          const tag = ++this.last
          const holder = 1 + (tag % 7)
          same(this.real.add(holder, tag * 3), tag, 'tag')
          this.model.set(tag, [tag, holder, tag * 3])
        }
        return
      case 'skip':
        for (let count = 0; count < step.count; count++) same(this.real.skip(), ++this.last, 'skipped tag')
        return
      case 'settle':
        return this.settle(this.tagFor(step.pick, step.near))
      case 'settleUpTo':
        return this.settleUpTo(this.tagFor(step.pick, step.near))
      case 'settleMost':
        for (const tag of this.model.keys()) if (tag % step.keepEvery !== 0) this.settle(tag)
        return
      case 'settleAll':
        return this.settleUpTo(0)
      case 'keep and restore':
        return this.keepAndRestore(step.picks)
    }
  }

  settle(tag: number): void {
    const expected = this.model.get(tag)
    this.model.delete(tag)
    this.expectSame(
      (by) => same(this.real.settle(tag, by), expected !== undefined, `settled ${tag}`),
      expected === undefined ? [] : [expected],
    )
  }

  /** 0: all. */
  settleUpTo(tag: number): void {
    const isThere = tag === 0 || this.model.has(tag)
    const expected = isThere ? [...this.model.values()].filter(([other]) => tag === 0 || other <= tag) : []
    for (const [other] of expected) this.model.delete(other)
    this.expectSame((by) => {
      if (tag === 0) this.real.settleAll(by)
      else same(this.real.settleUpTo(tag, by), isThere, `settled up to ${tag}`)
    }, expected)
  }

  keepAndRestore(picks: readonly number[]): void {
    const by = new Telling()
    const tags = [...this.model.keys()]
    for (const one of picks) this.real.settle(this.tagFor(one, 'any', tags), by)
    const kept = by.told.toSorted(([one], [other]) => one - other)
    // Deliveries go on meanwhile.
    this.step({ does: 'add', count: 3 })
    this.real.restore(
      kept.map(([tag]) => tag),
      kept.map(([, holder]) => holder),
      kept.map(([, , offset]) => offset),
    )
  }

  tagFor(one: number, where: 'old' | 'new' | 'any', tags: readonly number[] = [...this.model.keys()]): number {
    if (tags.length === 0 || one % 11 === 0) return one % (this.last + 2)
    const among = Math.min(tags.length, 4)
    if (where === 'old') return tags[one % among]
    return where === 'new' ? tags[tags.length - 1 - (one % among)] : tags[one % tags.length]
  }

  expectSame(act: (by: SettledBy) => void, expected: readonly Told[]): void {
    const by = new Telling()
    act(by)
    same(by.told.length, expected.length, 'how many')
    for (const [index, wanted] of expected.entries()) {
      for (const [part, value] of wanted.entries()) same(by.told[index][part], value, `settled as number ${index}`)
    }
  }
}

test('the same as a map, whatever is settled in whatever order', () => {
  fc.assert(
    fc.property(steps, (run) => new Run(new Unsettled()).play(run)),
    { numRuns: 80 },
  )
})

test('the delivery whose settling makes the ring shrink is settled itself, not what lies in its new place', () => {
  const unsettled = new Unsettled()
  const told: number[] = []
  const by: SettledBy = { settled: (_, offset) => void told.push(offset) }
  for (let offset = 1; offset <= 20_000; offset++) unsettled.add(1, offset)
  for (let tag = 2; tag < 20_000; tag++) unsettled.settle(tag, by)
  unsettled.settle(1, by)
  unsettled.settle(20_000, by)
  expect(told.slice(-2)).toEqual([1, 20_000])
})

const breaks: readonly (readonly [string, (unsettled: Unsettled) => void])[] = [
  [
    'multiple leaves the tag itself',
    (unsettled) => {
      const { settleUpTo } = unsettled
      unsettled.settleUpTo = (tag, by) => settleUpTo.call(unsettled, unsettled.has(tag - 1) ? tag - 1 : tag, by)
    },
  ],
  [
    'a tag that was settled before is taken for unsettled',
    (unsettled) => {
      const { settle } = unsettled
      unsettled.settle = (tag, by) => settle.call(unsettled, tag, by) || tag <= unsettled.lastTag
    },
  ],
  [
    'what is restored loses its first',
    (unsettled) => {
      const { restore } = unsettled
      unsettled.restore = (tags, holders, offsets) =>
        restore.call(unsettled, tags.slice(1), holders.slice(1), offsets.slice(1))
    },
  ],
]

test.each(breaks)('the test is red when %s', (_, breakIt) => {
  const broken = fc.check(
    fc.property(steps, (run) => {
      const unsettled = new Unsettled()
      breakIt(unsettled)
      new Run(unsettled).play(run)
    }),
    { numRuns: 100, seed: 1, endOnFailure: true },
  )
  expect(broken.failed).toBe(true)
})

describe('what it costs', () => {
  const nobody: SettledBy = { settled: () => undefined }

  test('a million unsettled deliveries take at most 20 MB, and none when they are settled', () => {
    const unsettled = new Unsettled()
    for (let count = 0; count < 1_000_000; count++) unsettled.add(1, count)
    expect(unsettled.bytes).toBeLessThan(20e6)
    unsettled.settleAll(nobody)
    expect(unsettled.bytes).toBeLessThan(2e6)
    for (let count = 0; count < 10_000; count++) unsettled.settle(unsettled.add(1, count), nobody)
    expect(unsettled.bytes).toBeLessThan(100_000)
  })

  test('one that is never settled holds nothing but itself', () => {
    const unsettled = new Unsettled()
    const stuck = unsettled.add(1, 0)
    for (let count = 0; count < 1_000_000; count++) unsettled.settle(unsettled.add(1, count), nobody)
    expect(unsettled.bytes).toBeLessThan(10_000)
    expect(unsettled.has(stuck)).toBe(true)
    expect(unsettled.count).toBe(1)
  })

  test('every other one settled, from the newest on, costs no more than in order', () => {
    const unsettled = new Unsettled()
    for (let round = 0; round < 20; round++) {
      const tags = Array.from({ length: 10_000 }, (_, index) => unsettled.add(1, index))
      for (const tag of tags.toReversed()) if (tag % 2 === 0) unsettled.settle(tag, nobody)
    }
    expect(unsettled.count).toBe(100_000)
    expect(unsettled.bytes).toBeLessThan(100_000 * 40)
  })
})
