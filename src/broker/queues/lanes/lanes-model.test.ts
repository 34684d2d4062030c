// Random walks of a queue with several lanes: published with keys and without, given out, settled, grown, crashed.
// Promises: each message is first delivered once, those of a lane and of a key in their order; the model is shown to turn
// red on deliberate breaks.
// Does not know: what one lane does by itself (queue-model.test.ts), limits, times to live.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { partitionOfKey } from '../../../base/murmur2.ts'
import { turns } from '../../broker-world.contract.ts'
import { isRefusal } from '../../errors.ts'
import type { CancelReason } from '../../queue-door.ts'
import type { LanePart, QueueConsumer, StoredMessage } from '../parts.ts'
import type { Queue } from '../queue.ts'
import { QueueStage, testMessage } from '../queue-stage.contract.ts'

type Step =
  | { readonly kind: 'publish'; readonly keys: readonly string[] }
  | { readonly kind: 'consumer'; readonly credit: number; readonly noAck: boolean }
  | { readonly kind: 'credit' | 'cancel' | 'ack' | 'nack' | 'reject'; readonly which: number }
  | { readonly kind: 'get' | 'purge' | 'grow' | 'crash' }

const which = fc.nat(20)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      keys: fc.array(fc.constantFrom('', 'a', 'b', 'c', 'd', 'e'), { minLength: 1, maxLength: 12 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('consumer' as const),
      credit: fc.integer({ min: 1, max: 9 }),
      noAck: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom('credit' as const, 'cancel' as const, 'ack' as const, 'nack' as const, 'reject' as const),
      which,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('get' as const, 'get' as const, 'purge' as const, 'grow' as const, 'crash' as const),
    }),
  },
)

interface Entry {
  readonly body: string
  readonly key: string
  /** Where its key put it; undefined: it has none. */
  readonly partition: number | undefined
  state: 'ready' | 'acquired' | 'closed'
  wasHandedOut: 'no' | 'yes' | 'maybe'
  /** Once given out. */
  place: { readonly lane: LanePart; readonly partition: number; readonly offset: number } | undefined
}

class Model {
  readonly byBody = new Map<string, Entry>()

  those(state: Entry['state']): Entry[] {
    return [...this.byBody.values()].filter((entry) => entry.state === state)
  }

  givenOut({ lane, offset, body, redelivered }: StoredMessage, noAck: boolean): void {
    const entry = this.byBody.get(body.toString())
    if (entry === undefined) throw new Error(`nobody published ${body.toString()}`)
    expect(entry.state, entry.body).toBe('ready')
    const { partition } = lane
    if (entry.partition !== undefined) expect(partition, entry.body).toBe(entry.partition)
    if (entry.wasHandedOut !== 'maybe') expect(redelivered, entry.body).toBe(entry.wasHandedOut === 'yes')
    if (entry.place === undefined) this.#first(entry, partition, offset)
    else expect(entry.place).toMatchObject({ partition, offset })
    // What came back goes out before what stands behind it.
    for (const { place, body: other } of this.those('ready'))
      if (place?.partition === partition) expect(place.offset, other).toBeGreaterThanOrEqual(offset)
    entry.place = { lane, partition, offset }
    entry.state = noAck ? 'closed' : 'acquired'
    entry.wasHandedOut = 'yes'
  }

  /** Behind all of its lane that was given out before, and before all of its key in that lane that was published later. */
  #first(entry: Entry, partition: number, offset: number): void {
    let isBehind = true
    for (const other of this.byBody.values()) {
      if (other === entry) isBehind = false
      else if (other.place?.partition === partition) {
        expect(other.place.offset, `${other.body} was before ${entry.body}`).toBeLessThan(offset)
        if (entry.key !== '' && other.key === entry.key) expect(isBehind, `${other.body} ${entry.body}`).toBe(true)
      }
    }
  }

  crashed(): void {
    for (const entry of this.byBody.values()) {
      if (entry.state === 'acquired') entry.state = 'ready'
      if (entry.wasHandedOut === 'no') entry.wasHandedOut = 'maybe'
    }
  }
}

class Taker implements QueueConsumer {
  readonly tag = 'tag'
  readonly priority = 0
  readonly isExclusive = false
  readonly arguments = []
  readonly prefetch = 0
  readonly noAck: boolean
  credit: number
  readonly #deliver: (message: StoredMessage, noAck: boolean) => void

  constructor(credit: number, noAck: boolean, deliver: (message: StoredMessage, noAck: boolean) => void) {
    this.credit = credit
    this.noAck = noAck
    this.#deliver = deliver
  }

  get canTake(): boolean {
    return this.credit > 0
  }

  deliver(message: StoredMessage): void {
    this.credit--
    this.#deliver(message, this.noAck)
  }

  cancelled(reason: CancelReason): void {
    throw new Error(`nobody ends it: ${reason}`)
  }
}

type Break = (queue: Queue) => void

class Run {
  readonly model = new Model()
  #stage!: QueueStage
  #queue!: Queue
  #consumers: Taker[] = []
  #partitions = 3
  #published = 0
  /** What went wrong where nobody catches it. */
  #failure: unknown
  readonly #break: Break

  constructor(broken: Break) {
    this.#break = broken
  }

  async start(): Promise<void> {
    this.#stage = await QueueStage.open()
    this.#stage.partitionsOf.set('q', this.#partitions)
    await this.#open()
  }

