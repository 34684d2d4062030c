// Times as people write them.
// Promises: the same in every time zone but where local time is meant.
// Does not know: what the time is now.

import { expect, test } from 'vitest'
import { parseInstant, printInstant } from './node-time.ts'

test.each([
  ['1795264200000', 1795264200000],
  ['0', 0],
  ['2026-11-21T12:30:00Z', Date.UTC(2026, 10, 21, 12, 30)],
  ['2026-11-21T12:30:00+01:00', Date.UTC(2026, 10, 21, 11, 30)],
  ['2026-11-21', new Date(2026, 10, 21).getTime()],
  ['2026-11-21T12:30:00', new Date(2026, 10, 21, 12, 30).getTime()],
])('%s', (text, ms) => expect(parseInstant(text)).toBe(ms))

test.each(['', 'yesterday', '-1', '2026-13-01', '21.11.2026', '1e3'])('not %s', (text) => {
  expect(parseInstant(text)).toBeUndefined()
})

test('printed in UTC; an impossible time stays a number', () => {
  expect(printInstant(0)).toBe('1970-01-01T00:00:00.000Z')
  expect(printInstant(Number.MAX_SAFE_INTEGER)).toBe('9007199254740991')
})
