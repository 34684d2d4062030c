// The virtual clock by itself: order, moments, cancelling, durations.
// Promises: compared with a plain sorted list for random plans.
// Does not know: brokers.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Activity } from './node-activity.ts'
import { nodeClock } from './node-world.ts'
import { millisecondsOf, VirtualClock } from './virtual-clock.ts'

const newClock = (): VirtualClock => new VirtualClock(nodeClock(), new Activity())

test('time stands still, and moves by what it is told', async () => {
  const clock = newClock()
  const before = clock.nowMs()
  expect(Math.abs(before - Date.now())).toBeLessThan(1000)
  await clock.advance(1500)
  expect(clock.nowMs()).toBe(before + 1500)
  expect(clock.monotonicMs()).toBe(1500)
})

test('fractions of a millisecond pass, and what is stored as a time stays whole', async () => {
  const clock = newClock()
  const before = clock.nowMs()
  let fired = 0
  clock.after(0.6, () => fired++)
  await clock.advance(0.5)
  expect([clock.nowMs(), fired]).toEqual([before, 0])
  await clock.advance(0.5)
  expect([clock.nowMs(), fired]).toEqual([before + 1, 1])
})

test('timers fire in order at their times, also those that timers set', async () => {
  const clock = newClock()
  const fired: string[] = []
  const note = (name: string) => (): void => void fired.push(`${name} at ${clock.monotonicMs()}`)
  clock.after(300, note('late'))
  clock.after(100, () => {
    note('first')()
    clock.after(100, note('set on the way'))
    clock.after(1000, note('too late'))
  })
  clock.after(100, note('second'))
  clock.after(50, note('cancelled')).cancel()
  await clock.advance(300)
  expect(fired).toEqual(['first at 100', 'second at 100', 'set on the way at 200', 'late at 300'])
  await clock.advance(799)
  expect(fired).toHaveLength(4)
  await clock.advance(1)
  expect(fired.at(-1)).toBe('too late at 1100')
})

test('what is due already fires by itself, and a stopped clock fires nothing', async () => {
  const clock = newClock()
  await new Promise<void>((resolve) => clock.after(0, () => clock.after(-1, resolve)))
  expect(clock.monotonicMs()).toBe(0)
  let fired = 0
  clock.after(10, () => fired++)
  clock.stop()
  clock.after(0, () => fired++)
  await clock.advance(1000)
  expect(fired).toBe(0)
})

test('calls of advance follow one another; what a timer throws is told to its caller', async () => {
  const clock = newClock()
  clock.after(50, () => {
    throw new Error('broken')
  })
  const times: number[] = []
  clock.after(150, () => void times.push(clock.monotonicMs()))
  const first = clock.advance(100)
  const second = clock.advance(100)
  await expect(first).rejects.toThrow('broken')
  await second
  expect(times).toEqual([150])
})

test('any plan: the order is that of a sorted list', async () => {
  const plan = fc.array(fc.record({ delay: fc.nat(40), cancelled: fc.boolean() }), { maxLength: 60 })
  await fc.assert(
    fc.asyncProperty(plan, async (timers) => {
      const clock = newClock()
      const fired: number[] = []
      for (const [at, { delay, cancelled }] of timers.entries()) {
        const timer = clock.after(delay + 1, () => void fired.push(at))
        if (cancelled) timer.cancel()
      }
      await clock.advance(50)
      const expected = [...timers.entries()].filter(([, { cancelled }]) => !cancelled)
      expect(fired).toEqual(expected.toSorted(([, a], [, b]) => a.delay - b.delay).map(([at]) => at))
    }),
    { numRuns: 30 },
  )
})

describe('durations', () => {
  test.each([
    [1500, 1500],
    [0, 0],
    ['250ms', 250],
    ['90s', 90_000],
    ['1.5m', 90_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
  ])('%s is %d ms', (duration, ms) => {
    expect(millisecondsOf(duration)).toBe(ms)
  })

  test.each([-1, NaN, Infinity, 1e300, 1n, '', 'h', '1', '1 h', '1h30m', '1w', '-1s', '999999d', 'constructor', null])(
    '%s is none, and is named',
    (duration) => {
      const shown = typeof duration === 'string' ? JSON.stringify(duration) : String(duration)
      expect(() => millisecondsOf(duration as string)).toThrow(`${shown} is no duration: milliseconds, or`)
    },
  )
})
