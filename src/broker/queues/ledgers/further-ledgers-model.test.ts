// Random walks of several queues over one log against naive lists: declared, filtered, read, settled, rewound, crashed.
// Promises: through the broker's door; whatever a queue gives is the first the list has ready. Deliberate breaks turn it red.
// Does not know: trimming (trimming-model.test.ts), sockets.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FieldTable } from '../../../base/fields.ts'
import { noProperties } from '../../../base/properties.ts'
import { openBroker, type Broker } from '../../broker.ts'
import { testBatch, testIdentity, testWorld, turns } from '../../broker-world.contract.ts'
import type { Session } from '../../door.ts'
import { isRefusal } from '../../errors.ts'
import type { Channel, RewindTo } from '../../queue-door.ts'
import { StubStore } from '../../stub-store.contract.ts'

const names = ['orders', 'audit', 'europe', 'late'] as const
type Name = (typeof names)[number]

type Step =
  | { readonly kind: 'produce' | 'publish'; readonly count: number; readonly isEuropean: boolean }
  | { readonly kind: 'declare' | 'delete' | 'get' | 'getNoAck' | 'ack' | 'nack' | 'count'; readonly name: Name }
  | { readonly kind: 'rewind'; readonly name: Name; readonly to: number }
  | { readonly kind: 'crash' }

const name = fc.constantFrom(...names)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('produce' as const, 'publish' as const),
      count: fc.integer({ min: 1, max: 4 }),
      isEuropean: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('declare' as const), name }) },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constantFrom('get' as const, 'get' as const, 'getNoAck' as const, 'ack' as const, 'nack' as const),
      name,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('rewind' as const), name, to: fc.integer({ min: -1, max: 12 }) }),
  },
  fc.record({ kind: fc.constant('delete' as const), name }),
  { weight: 1, arbitrary: fc.constant({ kind: 'crash' as const }) },
)

interface Message {
  readonly body: string
  readonly key: string
}

/** One queue as the list of what it still has to give: offsets, in order. */
interface NaiveQueue {
  ready: number[]
  readonly held: { readonly tag: number; readonly offset: number }[]
}

const text = (value: string) => ({ type: 'text' as const, value: Buffer.from(value) })
const declared: Readonly<Record<Name, FieldTable>> = {
  orders: [],
  audit: [{ name: 'x-log', value: text('orders') }],
  europe: [
    { name: 'x-log', value: text('orders') },
    { name: 'x-filter-key', value: text('eu.#') },
  ],
  late: [
    { name: 'x-log', value: text('orders') },
    { name: 'x-start', value: text('next') },
  ],
}
const bounded: FieldTable = [{ name: 'x-expires', value: { type: 'int32', value: 1_000_000 } }]

/** What a deliberate break makes of the model. */
interface Breaks {
  readonly filter?: boolean
  readonly start?: boolean
  readonly acks?: boolean
  readonly rewinds?: boolean
}

class Walk {
  readonly world = testWorld()
  readonly store = new StubStore()
  readonly messages: Message[] = []
  readonly queues = new Map<Name, NaiveQueue>()
  readonly #isKafkas: boolean
  readonly #breaks: Breaks
  #broker!: Broker
  #session!: Session
  #channel!: Channel

  constructor(isKafkas: boolean, breaks: Breaks) {
    this.#isKafkas = isKafkas
    this.#breaks = breaks
  }

  async start(): Promise<void> {
    this.#broker = await openBroker(this.world, this.store, {})
    this.#session = this.#broker.session(testIdentity)
    this.#channel = this.#session.queues.openChannel({ hasRoom: true, deliver: () => {}, cancelled: () => {} })
  }

  async begin(): Promise<void> {
    await this.start()
    if (!this.#isKafkas) return void (await this.#declare('orders'))
    const topic = { name: 'orders', partitions: 1, replicationFactor: 1, settings: new Map() }
    await this.#session.createTopics([topic], false)
  }

  #takes(name: Name, at: number): boolean {
    return name !== 'europe' || this.#breaks.filter === true || this.messages[at].key.startsWith('eu')
  }

