// Random walks of a queue against a naive list: published, given out, settled, purged, refused by the disk, crashed.
// Promises: every delivery is judged when it happens; the model is shown to turn red on deliberate breaks.
// Does not know: limits, times to live (queue.test.ts), what Kafka's clients write.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { turns } from '../broker-world.contract.ts'
import { isRefusal } from '../errors.ts'
import type { CancelReason, Receipt } from '../queue-door.ts'
import type { QueueConsumer, StoredMessage } from './parts.ts'
import type { Queue } from './queue.ts'
import { QueueStage, testMessage } from './queue-stage.contract.ts'

const priorityMax = 2

type Step =
  | { readonly kind: 'publish'; readonly priorities: readonly number[]; readonly waits: boolean }
  | { readonly kind: 'refused'; readonly count: number }
  | { readonly kind: 'consumer'; readonly credit: number; readonly noAck: boolean; readonly priority: number }
  | { readonly kind: 'cancel' | 'credit'; readonly which: number }
  | { readonly kind: 'ack' | 'nack' | 'reject' | 'get' | 'getNoAck'; readonly which: number }
  | { readonly kind: 'purge' | 'crash' | 'hardCrash' | 'turn' }

const which = fc.nat(20)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      priorities: fc.array(fc.nat(priorityMax), { minLength: 1, maxLength: 6 }),
      waits: fc.boolean(),
    }),
  },
  fc.record({ kind: fc.constant('refused' as const), count: fc.integer({ min: 1, max: 3 }) }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('consumer' as const),
      credit: fc.integer({ min: 1, max: 5 }),
      noAck: fc.boolean(),
      priority: fc.nat(1),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('cancel' as const, 'credit' as const), which }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('ack' as const, 'nack' as const, 'reject' as const, 'get' as const, 'getNoAck' as const),
      which,
    }),
  },
  fc.record({ kind: fc.constantFrom('purge' as const, 'crash' as const, 'hardCrash' as const, 'turn' as const) }),
)

interface Entry {
  readonly body: string
  readonly priority: number
  receipt: Receipt | undefined
  state: 'pending' | 'ready' | 'acquired' | 'closed'
  wasHandedOut: 'no' | 'yes' | 'maybe'
  offset: number
}

/** The queue as a list. */
class Model {
  entries: Entry[] = []

  publish(body: string, priority: number, receipt: Receipt): void {
    this.entries.push({ body, priority, receipt, state: 'pending', wasHandedOut: 'no', offset: -1 })
  }

  /** Everything of the same append is there at once. */
  committed(receipt: Receipt | undefined): void {
    for (const entry of this.entries) if (entry.state === 'pending' && entry.receipt === receipt) entry.state = 'ready'
  }

  in(state: Entry['state']): Entry[] {
    return this.entries.filter((entry) => entry.state === state)
  }

  /** The next one: of the highest priority, the oldest. */
  next(): Entry | undefined {
    let next: Entry | undefined
    for (const entry of this.in('ready')) if (next === undefined || entry.priority > next.priority) next = entry
    return next
  }

  givenOut(
    { body, offset, redelivered }: { body: string; offset: number; redelivered: boolean },
    noAck: boolean,
  ): void {
    const given = this.entries.find((entry) => entry.body === body)
    if (given?.state === 'pending') this.committed(given.receipt)
    const expected = this.next()
    expect(body).toBe(expected?.body)
    if (expected === undefined) return
    if (expected.wasHandedOut !== 'maybe') expect(redelivered, body).toBe(expected.wasHandedOut === 'yes')
    expected.state = noAck ? 'closed' : 'acquired'
    expected.wasHandedOut = 'yes'
    expected.offset = offset
  }

  /** What is acquired is ready again; what else was handed out the queue may say of more than it knows. */
  crashed(): void {
    this.entries = this.entries.filter(({ state }) => state !== 'pending')
    for (const entry of this.entries) {
      if (entry.state === 'acquired') entry.state = 'ready'
      if (entry.wasHandedOut === 'no') entry.wasHandedOut = 'maybe'
    }
  }
}

class Taker implements QueueConsumer {
  readonly tag = 'tag'
  readonly isExclusive = false
  readonly arguments = []
  readonly prefetch = 0
  readonly noAck: boolean
  readonly priority: number
  credit: number
  readonly #model: Model
  readonly #isOver: () => boolean

  constructor(model: Model, isOver: () => boolean, given: { credit: number; noAck: boolean; priority: number }) {
    this.#model = model
    this.#isOver = isOver
    this.credit = given.credit
    this.noAck = given.noAck
    this.priority = given.priority
  }

