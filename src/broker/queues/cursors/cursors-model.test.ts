// Exchanges that remember, through random lives with a kill in the middle of appends: each binding copies what it wants
// once and in order.
// Promises: the claims are shown able to fail, from the same seeds.
// Does not know: what a life consists of (cursors-life.contract.ts).

import { expect, test } from 'vitest'
import { isMachineLog, life, type Wrong } from './cursors-life.contract.ts'

const seeds = Array.from({ length: 40 }, (_, seed) => seed + 1)

test.each(seeds)('each binding copies each record it wants once, in order: seed %i', async (seed) => {
  await life(seed)
})

const wrongs: readonly (readonly [what: string, wrong: Wrong])[] = [
  ['copies are written without the cursor', { half: (entry) => !isMachineLog(entry) }],
  ['a cursor is written without the copies', { half: isMachineLog }],
  ['a binding begins elsewhere', { bind: (call) => ({ ...call, arguments: [] }) }],
  ['a binding copies what it should not', { bind: (call) => ({ ...call, routingKey: '#' }) }],
]

test.each(wrongs)('it turns red when %s', async (_, wrong) => {
  for (const seed of seeds) {
    const failure = await life(seed, wrong).then(
      () => undefined,
      (error: unknown) => error,
    )
    if (failure !== undefined) return
  }
  expect.fail('no life noticed')
})
