// The checkpointer's runs, one after the other.
// Promises: whoever asks for room while he is told of some is heard.
// Does not know: real segments and journals.

import { expect, test } from 'vitest'
import { Checkpointer, type CheckpointerHost } from './checkpointer.ts'
import type { Journal } from './journal/journal.ts'

test('room asked for when room was found is looked for again', async () => {
  let files = 2
  const journal = {
    canRecycle: () => files > 0,
    recycle: () => void files--,
    isFilling: false,
    settledSequence: 0,
  } as unknown as Journal
  let told = 0
  const host: CheckpointerHost = {
    chains: () => [],
    folder: { dirtySince: Infinity, sync: () => Promise.resolve() },
    syncChain: () => Promise.resolve(),
    writeCheckpoint: () => Promise.resolve(),
    pinnedSince: () => Infinity,
    onFailure: (error) => {
      throw error
    },
    onRoom: () => {
      // An entry that needs two files.
      if (++told === 1) checkpointer.nudge(true)
    },
  }
  const checkpointer = new Checkpointer(host, journal)
  checkpointer.nudge(true)
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
  expect([told, files]).toEqual([2, 0])
  await checkpointer.stop()
})
