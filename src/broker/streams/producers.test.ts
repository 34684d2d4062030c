// The producers against a naive model that remembers every batch for ever.
// Promises: duplicates, order, epochs, wrap and restarts as Kafka has them; each listed break turns the model test red.
// Does not know: logs; offsets are counted here.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { BatchHead } from '../../log/batch.ts'
import { offset } from '../../log/store.ts'
import { isRefusal } from '../errors.ts'
import { lastSequenceOf, Producers, producersPerPartitionMax } from './producers.ts'

const dayMs = 86_400_000

function headOf(producerId: number, producerEpoch: number, baseSequence: number, count: number): BatchHead {
  return {
    baseOffset: offset(0),
    bytes: 100,
    leaderEpoch: 0,
    attributes: 0,
    lastOffsetDelta: count - 1,
    baseTimestampMs: 0,
    maxTimestampMs: 5,
    producerId,
    producerEpoch,
    baseSequence,
    count,
  }
}

type Verdict = 'append' | 'staleProducerEpoch' | 'outOfOrderSequence' | { readonly duplicateOf: number }

/** What a partition asks of its producers. */
interface Subject {
  judge(head: BatchHead): Verdict
  appended(head: BatchHead, baseOffset: number): void
  restart(): void
}

function subject(): Subject {
  let producers = new Producers(dayMs)
  return {
    judge(head) {
      const verdict = producers.judge(head, 0)
      if (verdict === undefined) return 'append'
      if (!isRefusal(verdict)) return { duplicateOf: verdict.duplicateOf }
      return verdict.refused as Verdict
    },
    appended: (head, baseOffset) => producers.appended(head, baseOffset, 5, 0),
    restart() {
      producers = Producers.read(producers.write(0), dayMs)
    },
  }
}

/** Every batch ever taken, looked through from its end. */
function model(): Subject {
  const taken: { readonly head: BatchHead; readonly baseOffset: number }[] = []
  return {
    judge(head) {
      const mine = taken.filter((one) => one.head.producerId === head.producerId)
      const last = mine.at(-1)?.head
      if (last === undefined) return 'append'
      if (head.producerEpoch < last.producerEpoch) return 'staleProducerEpoch'
      if (head.producerEpoch > last.producerEpoch) return head.baseSequence === 0 ? 'append' : 'outOfOrderSequence'
      const same = mine
        .filter((one) => one.head.producerEpoch === head.producerEpoch)
        .slice(-5)
        .find((one) => one.head.baseSequence === head.baseSequence && one.head.count === head.count)
      if (same !== undefined) return { duplicateOf: same.baseOffset }
      return head.baseSequence === (last.baseSequence + last.count) % 2 ** 31 ? 'append' : 'outOfOrderSequence'
    },
    appended: (head, baseOffset) => void taken.push({ head, baseOffset }),
    restart: () => undefined,
  }
}

type Step =
  | { readonly does: 'next'; readonly producer: number; readonly count: number }
  | { readonly does: 'retry'; readonly producer: number; readonly back: number }
  | { readonly does: 'skip'; readonly producer: number; readonly by: number }
  | { readonly does: 'epoch'; readonly producer: number; readonly by: number; readonly sequence: number }
  | { readonly does: 'restart' }

const producer = fc.nat(2)
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ does: fc.constant('next' as const), producer, count: fc.integer({ min: 1, max: 4 }) }),
    },
    { weight: 3, arbitrary: fc.record({ does: fc.constant('retry' as const), producer, back: fc.nat(7) }) },
    {
      weight: 1,
      arbitrary: fc.record({ does: fc.constant('skip' as const), producer, by: fc.integer({ min: -3, max: 3 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        does: fc.constant('epoch' as const),
        producer,
        by: fc.integer({ min: -1, max: 1 }),
        sequence: fc.constantFrom(0, 0, 0, 5),
      }),
    },
    { weight: 1, arbitrary: fc.record({ does: fc.constant('restart' as const) }) },
  ),
  { maxLength: 60 },
)