  #from(name: Name, at: number): number[] {
    const offsets = Array.from({ length: this.messages.length - at }, (_, index) => at + index)
    return offsets.filter((offset) => this.#takes(name, offset))
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'produce':
      case 'publish':
        return this.#store(step.kind, step.count, step.isEuropean ? 'eu.de' : 'us')
      case 'declare':
        return this.#declare(step.name)
      case 'delete':
        return this.#delete(step.name)
      case 'rewind':
        return this.#rewind(step.name, step.to)
      case 'crash':
        return this.#crash()
      default:
        return this.#use(step.kind, step.name)
    }
  }

  async #store(kind: 'produce' | 'publish', count: number, key: string): Promise<void> {
    const bodies = Array.from({ length: count }, (_, at) => `m${this.messages.length + at}`)
    if (kind === 'produce' || !this.queues.has('orders')) {
      // Without a key the routing key is the topic's name.
      const batch = testBatch(this.world.clock, { values: bodies })
      const produced = await this.#session.produce({ topic: { name: 'orders' }, partition: 0, batch, acks: -1 })
      expect(isRefusal(produced)).toBe(false)
      this.#stored(bodies, 'orders')
      return
    }
    const bound = { source: 'amq.direct', destination: 'orders', destinationKind: 'queue' as const, arguments: [] }
    await this.#session.queues.bind({ ...bound, routingKey: key })
    for (const body of bodies) {
      const bytes = Buffer.from(body)
      const message = { properties: noProperties, body: [bytes], bodyBytes: bytes.length }
      this.#channel.publish({ exchange: 'amq.direct', routingKey: key, ...message })
    }
    await turns(8)
    this.#stored(bodies, key)
  }

  #stored(bodies: readonly string[], key: string): void {
    for (const body of bodies) {
      this.messages.push({ body, key })
      const at = this.messages.length - 1
      for (const [name, queue] of this.queues) if (this.#takes(name, at)) queue.ready.push(at)
    }
  }

  async #declare(name: Name): Promise<void> {
    const call = { name, durable: true, exclusive: false, autoDelete: false }
    const needs = name !== 'orders' && !this.#isKafkas
    const args = needs ? [...declared[name], ...bounded] : declared[name]
    const outcome = await this.#session.queues.declareQueue({ ...call, arguments: args })
    expect(outcome).toMatchObject({ name })
    if (this.queues.has(name)) return
    const begins = name === 'late' && this.#breaks.start !== true ? this.messages.length : 0
    this.queues.set(name, { ready: this.#from(name, begins), held: [] })
  }

  async #delete(name: Name): Promise<void> {
    const isSource = name === 'orders' && !this.#isKafkas
    if (isSource && this.queues.size === 1) return
    const outcome = await this.#session.queues.deleteQueue(name, { ifUnused: false, ifEmpty: false })
    if (isSource) expect(outcome).toMatchObject({ refused: 'queueInUse' })
    else this.queues.delete(name)
  }

  async #rewind(name: Name, to: number): Promise<void> {
    const queue = this.queues.get(name)
    const place: RewindTo = to < 0 ? { kind: 'next' } : { kind: 'offset', offset: to }
    const rewound = await this.#session.queues.rewindQueue(name, place)
    expect(isRefusal(rewound)).toBe(queue === undefined)
    if (queue === undefined) return
    const at = to < 0 ? this.messages.length : Math.min(to, this.messages.length)
    expect(rewound).toEqual([{ partition: 0, offset: at, isCut: false }])
    if (this.#breaks.rewinds === true) return
    queue.ready = this.#from(name, at)
    // What is held is void: settling it changes nothing.
    for (const { tag } of queue.held.splice(0)) expect(this.#channel.reject(tag, false, true, false)).toBe(true)
  }

  async #use(kind: 'get' | 'getNoAck' | 'ack' | 'nack' | 'count', name: Name): Promise<void> {
    const queue = this.queues.get(name)
    if (queue === undefined) return
    if (kind === 'get' || kind === 'getNoAck') {
      const got = await this.#channel.get(name, kind === 'getNoAck')
      if (isRefusal(got)) throw new Error(got.why)
      const offset = queue.ready.shift()
      expect(got?.body.toString()).toBe(offset === undefined ? undefined : this.messages[offset].body)
      if (got !== undefined && offset !== undefined && kind === 'get') queue.held.push({ tag: got.tag, offset })
    } else {
      const held = queue.held.shift()
      if (held === undefined) return
      if (kind === 'ack') this.#channel.acknowledge(held.tag, false)
      else this.#channel.reject(held.tag, false, true, false)
      if (kind === 'nack' || this.#breaks.acks === true) this.#returns(queue, [held.offset])
    }
    await turns()
  }

  #returns(queue: NaiveQueue, offsets: readonly number[]): void {
    queue.ready = [...queue.ready, ...offsets].sort((one, other) => one - other)
  }

  async #crash(): Promise<void> {
    // What was acknowledged in the last milliseconds might come again.
    this.world.clock.advance(10)
    await turns(8)
    this.store.crash()
    await this.start()
    for (const queue of this.queues.values())
      this.#returns(
        queue,
        queue.held.splice(0).map(({ offset }) => offset),
      )
  }

  /** Each gives what it has left, once. */
  async judgeEnd(): Promise<void> {
    for (const [name, queue] of this.queues) {
      const left = queue.ready.length
      for (let at = 0; at <= left; at++) await this.#use('getNoAck', name)
    }
  }
}

async function walk(isKafkas: boolean, steps: readonly Step[], breaks: Breaks = {}): Promise<void> {
  const stage = new Walk(isKafkas, breaks)
  await stage.begin()
  for (const one of steps) await stage.take(one)
  await stage.judgeEnd()
}

const walks = fc.array(step, { minLength: 5, maxLength: 40 })

test('each queue gives each message that it takes once, in order, until it is settled', async () => {
  await fc.assert(
    fc.asyncProperty(fc.boolean(), walks, (isKafkas, steps) => walk(isKafkas, steps)),
    { numRuns: 60, seed: 5 },
  )
})

test.each([
  ['a filter takes all', { filter: true }],
  ['next is first', { start: true }],
  ['an ack settles nothing', { acks: true }],
  ['a rewind changes nothing', { rewinds: true }],
] as const)('the model turns red when %s', async (_, breaks) => {
  const outcome = await fc.check(
    fc.asyncProperty(fc.boolean(), walks, (isKafkas, steps) => walk(isKafkas, steps, breaks)),
    { numRuns: 60, seed: 5, endOnFailure: true },
  )
  expect(outcome.failed).toBe(true)
})
