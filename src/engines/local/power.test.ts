// Hundreds of seeded power cuts and process deaths under a random workload.
// Promises: those of power-life.contract.ts, for the lives of a run and for all that once broke one of them.
// Does not know: what a life does.

import { test } from 'vitest'
import { life, type LifeKind } from './power-life.contract.ts'

/** A life takes milliseconds; one that waits for ever has lost a promise. */
function stuck(): Promise<never> {
  return new Promise((_, reject) => void setTimeout(() => reject(new Error('stuck')), 3000).unref())
}

async function lives(kind: LifeKind, seeds: Iterable<number>): Promise<void> {
  for (const seed of seeds) {
    try {
      await Promise.race([life(seed, kind), stuck()])
    } catch (error) {
      throw new Error(`seed ${seed} (${kind}): ${String(error)}`, { cause: error })
    }
  }
}

function* from(first: number, count: number): Generator<number> {
  for (let seed = first; seed < first + count; seed++) yield seed
}

const seeds = Number(process.env.ODRADEK_POWER_SEEDS ?? 120)
const first = Number(process.env.ODRADEK_POWER_FIRST ?? 1)

test.each(['plain', 'rewriting', 'ahead'] as const)(
  'power cuts lose nothing that was acknowledged (%s)',
  { timeout: 60_000 },
  (kind) => lives(kind, from(first, seeds / 3)),
)

/** Each found a fault of the engine that is mended. */
const onceRed = [40_750, 60_954, 61_177, 61_386, 141_038, 180_095, 220_078]
const onceRedAhead = [600_312]

test('lives that once lost something lose nothing', async () => {
  await lives('plain', onceRed)
  await lives('ahead', onceRedAhead)
})
