// Confirms against a naive model: any order of publishes and settlements, and deliberate breaks that the model finds.
// Promises: each sequence number is told once, as its receipt said; multiple never covers what is not settled.
// Does not know: frames.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Confirms, refusedAlready, storedAlready, type ConfirmSink } from './confirms.ts'
import { StubReceipt } from './stub-queues.contract.ts'

interface Told {
  readonly what: 'ack' | 'nack'
  readonly sequence: number
  readonly multiple: boolean
}

class Listener implements ConfirmSink {
  readonly told: Told[] = []
  released_ = 0
  dues = 0
  confirmed(sequence: number, multiple: boolean): void {
    this.told.push({ what: 'ack', sequence, multiple })
  }
  refused(sequence: number, multiple: boolean): void {
    this.told.push({ what: 'nack', sequence, multiple })
  }
  released(bytes: number): void {
    this.released_ += bytes
  }
  due(): void {
    this.dues++
  }
}

type Step =
  | { readonly kind: 'publish'; readonly receipt: number; readonly count: number }
  | { readonly kind: 'already'; readonly stored: boolean }
  | { readonly kind: 'settle'; readonly receipt: number; readonly stored: boolean }
  | { readonly kind: 'flush' }
  | { readonly kind: 'select' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      receipt: fc.nat(5),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('already' as const), stored: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('settle' as const), receipt: fc.nat(5), stored: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'flush' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'select' as const }) },
)

type Break = (told: Told) => Told | undefined

/** What the client makes of what it is told, checked against what it published. */
function run(steps: readonly Step[], tampered: Break = (told) => told): void {
  const sink = new Listener()
  const confirms = new Confirms(sink)
  const receipts = Array.from({ length: 6 }, () => new StubReceipt())
  /** By sequence number: the receipt it waits for. */
  const outstanding = new Map<number, { readonly state: string }>()
  let next = 1
  let bytes = 0
  const hear = (): void => {
    confirms.flush()
    for (const said of sink.told.splice(0)) {
      const told = tampered(said)
      if (told === undefined) continue
      const covered = [...outstanding.keys()].filter((seq) =>
        told.multiple ? seq <= told.sequence : seq === told.sequence,
      )
      expect(covered.includes(told.sequence), 'what is told was not told before').toBe(true)
      for (const seq of covered) {
        expect(outstanding.get(seq)?.state, `${seq} as its receipt says`).toBe(
          told.what === 'ack' ? 'stored' : 'refused',
        )
        outstanding.delete(seq)
      }
    }
  }
  const publish = (receipt: StubReceipt | typeof storedAlready, weight: number): void => {
    if (confirms.isOn) outstanding.set(next++, receipt)
    bytes += weight
    confirms.published(receipt, weight)
  }
  for (const one of steps) {
    if (one.kind === 'select') confirms.turnOn()
    else if (one.kind === 'flush') hear()
    else if (one.kind === 'already') publish(one.stored ? storedAlready : refusedAlready, 0)
    else if (one.kind === 'publish') for (let at = 0; at < one.count; at++) publish(receipts[one.receipt], 7)
    else {
      const settled = receipts[one.receipt]
      receipts[one.receipt] = new StubReceipt()
      const before = sink.dues
      settled.settle(one.stored ? 'stored' : 'refused')
      expect(settled.waits, 'a receipt is waited for once').toBeLessThanOrEqual(1)
      if (settled.waits > 0) expect(sink.dues).toBeGreaterThan(before)
    }
  }
  for (const receipt of receipts) receipt.settle('stored')
  hear()
  hear()
  expect([...outstanding.keys()], 'everything is told in the end').toEqual([])
  expect(sink.released_, 'nothing is under way in the end').toBe(bytes)
}

const steps = fc.array(step, { maxLength: 40 })

describe('any order of publishes, settlements and flushes', () => {
  test('agrees with the model', () => {
    fc.assert(
      fc.property(steps, (all) => run(all)),
      { numRuns: 1000 },
    )
  })

  test.each<[string, Break]>([
    ['multiple always', (told) => ({ ...told, multiple: true })],
    ['multiple never', (told) => ({ ...told, multiple: false })],
    ['acks for nacks', (told) => ({ ...told, what: 'ack' })],
    ['one too far', (told) => ({ ...told, sequence: told.sequence + 1 })],
    ['no nack at all', (told) => (told.what === 'nack' ? undefined : told)],
  ])('a broken one is found: %s', (_name, tampered) => {
    const outcome = fc.check(
      fc.property(steps, (all) => run(all, tampered)),
      { seed: 1, numRuns: 1000 },
    )
    expect(outcome.failed).toBe(true)
  })
})

test('a hundred publishes with one receipt are one ack, and wait for it once', () => {
  const sink = new Listener()
  const confirms = new Confirms(sink)
  confirms.turnOn()
  const receipt = new StubReceipt()
  for (let at = 0; at < 100; at++) confirms.published(receipt, 10)
  confirms.flush()
  expect(sink.told).toEqual([])
  receipt.settle('stored')
  confirms.flush()
  expect(sink.told).toEqual([{ what: 'ack', sequence: 100, multiple: true }])
  expect([receipt.waits, sink.released_]).toEqual([1, 1000])
})

test('what settles behind a pending one is told singly, and multiple passes over it later', () => {
  const sink = new Listener()
  const confirms = new Confirms(sink)
  confirms.turnOn()
  const [first, second] = [new StubReceipt(), new StubReceipt()]
  confirms.published(first, 1)
  for (let at = 0; at < 3; at++) confirms.published(second, 1)
  second.settle('stored')
  confirms.flush()
  expect(sink.told.splice(0).map(({ sequence, multiple }) => [sequence, multiple])).toEqual([
    [2, false],
    [3, false],
    [4, false],
  ])
  first.settle('refused')
  confirms.published(storedAlready, 0)
  confirms.flush()
  expect(sink.told).toEqual([
    { what: 'nack', sequence: 1, multiple: false },
    { what: 'ack', sequence: 5, multiple: false },
  ])
})

test('a closed channel is told nothing, and its bytes stay under way until they are settled', () => {
  const sink = new Listener()
  const confirms = new Confirms(sink)
  confirms.turnOn()
  const receipt = new StubReceipt()
  confirms.published(receipt, 5)
  confirms.silence()
  receipt.settle('stored')
  confirms.flush()
  expect([sink.told, sink.released_]).toEqual([[], 5])
})