/** Runs the same steps through both; the first difference is thrown. */
function compare(tried: Subject, naive: Subject, run: readonly Step[]): void {
  const sent = new Map<number, BatchHead[]>()
  let end = 0
  for (const step of run) {
    if (step.does === 'restart') {
      tried.restart()
      continue
    }
    const mine = sent.get(step.producer) ?? []
    sent.set(step.producer, mine)
    const last = mine.at(-1)
    const epoch = last?.producerEpoch ?? 0
    // Begins near the end of the sequences, so that the wrap is part of every run.
    const next = last === undefined ? 2 ** 31 - 6 : (last.baseSequence + last.count) % 2 ** 31
    const head =
      step.does === 'next'
        ? headOf(step.producer, epoch, next, step.count)
        : step.does === 'retry'
          ? mine.at(-1 - step.back)
          : step.does === 'skip'
            ? headOf(step.producer, epoch, Math.min(2 ** 31 - 1, Math.max(0, next + step.by)), 2)
            : headOf(step.producer, Math.max(0, epoch + step.by), step.sequence, 1)
    if (head === undefined) continue
    const expected = naive.judge(head)
    expect(tried.judge(head)).toEqual(expected)
    if (expected !== 'append') continue
    for (const one of [tried, naive]) one.appended(head, end)
    end += head.count
    mine.push(head)
  }
}

test('producers are judged as by the model', () => {
  fc.assert(
    fc.property(steps, (run) => compare(subject(), model(), run)),
    { numRuns: 500 },
  )
})

/** Each of these is a mistake that the model test must find. */
const breaks: readonly (readonly [string, (subject: Subject) => Subject])[] = [
  ['retries are appended again', (one) => ({ ...one, judge: (head) => asAppend(one.judge(head)) })],
  ['a retry gets the wrong offset', (one) => ({ ...one, judge: (head) => shifted(one.judge(head)) })],
  ['holes are not seen', (one) => ({ ...one, judge: (head) => forgiving(one.judge(head), 'outOfOrderSequence') })],
  ['old epochs may write', (one) => ({ ...one, judge: (head) => forgiving(one.judge(head), 'staleProducerEpoch') })],
  ['a restart forgets', (one) => forgetful(one)],
  ['only the last batch is remembered', (one) => shortMemory(one)],
  [
    'sequences do not wrap',
    (one) => ({ ...one, judge: (head) => (head.baseSequence === 0 ? 'outOfOrderSequence' : one.judge(head)) }),
  ],
]

const asAppend = (verdict: Verdict): Verdict => (typeof verdict === 'object' ? 'append' : verdict)
const shifted = (verdict: Verdict): Verdict =>
  typeof verdict === 'object' ? { duplicateOf: verdict.duplicateOf + 1 } : verdict
const forgiving = (verdict: Verdict, forgiven: Verdict): Verdict => (verdict === forgiven ? 'append' : verdict)

function forgetful(one: Subject): Subject {
  let now = one
  return {
    judge: (head) => now.judge(head),
    appended: (head, at) => now.appended(head, at),
    restart: () => {
      now = subject()
    },
  }
}

function shortMemory(one: Subject): Subject {
  let last: BatchHead | undefined
  return {
    ...one,
    judge: (head) => {
      const verdict = one.judge(head)
      return typeof verdict === 'object' && head !== last ? 'outOfOrderSequence' : verdict
    },
    appended: (head, at) => {
      last = head
      one.appended(head, at)
    },
  }
}

test.each(breaks)('the model finds it when %s', (_, broken) => {
  const found = fc.check(
    fc.property(steps, (run) => compare(broken(subject()), model(), run)),
    // One seed: whether a rare break is found must not depend on the day.
    { numRuns: 5000, seed: 1, endOnFailure: true },
  )
  expect(found.failed).toBe(true)
})

test('the sequence after the greatest is 0, also inside a batch', () => {
  expect(lastSequenceOf(2 ** 31 - 1, 0)).toBe(2 ** 31 - 1)
  expect(lastSequenceOf(2 ** 31 - 1, 1)).toBe(0)
  expect(lastSequenceOf(2 ** 31 - 2, 3)).toBe(1)
})

test('a producer unheard of for the expiration time is unknown: any sequence is taken', () => {
  const producers = new Producers(1000)
  producers.appended(headOf(1, 0, 0, 1), 0, 5, 0)
  expect(producers.judge(headOf(1, 0, 7, 1), 999)).toMatchObject({ refused: 'outOfOrderSequence' })
  expect(producers.judge(headOf(1, 0, 7, 1), 1000)).toBeUndefined()
  expect(producers.list(1000)).toEqual([])
})

test('no more producers are remembered than the limit', () => {
  const producers = new Producers(dayMs)
  for (let id = 0; id <= producersPerPartitionMax; id++) producers.appended(headOf(id, 0, 0, 1), id, 5, id)
  expect(producers.size).toBeLessThanOrEqual(producersPerPartitionMax)
  expect(producers.evicted).toBeGreaterThan(0)
  // The newest are still known.
  expect(producers.judge(headOf(producersPerPartitionMax, 0, 0, 1), 0)).toMatchObject({
    duplicateOf: producersPerPartitionMax,
  })
})
