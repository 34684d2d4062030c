// One namespace, row by row: what docs/one-namespace.md promises, with real clients on both sides of one broker.
// Promises: each row of the page has a test of its name; the broker keeps its data in a folder, and rows restart it.
// Does not know: how anything is stored.

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sides } from './one-namespace.ts'
import { ledgerRows } from './one-namespace-ledgers.ts'
import { queueRows } from './one-namespace-queues.ts'
import { recordRows } from './one-namespace-records.ts'
import { retryRows } from './one-namespace-retries.ts'
import { retentionRows } from './one-namespace-retention.ts'
import { topicRows } from './one-namespace-topics.ts'

const rows = [...topicRows, ...queueRows, ...retentionRows, ...retryRows, ...recordRows, ...ledgerRows]

let sides: Sides
beforeAll(async () => {
  sides = await Sides.open({ 'log.retention.check.interval.ms': 100 })
})
afterAll(() => sides.close())

test('each row of the page has a test of its name, and each test its row', () => {
  const page = readFileSync(new URL('../../docs/one-namespace.md', import.meta.url), 'utf8')
  const promised = Array.from(page.matchAll(/^\| \*\*(.+?)\*\* \|/gm), ([, name]) => name)
  expect(promised).toHaveLength(new Set(promised).size)
  expect(rows.map(({ name }) => name).sort()).toEqual(promised.sort())
})

test.each(rows)('$name', ({ steps }) => steps(sides))
