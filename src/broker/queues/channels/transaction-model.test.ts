// Transactions and dead letters through the door, over a store that commits, refuses and crashes at random.
// Promises: after each of them, and after a restart, every message is in exactly one queue or settled, as a naive list
// says; the listed breaks of the store beneath turn the test red.
// Does not know: protocols, deliveries to consumers; here everything is got.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fieldTable, textField } from '../../../base/fields.ts'
import { noProperties } from '../../../base/properties.ts'
import type { AppendEntry } from '../../../log/store.ts'
import { openBroker, type Broker } from '../../broker.ts'
import { testIdentity, testWorld, turns, type TestWorld } from '../../broker-world.contract.ts'
import type { Session } from '../../door.ts'
import { isRefusal } from '../../errors.ts'
import type { Channel, ChannelSink } from '../../queue-door.ts'
import { StubStore } from '../../stub-store.contract.ts'

const names = ['work', 'other', 'dead'] as const
type Name = (typeof names)[number]

type Does = 'publish work' | 'publish other' | 'ack' | 'reject' | 'requeue'
type Outcome = 'commit' | 'fail io' | 'fail full' | 'crash' | 'rollback' | 'close' | 'close and commit'

interface Step {
  readonly does: readonly Does[]
  readonly outcome: Outcome
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    does: fc.array(fc.constantFrom<Does>('publish work', 'publish work', 'publish other', 'ack', 'reject', 'requeue'), {
      minLength: 1,
      maxLength: 8,
    }),
    outcome: fc.constantFrom<Outcome>(
      'commit',
      'commit',
      'commit',
      'fail io',
      'fail full',
      'crash',
      'rollback',
      'close',
      'close and commit',
    ),
  }),
  { minLength: 1, maxLength: 8 },
)

const sink: ChannelSink = { hasRoom: true, deliver: () => undefined, cancelled: () => undefined }

class Run {
  readonly world: TestWorld = testWorld()
  readonly store: StubStore
  broker: Broker | undefined
  session: Session | undefined
  /** What must be in each queue, without order. */
  model: Record<Name, Set<string>> = { work: new Set(), other: new Set(), dead: new Set() }
  made = 0
  /** Of the broker that lives now. */
  #life: { isOver: boolean } = { isOver: false }

  constructor(store: StubStore) {
    this.store = store
  }

  async open(): Promise<void> {
    // A broker that crashed does nothing more, though its timers still run here.
    const life = (this.#life = { isOver: false })
    const { store } = this
    const lived = new Proxy(store, {
      get: (_, name: keyof StubStore) => {
        if (life.isOver) return () => new Promise<void>(() => undefined)
        const value: unknown = store[name]
        return typeof value === 'function' ? (value.bind(store) as unknown) : value
      },
    })
    this.broker = await openBroker(this.world, lived, {})
    this.session = this.broker.session(testIdentity)
    for (const name of names) {
      const to = { 'x-dead-letter-exchange': textField(''), 'x-dead-letter-routing-key': textField('dead') }
      const declared = await this.queues.declareQueue({
        name,
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: name === 'work' ? fieldTable(to) : [],
      })
      expect(isRefusal(declared)).toBe(false)
    }
  }

  get queues(): Session['queues'] {
    return (this.session as Session).queues
  }

  async play(run: readonly Step[]): Promise<void> {
    await this.open()
    for (const step of run) {
      await this.step(step)
      await this.look()
    }
    await this.broker?.close()
    await this.open()
    await this.look()
  }

  async step({ does, outcome }: Step): Promise<void> {
    const channel = this.queues.openChannel(sink)
    channel.beginTransactions()
    const after = { work: new Set(this.model.work), other: new Set(this.model.other), dead: new Set(this.model.dead) }
    for (const one of does) await this.act(channel, one, after)
    this.store.manual = true
    const isMade = await this.end(channel, outcome)
    if (isMade) this.model = after
    channel.close()
    await this.settle()
  }

  async act(channel: Channel, does: Does, after: Run['model']): Promise<void> {
    if (does === 'publish work' || does === 'publish other') {
      const name = does === 'publish work' ? 'work' : 'other'
      const body = Buffer.from(`m${this.made++}`)
      after[name].add(String(body))
      channel.publish({
        exchange: '',
        routingKey: name,
        properties: noProperties,
        body: [body],
        bodyBytes: body.length,
      })
      body.fill(0)
      return
    }
    const got = await channel.get('work', false)
    if (got === undefined || isRefusal(got)) return
    const body = String(got.body)
    if (does === 'requeue') return void channel.reject(got.tag, false, true, true)
    after.work.delete(body)
    if (does === 'ack') return void channel.acknowledge(got.tag, false)
    channel.reject(got.tag, false, false, false)
    after.dead.add(body)
  }

  /** Whether the transaction took place. */
  async end(channel: Channel, outcome: Outcome): Promise<boolean> {
    if (outcome === 'close') return false
    if (outcome === 'rollback') {
      channel.rollback()
      return false
    }
    const committed = channel.commit()
    // Until the append is made, and not beyond.
    for (let turn = 0; turn < 20 && this.store.pending === 0; turn++) await turns(1)
    if (outcome === 'close and commit') channel.close()
    if (outcome === 'crash') {
      this.#life.isOver = true
      this.store.crash()
      this.store.manual = false
      await this.open()
      return false
    }
    this.store.manual = false
    if (outcome === 'fail io' || outcome === 'fail full') this.store.fail(outcome === 'fail io' ? 'io' : 'full')
    else this.store.commit()
    return (await committed) === true
  }

  /** Until nothing is under way: dead letters wait before they try again. */
  async settle(): Promise<void> {
    this.store.manual = false
    this.store.commit()
    for (let round = 0; round < 4; round++) {
      await turns(8)
      this.world.clock.advance(1000)
    }
    await turns(8)
  }

  async look(): Promise<void> {
    const channel = this.queues.openChannel(sink)
    for (const name of names) {
      const bodies: string[] = []
      for (let got = await channel.get(name, false); got !== undefined; got = await channel.get(name, false)) {
        if (isRefusal(got)) throw new Error(got.why)
        bodies.push(String(got.body))
      }
      expect(bodies.toSorted(), name).toEqual([...this.model[name]].toSorted())
    }
    channel.close()
    await this.settle()
  }
}

test('all or nothing, and no message twice or lost', async () => {
  await fc.assert(
    fc.asyncProperty(steps, (run) => new Run(new StubStore()).play(run)),
    { numRuns: 60 },
  )
})

const breaks: readonly (readonly [string, (entries: readonly AppendEntry[]) => (readonly AppendEntry[])[]])[] = [
  ['an append of several logs is several appends', (entries) => entries.map((entry) => [entry])],
  ['an append of several logs stores the first alone', (entries) => [entries.slice(0, 1)]],
]

test.each(breaks)('the test is red when %s', async (_, cut) => {
  const broken = await fc.check(
    fc.asyncProperty(steps, async (run) => {
      const store = new StubStore()
      const append = store.append.bind(store)
      store.append = async (entries) => {
        await Promise.all(
          cut(entries).map((piece) => {
            const appended = append(piece)
            // Each is committed or fails by itself.
            if (entries.length > 1 && store.manual) store.commit(1)
            return appended
          }),
        )
      }
      await new Run(store).play(run)
    }),
    { numRuns: 60, seed: 1, endOnFailure: true },
  )
  expect(broken.failed).toBe(true)
})
