// The index of expirations against a list of them.
// Promises: seeded; what it costs is judged with generous bounds.
// Does not know: ledgers.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ExpiryIndex } from './expiry-index.ts'

test('nothing that is due is missed, and what was looked at is told again only when it is due again', () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        op: fc.constant('note' as const),
        gap: fc.nat({ max: 300 }),
        count: fc.integer({ min: 1, max: 200 }),
        ms: fc.nat({ max: 5000 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        op: fc.constantFrom('again' as const, 'drop'),
        gap: fc.nat({ max: 2000 }),
        count: fc.constant(1),
        ms: fc.nat({ max: 5000 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constant('due' as const),
        gap: fc.constant(0),
        count: fc.constant(0),
        ms: fc.nat({ max: 800 }),
      }),
    },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const index = new ExpiryIndex()
      /** One of [from, to) expires at the time. */
      let noted: { from: number; to: number; atMs: number }[] = []
      let end = 0
      let nowMs = 0
      let floor = 0
      for (const { op, gap, count, ms } of steps) {
        if (op === 'note') {
          const from = end + gap
          end = from + count
          index.note(from, end, nowMs + ms)
          noted.push({ from, to: end, atMs: nowMs + ms })
        } else if (op === 'again' && noted.length > 0) {
          // A replay tells what it told before, and pieces of it.
          const { from, to } = noted[gap % noted.length]
          index.note(from, to, nowMs + ms)
          noted.push({ from, to, atMs: nowMs + ms })
        } else if (op === 'drop') {
          floor = Math.min(end, floor + gap)
          index.dropBelow(floor)
          noted = noted.filter(({ to }) => to > floor)
        } else if (op === 'due') {
          nowMs += ms
          const blocks: { from: number; to: number }[] = []
          index.due(nowMs, ({ from, to, earliestExpiryMs }) => {
            expect(earliestExpiryMs).toBeLessThanOrEqual(nowMs)
            blocks.push({ from, to })
          })
          const within = (one: { from: number; to: number }): boolean =>
            blocks.some(({ from, to }) => from <= one.from && one.to <= to)
          expect(noted.filter((one) => one.atMs <= nowMs && !within(one))).toEqual([])
          // What comes meanwhile is not swallowed by what is looked at.
          index.note(end, end + 1, nowMs + 1)
          noted.push({ from: end, to: ++end, atMs: nowMs + 1 })
          for (const { from, to } of blocks) {
            noted = noted.filter((one) => one.atMs > nowMs || one.from < from || one.to > to)
            const left = noted.filter((one) => one.from >= from && one.to <= to && one.to < end)
            index.reprice(from, left.length === 0 ? undefined : Math.min(...left.map(({ atMs }) => atMs)))
          }
        }
        if (noted.length > 0) expect(index.nextMs).toBeLessThanOrEqual(Math.min(...noted.map(({ atMs }) => atMs)))
      }
    }),
    { numRuns: 300, seed: 5 },
  )
})

test('ten million messages in batches of 100: a fraction of a byte each', () => {
  const index = new ExpiryIndex()
  for (let base = 0; base < 10_000_000; base += 100) index.note(base, base + 100, 1_700_000_000_000 + (base % 977))
  expect(index.nextMs).toBe(1_700_000_000_000)
  expect(index.bytes / 10_000_000).toBeLessThan(0.3)
  let due = 0
  index.due(1_700_000_000_000, () => due++)
  // One batch in 977 is due, and a block is told whole.
  expect(due).toBeGreaterThanOrEqual(Math.ceil(100_000 / 977))
  expect(due).toBeLessThan(index.blocks / 100)
})
