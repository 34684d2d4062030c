// Tests of how long a message waits.
// Promises: each shape at each count, and the bounds of the jitter.
// Does not know: queues.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RetryPolicy } from '../facts.ts'
import { retryDelayMs } from './retry-delay.ts'

const policy: RetryPolicy = { of: 'all', backoff: 'linear', minMs: 1000, maxMs: 30_000, jitter: 0 }

test.each([
  ['fixed', [1000, 1000, 1000, 1000, 1000]],
  ['linear', [1000, 1000, 2000, 3000, 30_000]],
  ['exponential', [1000, 1000, 2000, 4000, 30_000]],
] as const)('a %s delay', (backoff, delays) => {
  expect([0, 1, 2, 3, 40].map((count) => retryDelayMs({ ...policy, backoff }, count, 0.9))).toEqual(delays)
})

test('a longest delay below the shortest is the delay', () => {
  expect(retryDelayMs({ ...policy, maxMs: 10 }, 5, 0)).toBe(10)
})

test('jitter only lengthens, by its fraction at most; without a longest delay there is one', () => {
  fc.assert(
    fc.property(
      fc.record({
        of: fc.constant('all' as const),
        backoff: fc.constantFrom('fixed' as const, 'linear' as const, 'exponential' as const),
        minMs: fc.integer({ min: 1, max: 1e9 }),
        maxMs: fc.oneof(fc.integer({ min: 1, max: 1e9 }), fc.constant(315_360_000_000)),
        jitter: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      fc.integer({ min: 0, max: 5000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (shape, count, fraction) => {
        const least = retryDelayMs({ ...shape, jitter: 0 }, count, fraction)
        const delayMs = retryDelayMs(shape, count, fraction)
        expect(least).toBeGreaterThanOrEqual(Math.min(shape.minMs, shape.maxMs))
        expect(least).toBeLessThanOrEqual(shape.maxMs)
        expect(delayMs).toBeGreaterThanOrEqual(least)
        expect(delayMs).toBeLessThanOrEqual(Math.ceil(least * (1 + shape.jitter)))
        // A later try never waits less.
        expect(retryDelayMs({ ...shape, jitter: 0 }, count + 1, 0)).toBeGreaterThanOrEqual(least)
      },
    ),
  )
})