  get canTake(): boolean {
    return this.credit > 0 && !this.#isOver()
  }

  deliver({ body, offset, redelivered }: StoredMessage): void {
    this.credit--
    this.#model.givenOut({ body: body.toString(), offset, redelivered }, this.noAck)
  }

  cancelled(_reason: CancelReason): void {
    throw new Error('nobody is cancelled here')
  }
}

/** What a deliberate break does to a queue before it is used. */
type Break = (queue: Queue) => void

class Run {
  readonly model = new Model()
  readonly #break: Break
  #stage!: QueueStage
  #queue!: Queue
  #consumers: Taker[] = []
  #published = 0
  #lives = 0

  constructor(broken: Break) {
    this.#break = broken
  }

  async start(readsLate: boolean): Promise<void> {
    this.#stage = await QueueStage.open()
    await this.#open()
    const log = this.#stage.partitions.of(this.#queue.topic, 0)!.log!
    if (!readsLate) return
    // As from a disk: every second read is there a turn later.
    const read = log.read.bind(log)
    let reads = 0
    log.read = (from, bytesMax, below) => {
      const batches = read(from, bytesMax, below)
      return reads++ % 2 === 0 ? batches : turns(1).then(() => batches)
    }
  }

  async #open(): Promise<void> {
    this.#consumers = []
    this.#queue = await this.#stage.queue('q', { priorityMax })
    this.#break(this.#queue)
  }

  async step(step: Step): Promise<void> {
    switch (step.kind) {
      case 'publish':
        for (const priority of step.priorities) this.#publish(priority)
        if (step.waits) await this.#settled()
        return
      case 'refused':
        return this.#refused(step.count)
      case 'consumer': {
        const life = this.#lives
        const consumer = new Taker(this.model, () => life !== this.#lives, step)
        expect(this.#queue.consume(consumer)).toBeUndefined()
        this.#consumers.push(consumer)
        return this.#queue.resume()
      }
      case 'cancel':
        for (const consumer of this.#consumers.splice(step.which % (this.#consumers.length + 1), 1))
          this.#queue.cancel(consumer)
        return
      case 'credit': {
        const consumer = this.#consumers.at(step.which % Math.max(1, this.#consumers.length))
        if (consumer !== undefined) consumer.credit += 3
        return this.#queue.resume()
      }
      case 'ack':
      case 'nack':
      case 'reject':
        return this.#settle(step.kind, step.which)
      case 'get':
      case 'getNoAck':
        return this.#get(step.kind === 'getNoAck')
      case 'purge':
        return this.#purge()
      case 'crash':
        await this.#settled()
        await this.#stage.settle()
        return this.#crash()
      case 'hardCrash':
        return this.#hardCrash()
      case 'turn':
        return turns(1)
    }
  }

  #publish(priority: number): void {
    const body = `m${this.#published++}`
    const receipt = this.#queue.add(testMessage(body, { priority }))
    if (isRefusal(receipt)) throw new Error(receipt.why)
    this.model.publish(body, priority, receipt)
  }

  async #refused(count: number): Promise<void> {
    await this.#settled()
    // The ledger has nothing on its way that would be refused too.
    await this.#stage.settle()
    const credits = this.#consumers.map((consumer) => consumer.credit)
    for (const consumer of this.#consumers) consumer.credit = 0
    this.#stage.store.manual = true
    const receipts = Array.from({ length: count }, () => this.#queue.add(testMessage('never')))
    await turns(2)
    this.#stage.store.fail('full')
    this.#stage.store.manual = false
    await turns(4)
    for (const receipt of receipts) expect(isRefusal(receipt) ? '' : receipt.state).toBe('refused')
    for (const [index, consumer] of this.#consumers.entries()) consumer.credit = credits[index]
    this.#queue.resume()
  }

  #settle(how: 'ack' | 'nack' | 'reject', which: number): void {
    const acquired = this.model.in('acquired')
    const entry = acquired.at(which % Math.max(1, acquired.length))
    if (entry === undefined) return
    entry.state = how === 'nack' ? 'ready' : 'closed'
    if (how === 'ack') this.#queue.lanes[0].acknowledge(entry.offset)
    else if (how === 'nack') this.#queue.lanes[0].giveBack(entry.offset, true)
    else this.#queue.lanes[0].reject(entry.offset)
  }

  async #get(noAck: boolean): Promise<void> {
    await this.#settled()
    const message = await this.#queue.take(noAck)
    if (isRefusal(message)) throw new Error(message.why)
    if (message === undefined) expect(this.model.next()).toBeUndefined()
    else this.model.givenOut({ ...message, body: message.body.toString() }, noAck)
  }

  async #purge(): Promise<void> {
    await this.#settled()
    const ready = this.model.in('ready')
    for (const entry of ready) entry.state = 'closed'
    expect(await this.#queue.purge()).toBe(ready.length)
  }

  async #crash(): Promise<void> {
    this.#lives++
    await this.#stage.crash()
    this.model.crashed()
    await this.#open()
  }

  /** Nothing of what happens from now on to the crash reaches the disk. */
  async #hardCrash(): Promise<void> {
    await this.#settled()
    await this.#stage.settle()
    this.#stage.store.manual = true
    const before = new Map(this.model.entries.map((entry) => [entry, entry.state]))
    this.#publish(0)
    this.#settle('ack', 0)
    this.#settle('reject', 1)
    await turns(2)
    for (const [entry, state] of before) {
      if (entry.state === 'closed' && state === 'acquired') entry.state = 'acquired'
      else if (entry.state === 'closed' && state === 'ready') entry.state = 'ready'
      // Its mark may be lost with the rest.
      if (entry.wasHandedOut === 'yes' && state === 'ready') entry.wasHandedOut = 'maybe'
    }
    await this.#crash()
    this.#stage.store.manual = false
  }

  /** Everything published is stored and given out as far as anybody can take. */
  async #settled(): Promise<void> {
    await this.#queue.settled()
    for (const entry of this.model.in('pending')) this.model.committed(entry.receipt)
    await turns(6)
  }

  async check(): Promise<void> {
    await this.#settled()
    expect(this.#queue.messages).toBe(this.model.in('ready').length)
    expect(this.#queue.unacknowledged).toBe(this.model.in('acquired').length)
    if (this.#consumers.some(({ canTake }) => canTake)) expect(this.model.in('ready')).toEqual([])
  }

  /** What is left comes out in order. */
  async drain(): Promise<void> {
    for (let left = this.model.in('ready').length; left > 0; left--) await this.#get(true)
    expect(this.#queue.messages).toBe(0)
  }
}

async function play(steps: readonly Step[], readsLate: boolean, broken: Break = () => undefined): Promise<void> {
  const run = new Run(broken)
  await run.start(readsLate)
  for (const one of steps) {
    await run.step(one)
    if (one.kind !== 'publish') await run.check()
  }
  await run.check()
  await run.drain()
}

const steps = fc.array(step, { maxLength: 30 })

test('a queue is a list, whatever happens to it', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), (run, readsLate) => play(run, readsLate)),
    { numRuns: 200 },
  )
})

