// Delayed retry against a naive model: random takes, acknowledgements, returns, passing time and crashes.
// Promises: nothing is given out early, nothing is lost, others keep their order, also across crashes; each break listed
// here is found from fixed seeds.
// Does not know: jitter (retry-delay.test.ts), which only lengthens.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { turns } from '../../broker-world.contract.ts'
import { isRefusal } from '../../errors.ts'
import type { RetryPolicy } from '../facts.ts'
import { publish, QueueStage } from '../queue-stage.contract.ts'
import { retryDelayMs } from './retry-delay.ts'

const told: RetryPolicy = { of: 'all', backoff: 'exponential', minMs: 100, maxMs: 700, jitter: 0 }
const deliveryLimit = 4

type Step =
  | { readonly does: 'publish' | 'take' | 'advance'; readonly count: number }
  | { readonly does: 'ack' | 'reject' | 'nack'; readonly which: number }
  | { readonly does: 'crash' }

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 1,
      arbitrary: fc.record({ does: fc.constant('publish' as const), count: fc.integer({ min: 1, max: 2 }) }),
    },
    { weight: 6, arbitrary: fc.record({ does: fc.constant('take' as const), count: fc.integer({ min: 1, max: 4 }) }) },
    {
      weight: 6,
      arbitrary: fc.record({
        does: fc.constant('advance' as const),
        count: fc.constantFrom(1, 99, 100, 300, 400, 700),
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        does: fc.constantFrom('ack', 'reject', 'reject', 'reject', 'nack'),
        which: fc.nat({ max: 9 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ does: fc.constant('crash' as const) }) },
  ),
  { minLength: 40, maxLength: 90 },
)

/** What should become of the messages: nothing clever. */
class Model {
  nowMs = 0
  readonly open = new Map<number, { count: number; isHeld: boolean; dueMs: number }>()
  #end = 0

  publish(count: number): void {
    for (let at = 0; at < count; at++) this.open.set(this.#end++, { count: 0, isHeld: false, dueMs: 0 })
  }

  #those(isReady: boolean): number[] {
    const all = [...this.open].filter(([, { isHeld, dueMs }]) => !isHeld && dueMs <= this.nowMs === isReady)
    return all.map(([offset]) => offset).sort((one, other) => one - other)
  }

  get ready(): number[] {
    return this.#those(true)
  }

  get delayed(): number[] {
    return this.#those(false)
  }

  get held(): number[] {
    return [...this.open].filter(([, { isHeld }]) => isHeld).map(([offset]) => offset)
  }

  take(): number | undefined {
    const [offset] = this.ready
    if (offset !== undefined) this.open.get(offset)!.isHeld = true
    return offset
  }

  comesBack(offset: number, counts: boolean): void {
    const message = this.open.get(offset)!
    if (counts && message.count === deliveryLimit) return void this.open.delete(offset)
    if (counts) message.count++
    message.isHeld = false
    message.dueMs = this.nowMs + retryDelayMs(told, message.count, 0)
  }

  /** What ever came back in a way that counts waits anew, all else is ready. */
  crash(): void {
    for (const message of this.open.values()) {
      message.isHeld = false
      message.dueMs = message.count === 0 ? 0 : this.nowMs + retryDelayMs(told, message.count, 0)
    }
  }
}

async function run(all: readonly Step[], retry: RetryPolicy | undefined): Promise<void> {
  const stage = await QueueStage.open()
  const model = new Model()
  let queue = await stage.queue('q', { retry, deliveryLimit })
  const take = async (): Promise<void> => {
    const got = await queue.take(false)
    if (isRefusal(got)) throw new Error(got.why)
    expect(got?.offset).toBe(model.take())
  }
  const advance = async (ms: number): Promise<void> => {
    stage.world.clock.advance(ms)
    model.nowMs += ms
    await turns(2)
  }
  for (const step of all) {
    if (step.does === 'publish') {
      await publish(queue, ...Array.from({ length: step.count }, () => 'm'))
      model.publish(step.count)
    } else if (step.does === 'take') for (let count = 0; count < step.count; count++) await take()
    else if (step.does === 'advance') await advance(step.count)
    else if (step.does === 'crash') {
      await stage.settle()
      await stage.crash()
      queue = await stage.queue('q')
      model.crash()
    } else if ('which' in step) {
      const { held } = model
      if (held.length === 0) continue
      const offset = held[step.which % held.length]
      if (step.does === 'ack') {
        queue.lanes[0].acknowledge(offset)
        model.open.delete(offset)
      } else {
        queue.lanes[0].giveBack(offset, step.does === 'reject')
        model.comesBack(offset, step.does === 'reject')
      }
    }
    expect([queue.messages, queue.delayed, queue.unacknowledged]).toEqual([
      model.ready.length,
      model.delayed.length,
      model.held.length,
    ])
  }
  // Whatever is left comes in the end, in order.
  await advance(told.maxMs)
  while (model.ready.length > 0) await take()
  await take()
  expect(queue.delayed).toBe(0)
}

test('the queue does what the model does', { timeout: 30_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(steps, (all) => run(all, told)),
    { numRuns: 80 },
  )
})

const breaks: readonly (readonly [string, RetryPolicy | undefined])[] = [
  ['ready at once', undefined],
  ['ready a millisecond early', { ...told, minMs: 99 }],
  ['always the first delay', { ...told, backoff: 'fixed' }],
  ['another shape', { ...told, backoff: 'linear' }],
  ['without a longest delay', { ...told, maxMs: 1e9 }],
  ['nack is no return', { ...told, of: 'failed' }],
  ['reject is no return', { ...told, of: 'returned' }],
]

test.each(breaks)('a break is found: %s', { timeout: 30_000 }, async (_what, retry) => {
  const property = fc.asyncProperty(steps, (all) => run(all, retry))
  const outcome = await fc.check(property, { seed: 5, numRuns: 150, endOnFailure: true })
  expect(outcome.failed).toBe(true)
})
