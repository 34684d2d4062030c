// What two looks at the lag come to.
// Promises: rates, time to drain, order, and what is not counted.
// Does not know: sockets, tables.

import { expect, test } from 'vitest'
import { lagRows, type LagJson, type RowJson } from './lag.ts'

const row = (name: string, backlog: { records: number; end: number; position: number } | null): RowJson => ({
  kind: 'queue',
  name,
  topic: name,
  partitions: 1,
  backlog:
    backlog === null
      ? null
      : { ...backlog, unacknowledged: 0, bytes: backlog.records, bytes_are_estimated: false, oldest_age_ms: 5 },
})
const look = (at_ms: number, ...rows: RowJson[]): LagJson => ({ at_ms, rows })

test.each([
  ['worked off', [100, 0], [100, 40], { lag: 60, rate: 20, incoming: 0, drainMs: 3000 }],
  ['worked off faster than it comes', [100, 0], [120, 60], { lag: 60, rate: 30, incoming: 10, drainMs: 3000 }],
  ['growing', [100, 0], [140, 20], { lag: 120, rate: 10, incoming: 20, drainMs: null }],
  ['standing', [100, 0], [100, 0], { lag: 100, rate: 0, incoming: 0, drainMs: null }],
  ['empty', [100, 100], [140, 140], { lag: 0, rate: 20, incoming: 20, drainMs: null }],
  ['made anew meanwhile', [100, 100], [10, 4], { lag: 6, rate: 0, incoming: 0, drainMs: null }],
] as const)('%s', (_, [end, position], [endNow, positionNow], told) => {
  const before = look(1000, row('q', { records: end - position, end, position }))
  const now = look(3000, row('q', { records: endNow - positionNow, end: endNow, position: positionNow }))
  expect(lagRows(before, now)).toMatchObject([told])
})

test('the largest lag comes first; what came between the looks has no rate; what was not counted comes last', () => {
  const before = look(
    0,
    row('a', { records: 1, end: 1, position: 0 }),
    row('gone', { records: 9, end: 9, position: 0 }),
  )
  const now = look(
    1000,
    row('unknown', null),
    row('a', { records: 1, end: 1, position: 0 }),
    row('new', { records: 5, end: 5, position: 0 }),
    row('b', { records: 1, end: 1, position: 0 }),
  )
  const rows = lagRows(before, now)
  expect(rows.map(({ name }) => name)).toEqual(['new', 'a', 'b', 'unknown'])
  expect(rows[0]).toMatchObject({ lag: 5, rate: null, incoming: null, drainMs: null })
  expect(rows[3]).toMatchObject({ lag: null, bytes: null, rate: null, drainMs: null })
})