const breaks: readonly (readonly [string, Break])[] = [
  [
    'what is rejected comes back',
    (queue) => {
      queue.lanes[0].reject = (offset) => queue.lanes[0].giveBack(offset, true)
    },
  ],
  [
    'what is given back is forgotten',
    (queue) => {
      queue.lanes[0].giveBack = (offset) => queue.lanes[0].acknowledge(offset)
    },
  ],
  [
    'a purge takes what is handed out too',
    (queue) => {
      const purge = queue.purge.bind(queue)
      queue.purge = async () => {
        const purged = await purge()
        for (let offset = 0; offset < 100; offset++) queue.lanes[0].acknowledge(offset)
        return purged
      }
    },
  ],
  [
    'priorities are not told',
    (queue) => {
      const add = queue.add.bind(queue)
      queue.add = (message) => add({ ...message, properties: Buffer.alloc(2) })
    },
  ],
  [
    'a receipt is given before the commit',
    (queue) => {
      const add = queue.add.bind(queue)
      queue.add = (message) => {
        add(message)
        return { state: 'stored', whenSettled: (done) => queueMicrotask(done) }
      }
    },
  ],
  [
    'an acknowledgement is not written',
    (queue) => {
      queue.lanes[0].acknowledge = () => undefined
    },
  ],
  [
    'no-ack messages stay',
    (queue) => {
      const consume = queue.consume.bind(queue)
      queue.consume = (consumer) =>
        consume(
          Object.create(consumer, {
            noAck: { value: false },
            canTake: { get: () => consumer.canTake },
            deliver: { value: (message: StoredMessage) => consumer.deliver(message) },
          }) as QueueConsumer,
        )
    },
  ],
]

test.each(breaks)('the model turns red when %s', async (_, broken) => {
  const found = await fc.check(
    fc.asyncProperty(steps, (run) => play(run, false, broken)),
    { numRuns: 300, seed: 7, endOnFailure: true },
  )
  expect(found.failed).toBe(true)
})