  async #open(): Promise<void> {
    this.#consumers = []
    this.#queue = await this.#stage.queue('q')
    this.#break(this.#queue)
  }

  async step(one: Step): Promise<void> {
    switch (one.kind) {
      case 'publish':
        for (const key of one.keys) this.#publish(key)
        return
      case 'consumer': {
        const consumer = new Taker(one.credit, one.noAck, (message, noAck) => this.#given(message, noAck))
        expect(this.#queue.consume(consumer)).toBeUndefined()
        this.#consumers.push(consumer)
        return this.#queue.resume()
      }
      case 'cancel':
        for (const consumer of this.#consumers.splice(one.which % (this.#consumers.length + 1), 1))
          this.#queue.cancel(consumer)
        return
      case 'credit': {
        const consumer = this.#consumers.at(one.which % Math.max(1, this.#consumers.length))
        if (consumer !== undefined) consumer.credit += 5
        return this.#queue.resume()
      }
      case 'ack':
      case 'nack':
      case 'reject':
        return this.#settle(one.kind, one.which)
      case 'get':
        return void (await this.#get())
      case 'purge': {
        const ready = this.model.those('ready')
        for (const entry of ready) entry.state = 'closed'
        expect(await this.#queue.purge()).toBe(ready.length)
        return
      }
      case 'grow':
        this.#partitions++
        return this.#stage.grow('q', this.#partitions)
      case 'crash':
        await this.#stage.settle()
        // The queue of that life still sees the stub's logs.
        for (const consumer of this.#consumers) consumer.credit = 0
        await this.#stage.crash()
        this.model.crashed()
        return this.#open()
    }
  }

  #publish(key: string): void {
    const body = `${key}${this.#published++}`
    const headers = [{ name: 'x-key', value: { type: 'text', value: Buffer.from(key) } as const }]
    const receipt = this.#queue.add(testMessage(body, key === '' ? {} : { headers }))
    if (isRefusal(receipt)) throw new Error(receipt.why)
    const partition = key === '' ? undefined : partitionOfKey(Buffer.from(key), this.#partitions)
    this.model.byBody.set(body, { body, key, partition, state: 'ready', wasHandedOut: 'no', place: undefined })
  }

  #given(message: StoredMessage, noAck: boolean): void {
    try {
      this.model.givenOut(message, noAck)
    } catch (error) {
      this.#failure ??= error
    }
  }

  #settle(how: 'ack' | 'nack' | 'reject', pick: number): void {
    const acquired = this.model.those('acquired')
    const entry = acquired.at(pick % Math.max(1, acquired.length))
    if (entry?.place === undefined) return
    const { lane, offset } = entry.place
    entry.state = how === 'nack' ? 'ready' : 'closed'
    if (how === 'ack') lane.acknowledge(offset)
    else if (how === 'nack') lane.giveBack(offset, true)
    else lane.reject(offset)
  }

  async #get(): Promise<boolean> {
    const message = await this.#queue.take(false)
    if (isRefusal(message)) throw new Error(message.why)
    if (message === undefined) expect(this.model.those('ready')).toEqual([])
    else this.model.givenOut(message, false)
    return message !== undefined
  }

  async check(): Promise<void> {
    await this.#queue.settled()
    await turns(6)
    if (this.#failure !== undefined) throw this.#failure as Error
    expect(this.#queue.messages).toBe(this.model.those('ready').length)
    expect(this.#queue.unacknowledged).toBe(this.model.those('acquired').length)
    if (this.#consumers.some(({ canTake }) => canTake)) expect(this.model.those('ready')).toEqual([])
  }

  /** What is left comes out, and nothing else. */
  async drain(): Promise<void> {
    while (await this.#get());
    expect(this.#queue.messages).toBe(0)
  }
}

async function play(steps: readonly Step[], broken: Break = () => undefined): Promise<void> {
  const run = new Run(broken)
  await run.start()
  for (const one of steps) {
    await run.step(one)
    await run.check()
  }
  await run.drain()
}

const steps = fc.array(step, { maxLength: 30 })

test('whatever happens: one first delivery each, in the order of its lane', async () => {
  await fc.assert(
    fc.asyncProperty(steps, (run) => play(run)),
    { numRuns: 150 },
  )
})

const breaks: readonly (readonly [string, Break])[] = [
  [
    'keys are not looked at',
    (queue) => {
      const add = queue.add.bind(queue)
      queue.add = (message) => add({ ...message, properties: Buffer.alloc(2) })
    },
  ],
  [
    'a lane settles for another',
    (queue) => {
      const [first, second, third] = queue.lanes.map((lane) => lane.acknowledge.bind(lane))
      const others = [second, third, first]
      for (const [index, other] of others.entries()) queue.lanes[index].acknowledge = other
    },
  ],
  [
    'what comes back to a lane is not given out again',
    (queue) => {
      for (const lane of queue.lanes) lane.giveBack = (offset) => lane.acknowledge(offset)
    },
  ],
  [
    'a message is stored in two lanes',
    (queue) => {
      const add = queue.add.bind(queue)
      queue.add = (message) => {
        queue.lanes[1].log.add(message, 0, undefined)
        return add(message)
      }
    },
  ],
  [
    'a purge forgets a lane',
    (queue) => {
      const purge = queue.purge.bind(queue)
      queue.purge = () => {
        queue.lanes[2].rules.purge = () => 0
        return purge()
      }
    },
  ],
  [
    'one gets only of the first lane',
    (queue) => {
      queue.take = (noAck) => queue.lanes[0].dispatch.take(noAck)
    },
  ],
]

test.each(breaks)('the test is red when %s', async (_, broken) => {
  const outcome = await fc.check(
    fc.asyncProperty(steps, (run) => play(run, broken)),
    { numRuns: 300, seed: 17, endOnFailure: true },
  )
  expect(outcome.failed).toBe(true)
})
