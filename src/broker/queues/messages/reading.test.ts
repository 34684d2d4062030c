// Reading where nothing is: gaps that only the files tell of.
// Promises: a log of which each read takes a turn.
// Does not know: what is in batches.

import { expect, test } from 'vitest'
import { testBatch, testWorld, turns } from '../../broker-world.contract.ts'
import { AppendFailure, offset, type Log } from '../../../log/store.ts'
import { Reading, ReadingBudget } from './reading.ts'

const from = { name: 'q', partition: 0, tellsPlace: false }

test.each([true, false])('a gap up to the end is found out by one read (takes a turn: %s)', async (isAsync) => {
  let reads = 0
  const log = {
    start: offset(0),
    committed: offset(10),
    read: (from: number) => {
      reads++
      const nothing = { chunks: [], bytes: 0, next: offset(from) }
      return isAsync ? Promise.resolve(nothing) : nothing
    },
  }
  const reading = new Reading(testWorld(), new ReadingBudget(), log as unknown as Log, from)
  let missing = reading.seek(4)
  if (isAsync) {
    expect(missing).toBeInstanceOf(Promise)
    // What is committed while it is read is not part of the gap.
    log.committed = offset(20)
    await missing
    missing = reading.seek(4)
  }
  expect([missing, reading.missingBelow, reads]).toEqual(['gap', 10, 1])
  expect([reading.seek(7), reads]).toEqual(['gap', 1])
})

test('a read that nobody waits for may fail', async () => {
  const log = {
    start: offset(0),
    committed: offset(10),
    read: () => Promise.reject(new AppendFailure('closed', 'deleted')),
  }
  const reading = new Reading(testWorld(), new ReadingBudget(), log as unknown as Log, from)
  expect(reading.seek(4)).toBeInstanceOf(Promise)
  await turns()
  await expect(reading.seek(4)).rejects.toThrow('deleted')
})

test.each(['close', 'release'] as const)('what is being read when its reader leaves is not kept: %s', async (end) => {
  let released = 0
  let isRead: () => void = () => undefined
  const log = {
    start: offset(0),
    committed: offset(10),
    read: async (from: number) => {
      await new Promise<void>((resolve) => (isRead = resolve))
      const chunk = testBatch(testWorld().clock, { values: ['a'] })
      return { chunks: [chunk], bytes: chunk.length, next: offset(from + 1), release: () => released++ }
    },
  }
  const reading = new Reading(testWorld(), new ReadingBudget(), log as unknown as Log, from)
  const missing = reading.seek(0)
  reading[end]()
  isRead()
  await missing
  // Somebody else may wait for what one of several readers has no use for.
  expect(released).toBe(end === 'close' ? 1 : 0)
  if (end === 'release') expect(reading.seek(0)).toBeUndefined()
})
