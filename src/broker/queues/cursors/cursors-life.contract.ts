// One life of an exchange of type x-log: records produced and published, bindings, queues and the exchange itself that come
// and go, appends refused, and the process killed in the middle of any append; at the end what was copied is compared with
// the topic's log.
// Promises: a seed is a whole story; the logs themselves are the witnesses, not what the broker says of them.
// Does not know: how cursors work.

import { expect } from 'vitest'
import { seeded } from '../../../../test/fault-disk.ts'
import { fieldTable, textField } from '../../../base/fields.ts'
import { noProperties } from '../../../base/properties.ts'
import type { World } from '../../../base/world.ts'
import { batchHeadBytes, forEachBatch } from '../../../log/batch.ts'
import { RecordCursor } from '../../../log/records.ts'
import { AppendFailure, type AppendEntry, type LogId, type Store } from '../../../log/store.ts'
import { machineLogId } from '../../../log/machine.ts'
import { openBroker, type Broker } from '../../broker.ts'
import { testBatch, testIdentity, testWorld, turns, type TestWorld } from '../../broker-world.contract.ts'
import type { Session } from '../../door.ts'
import { isRefusal } from '../../errors.ts'
import type { BindCall } from '../../queue-door.ts'
import { StubStore } from '../../stub-store.contract.ts'

/** Ways to be wrong, which a life must notice. */
export interface Wrong {
  /** Which of a killed append's logs are written all the same, though the append is one. */
  readonly half?: (entry: AppendEntry) => boolean
  /** What a binding is asked for, instead of what the model thinks. */
  readonly bind?: (call: BindCall) => BindCall
}

const source = 'orders'
const partitions = 2
const queues = ['all', 'eu', 'late'] as const
type QueueName = (typeof queues)[number]
const patterns: Readonly<Record<QueueName, string>> = { all: '#', eu: 'eu.*', late: '*.paid' }
const wants: Readonly<Record<QueueName, (key: string) => boolean>> = {
  all: () => true,
  eu: (key) => /^eu\.[a-z]+$/.test(key),
  late: (key) => /^[a-z]+\.paid$/.test(key),
}
const keys = ['eu.new', 'eu.paid', 'us.new', 'us.paid', 'nowhere']

/** What one queue should hold: what it held when it was unbound, and since then what its binding copies. */
interface Expected {
  /** By partition: offsets from which on the binding copies; undefined: it is not bound. */
  starts: readonly number[] | undefined
  /** How many messages it held when it was bound. */
  before: number
}

/** When the process is killed: during the append of this number from now on. */
interface Kill {
  inAppends: number
  readonly isCommitted: boolean
}

export class Life {
  readonly random: () => number
  readonly store = new StubStore()
  readonly #wrong: Wrong
  readonly #expected = new Map<QueueName, Expected>()
  #kill: Kill | undefined
  /** The append of this number from now on is refused; 0: none is. */
  #refuseInAppends = 0
  #isDead = { dead: false }
  #world: TestWorld | undefined
  #broker: Broker | undefined
  #session!: Session
  #made = 0
  readonly #ids = new Map<string, string>()

  constructor(seed: number, wrong: Wrong = {}) {
    this.random = seeded(seed)
    this.#wrong = wrong
    for (const queue of queues) this.#expected.set(queue, { starts: undefined, before: 0 })
  }

  int(below: number): number {
    return Math.floor(this.random() * below)
  }

  // --- the process ---

