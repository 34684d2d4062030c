// One namespace, row by row: what docs/one-namespace.md promises, with real clients on both sides of one broker.
// Promises: each row of the page has a test of its name; the broker keeps its data in a folder, and rows restart it.
// Does not know: how anything is stored.

import { afterAll, beforeAll, test } from 'vitest'
import { Sides } from './one-namespace.ts'
import { queueRows } from './one-namespace-queues.ts'
import { retentionRows } from './one-namespace-retention.ts'
import { topicRows } from './one-namespace-topics.ts'

const rows = [...topicRows, ...queueRows, ...retentionRows]

let sides: Sides
beforeAll(async () => {
  sides = await Sides.open({ 'log.retention.check.interval.ms': 100 })
})
afterAll(() => sides.close())

test.each(rows)('$name', ({ steps }) => steps(sides))