  async open(): Promise<void> {
    const life = { dead: false }
    this.#isDead = life
    const world = testWorld((this.#world?.clock.nowMs() ?? 1_700_000_000_000) + 1)
    const { clock } = world
    // Nothing of a dead program runs any more.
    const mortal: World['clock'] = {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      after: (delayMs, task) => clock.after(delayMs, () => life.dead || task()),
      endOfTurn: (task) => clock.endOfTurn(() => life.dead || task()),
    }
    this.#world = world
    const { store } = this
    const living: Store = {
      list: () => store.list(),
      create: (logs) => store.create(logs),
      open: (id, settings, endAtLeast) => store.open(id, settings, endAtLeast),
      delete: (ids) => (life.dead ? never() : store.delete(ids)),
      append: (entries) => (life.dead ? never() : this.#append(entries)),
      usage: () => store.usage(),
      bytesOf: (id) => store.bytesOf(id),
      close: () => store.close(),
    }
    this.#broker = await openBroker({ ...world, clock: mortal }, living, {})
    this.#session = this.#broker.session(testIdentity)
  }

  #append(entries: readonly AppendEntry[]): Promise<void> {
    if (this.#refuseInAppends > 0 && --this.#refuseInAppends === 0)
      return Promise.reject(new AppendFailure('full', 'the test said full'))
    const kill = this.#kill
    if (kill === undefined || --kill.inAppends > 0) return this.store.append(entries)
    this.#kill = undefined
    this.#isDead.dead = true
    const { half } = this.#wrong
    const written = half !== undefined && entries.length > 1 ? entries.filter(half) : kill.isCommitted ? entries : []
    if (written.length > 0) this.store.append(written).catch(() => undefined)
    return never()
  }

  /** Ends the process if it is not dead yet, and begins anew. */
  async restart(): Promise<void> {
    await turns(4)
    this.#isDead.dead = true
    this.#kill = undefined
    this.#refuseInAppends = 0
    this.store.crash()
    await this.open()
    await this.idle()
  }

  /** Until nothing is under way, retries included. False: the process was killed meanwhile. */
  async idle(): Promise<boolean> {
    for (let round = 0; round < 3; round++) {
      await turns(12)
      this.#world?.clock.advance(2500)
    }
    await turns(12)
    return !this.#isDead.dead
  }

  // --- what is done ---

  async begin(): Promise<void> {
    await this.open()
    const wanted = { name: source, partitions, replicationFactor: 1, settings: new Map<string, string>() }
    await this.#session.createTopics([wanted], false)
    await this.#declareExchange()
    for (const name of queues) await this.#declareQueue(name)
  }

  /** Until it is there: the process may die meanwhile. */
  async #declareExchange(): Promise<void> {
    const exchange = { name: source, type: 'x-log', durable: true, autoDelete: false, internal: false, arguments: [] }
    while (!this.#isExchange) await this.do(() => this.#session.queues.declareExchange(exchange))
  }

  async #declareQueue(name: QueueName): Promise<void> {
    const wanted = { name, durable: true, exclusive: false, autoDelete: false, arguments: [] }
    while (!this.#isTopic(name)) await this.do(() => this.#session.queues.declareQueue(wanted))
  }

  /** Does the call; if the process is killed meanwhile it is begun anew. */
  async do(call: () => Promise<unknown>): Promise<void> {
    await Promise.race([call().catch(() => undefined), this.idle().then(() => undefined)])
    if (!(await this.idle())) await this.restart()
  }

  killSoon(): void {
    this.#kill = { inAppends: 1 + this.int(6), isCommitted: this.random() < 0.5 }
  }

  refuseSoon(): void {
    this.#refuseInAppends = 1 + this.int(6)
  }

  produce(): Promise<unknown> {
    const values = Array.from({ length: 1 + this.int(5) }, () => this.#value())
    const partition = this.int(partitions)
    return this.#session.produce({
      topic: { name: source },
      partition,
      batch: testBatch(this.#clock, { values, keys: values.map((value) => this.#keyOf(value)) }),
      acks: -1,
    })
  }

  async publish(): Promise<unknown> {
    const channel = this.#session.queues.openChannel({
      hasRoom: true,
      deliver: () => undefined,
      cancelled: () => undefined,
    })
    const value = this.#value()
    const body = Buffer.from(value)
    return channel.publish({
      exchange: source,
      routingKey: this.#keyOf(value),
      properties: noProperties,
      body: [body],
      bodyBytes: body.length,
    })
  }

  /** Whether it was bound says the topology: when the process dies meanwhile nobody is told. */
  async bind(queue: QueueName): Promise<void> {
    const expected = this.#expectedOf(queue)
    if (expected.starts !== undefined) return
    const isFromFirst = this.random() < 0.5
    const starts = this.#sourceLogs().map((values) => (isFromFirst ? 0 : values.length))
    expected.before = this.#valuesIn(queue, 0).length
    const call = this.#binding(queue, isFromFirst)
    await this.do(() => this.#session.queues.bind(this.#wrong.bind?.(call) ?? call))
    if (this.#isBound(queue)) expected.starts = starts
  }

  async unbind(queue: QueueName): Promise<void> {
    const expected = this.#expectedOf(queue)
    for (const isFromFirst of [true, false])
      await this.do(() => this.#session.queues.unbind(this.#binding(queue, isFromFirst)))
    if (this.#isBound(queue) || expected.starts === undefined) return
    this.#judgeQueue(queue, expected, false)
    expected.starts = undefined
  }

  /** Its binding goes with it, or both stay. */
  async deleteQueue(queue: QueueName): Promise<void> {
    await this.do(() => this.#session.queues.deleteQueue(queue, { ifUnused: false, ifEmpty: false }))
    if (this.#isTopic(queue)) return
    expect(this.#isBound(queue)).toBe(false)
    this.#expected.set(queue, { starts: undefined, before: 0 })
    await this.#declareQueue(queue)
  }

  /** All bindings go with it, or all stay; the topic, which a Kafka client made, stays. */
  async deleteExchange(): Promise<void> {
    await this.do(() => this.#session.queues.deleteExchange(source, false))
    if (this.#isExchange) return
    for (const [queue, expected] of this.#expected) {
      expect(this.#isBound(queue)).toBe(false)
      if (expected.starts !== undefined) this.#judgeQueue(queue, expected, false)
      expected.starts = undefined
    }
    await this.#declareExchange()
  }

  #expectedOf(queue: QueueName): Expected {
    return this.#expected.get(queue) as Expected
  }

  #binding(queue: QueueName, isFromFirst: boolean): BindCall {
    return {
      source,
      destination: queue,
      destinationKind: 'queue',
      routingKey: patterns[queue],
      arguments: isFromFirst ? fieldTable({ 'x-stream-offset': textField('first') }) : [],
    }
  }

  get #clock(): TestWorld['clock'] {
    return (this.#world as TestWorld).clock
  }

  #value(): string {
    return `${this.#made++}`
  }

  #keyOf(value: string): string {
    let key = this.#ids.get(value)
    if (key === undefined) this.#ids.set(value, (key = keys[this.int(keys.length)]))
    return key
  }

  // --- what is so ---

  #isBound(queue: QueueName): boolean {
    const bindings = this.#session.queues.listBindings()
    if (isRefusal(bindings)) throw new Error(bindings.why)
    return bindings.some(({ destination }) => destination === queue)
  }

  get #isExchange(): boolean {
    return this.#session.queues.checkExchange(source) === true
  }

  #isTopic(name: string): boolean {
    const described = this.#session.listTopics()
    if (isRefusal(described)) throw new Error(described.why)
    return described.some((one) => one.name === name)
  }

  judge(): void {
    for (const [queue, expected] of this.#expected) {
      expect(this.#isBound(queue), `${queue} is bound`).toBe(expected.starts !== undefined)
      if (expected.starts !== undefined) this.#judgeQueue(queue, expected, true)
    }
  }

  /** What the binding copied is what it wants, each once, in the order of each partition; all of it if `isWhole`. */
  #judgeQueue(queue: QueueName, { starts, before }: Expected, isWhole: boolean): void {
    const copied = this.#valuesIn(queue, 0).slice(before)
    for (const [partition, values] of this.#sourceLogs().entries()) {
      const wanted = values.slice(starts?.[partition] ?? 0).filter((value) => wants[queue](this.#keyOf(value)))
      const here = new Set(values)
      const mine = copied.filter((value) => here.has(value))
      expect(mine, `${queue} of partition ${partition}`).toEqual(isWhole ? wanted : wanted.slice(0, mine.length))
    }
  }

  #sourceLogs(): string[][] {
    return Array.from({ length: partitions }, (_, index) => this.#valuesIn(source, index))
  }

  /** Values of all that is committed, in the log's order. */
  #valuesIn(topic: string, partition: number): string[] {
    const described = this.#session.listTopics()
    if (isRefusal(described)) throw new Error(described.why)
    const found = described.find(({ name }) => name === topic)
    const log = this.store.logs.get(`${found?.id}-${partition}` as LogId)
    const values: string[] = []
    for (const { bytes, next } of log?.everything ?? []) {
      if (next > (log?.committed ?? 0)) continue
      forEachBatch(bytes, (head, at) => {
        const cursor = new RecordCursor(bytes.subarray(at + batchHeadBytes, at + head.bytes))
        while (cursor.next()) values.push(cursor.value?.toString() ?? '')
      })
    }
    return values
  }
}

const never = (): Promise<never> => new Promise(() => undefined)

export const isMachineLog = ({ log }: AppendEntry): boolean => log.id === machineLogId

/** A whole story, judged. */
export async function life(seed: number, wrong: Wrong = {}): Promise<void> {
  const one = new Life(seed, wrong)
  await one.begin()
  for (let step = 0; step < 14; step++) {
    const what = one.random()
    const queue = queues[one.int(queues.length)]
    if (one.random() < 0.4) one.killSoon()
    else if (one.random() < 0.3) one.refuseSoon()
    if (what < 0.35) await one.do(() => one.produce())
    else if (what < 0.5) await one.do(() => one.publish())
    else if (what < 0.8) await one.bind(queue)
    else if (what < 0.88) await one.unbind(queue)
    else if (what < 0.95) await one.deleteQueue(queue)
    else await one.deleteExchange()
  }
  await one.restart()
  await one.idle()
  one.judge()
}
