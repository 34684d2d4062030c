// One life of a name that is a topic and a queue: Kafka's calls and AMQP's at random through the door, restarts, killed
// processes and power cuts, beside a naive model of what was promised.
// Promises: a seed is a whole story; what the model cannot know (unanswered, unsynced) it does not judge.
// Does not know: how anything is stored; priorities, delays.

import { expect } from 'vitest'
import { FaultDisk, seeded } from '../../test/fault-disk.ts'
import { fieldInteger, findField, int32Field } from '../base/fields.ts'
import { noProperties, readProperties } from '../base/properties.ts'
import type { World } from '../base/world.ts'
import { openLocalStore, type LocalStore } from '../engines/local/local-store.ts'
import { batchHeadBytes, compressionOf, forEachBatch } from '../log/batch.ts'
import { inflate } from '../log/compression.ts'
import { RecordCursor } from '../log/records.ts'
import { openBroker, type Broker } from './broker.ts'
import { testBatch, testIdentity, testWorld, turns, type TestWorld } from './broker-world.contract.ts'
import type { Session } from './door.ts'
import { isRefusal } from './errors.ts'
import type { Channel, ChannelSink, Delivery } from './queue-door.ts'

/** Ways to be wrong, which a life must notice. */
export interface Wrong {
  session?(session: Session): void
  channel?(channel: Channel): void
  sink?(sink: ChannelSink): ChannelSink
  readonly diskLies?: boolean
}

interface Place {
  readonly partition: number
  readonly offset: number
}

const placeText = ({ partition, offset }: Place): string => `${partition} ${offset}`

// --- the model ------------------------------------------------------------------------------------------------------

interface Entry {
  readonly id: string
  /** Told to its publisher or producer: it may not be lost. */
  isPromised: boolean
  place: Place | undefined
  /** Acknowledged or dropped by a consumer; promised once a later answer says so, in doubt after a crash until then. */
  settled: 'no' | 'applied' | 'doubtful' | 'promised'
  isHeld: boolean
  wasFresh: boolean
}

class Model {
  readonly entries = new Map<string, Entry>()
  readonly #at = new Map<string, Entry>()
  /** In the order of their first deliveries, since the broker was started. */
  #fresh: Entry[] = []

  sent(id: string): Entry {
    const entry: Entry = {
      id,
      isPromised: false,
      place: undefined,
      settled: 'no',
      isHeld: false,
      wasFresh: false,
    }
    this.entries.set(id, entry)
    return entry
  }

  of(id: string): Entry {
    const entry = this.entries.get(id)
    expect(entry, `${id} was sent`).toBeDefined()
    return entry as Entry
  }

  /** Somebody was told that the record lies there. */
  placed(id: string, place: Place): void {
    const entry = this.of(id)
    const text = placeText(place)
    expect(placeText(entry.place ?? place), `${id} has one place`).toBe(text)
    expect(this.#at.get(text)?.id ?? id, `${text} has one record`).toBe(id)
    entry.place = place
    this.#at.set(text, entry)
  }

  delivered(id: string, redelivered: boolean): void {
    const entry = this.of(id)
    expect(entry.isHeld, `${id} is delivered to one at a time`).toBe(false)
    expect(['no', 'doubtful'], `${id} comes back although it is settled`).toContain(entry.settled)
    if (!redelivered) {
      expect(entry.wasFresh, `${id} is delivered first once`).toBe(false)
      entry.wasFresh = true
      this.#fresh.push(entry)
    }
    entry.settled = 'no'
    entry.isHeld = true
  }

  /** First deliveries are in the order of offsets, each partition's. */
  judgeOrder(): void {
    const orders = new Map<number, number[]>()
    for (const { place } of this.#fresh) {
      if (place === undefined) continue
      const order = orders.get(place.partition)
      if (order === undefined) orders.set(place.partition, [place.offset])
      else order.push(place.offset)
    }
    for (const order of orders.values()) {
      const sorted = order.toSorted((a, b) => a - b)
      expect(order, 'first deliveries have the order of the log').toEqual(sorted)
    }
  }

  /** What is readable of a partition from `start` on, whole: all that was ever told of it is still so. */
  judgeRead(partition: number, start: number, found: ReadonlyMap<number, string>, mayHaveGaps: boolean): void {
    for (const [offset, id] of found) this.placed(id, { partition, offset })
    for (const { id, settled, place } of this.#at.values()) {
      if (place?.partition !== partition || found.has(place.offset)) continue
      // What is settled may vanish at any time from a queue that AMQP made; the start is above nothing else.
      expect(mayHaveGaps && settled !== 'no', `${id} at ${placeText(place)} is still there, from ${start} on`).toBe(
        true,
      )
    }
  }

  /** The broker is gone. `isForgetful`: what it had not synced is gone too. */
  ended(how: 'closed' | 'killed' | 'cut'): void {
    this.judgeOrder()
    this.#fresh = []
    for (const entry of this.entries.values()) {
      entry.isHeld = false
      if (entry.settled === 'applied') entry.settled = how === 'closed' ? 'promised' : 'doubtful'
      // That it was handed out is written, but nobody waits for the disk.
      if (how === 'cut') entry.wasFresh = false
    }
  }

  /** Everything was taken out. */
  judgeDrained(): void {
    for (const { id, isPromised, settled } of this.entries.values())
      if (isPromised) expect(settled, `${id} was promised, and never came`).not.toBe('no')
  }
}

// --- the life -------------------------------------------------------------------------------------------------------

interface Client {
  readonly channel: Channel
  readonly held: { readonly tag: number; readonly id: string }[]
  readonly consumers: string[]
}

const name = 'orders'
const topic = { name }
const facts = { durable: true, exclusive: false, autoDelete: false, arguments: [] }
const codecs = ['none', 'none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
/** Until what was written a moment ago is with the kernel. */
const settlingTurns = 12

class Run {
  readonly random: () => number
  readonly disk = new FaultDisk()
  readonly model = new Model()
  readonly #wrong: Wrong
  readonly #isKafkaMade: boolean
  readonly #partitions: number
  #world: TestWorld | undefined
  #isDead = { dead: false }
  #store!: LocalStore
  #broker!: Broker
  #session!: Session
  #clients: Client[] = []
  #ids = 0
  readonly #underWay = new Set<Promise<void>>()
  /** What was found wrong in a callback, whose caller is the broker. */
  #failure: unknown

  constructor(seed: number, wrong: Wrong) {
    this.random = seeded(seed)
    this.#wrong = wrong
    this.#isKafkaMade = this.random() < 0.5
    this.#partitions = this.random() < 0.6 ? 1 : 3
    if (wrong.diskLies === true) this.disk.lies = () => true
  }

  int(below: number): number {
    return Math.floor(this.random() * below)
  }

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
    const living: World = { ...world, clock: mortal, disk: this.disk.boot(), random: { ...world.random } }
    this.#store = await openLocalStore(living, {
      path: '/data',
      onFatal: (error) => {
        if (!life.dead) throw error
      },
    })
    this.#broker = await openBroker(living, this.#store, {})
    this.#session = this.#broker.session(testIdentity)
    this.#wrong.session?.(this.#session)
  }

  async declare(): Promise<void> {
    if (this.#isKafkaMade) {
      const wanted = { name, partitions: this.#partitions, replicationFactor: 1, settings: new Map<string, string>() }
      const [made] = (await this.#session.createTopics([wanted], false)) as readonly unknown[]
      expect(isRefusal(made as object), 'the topic is made').toBe(false)
    }
    const wide = { name: 'x-partitions', value: int32Field(this.#partitions) }
    const args = this.#partitions > 1 && !this.#isKafkaMade ? [wide] : []
    const declared = await this.#session.queues.declareQueue({ ...facts, name, arguments: args })
    expect(declared, 'the queue is declared').toMatchObject({ name })
  }

  #fresh(prefix: string): string {
    const id = `${prefix}${++this.#ids}`
    this.model.sent(id)
    return id
  }

  #follow(work: Promise<void>): void {
    const life = this.#isDead
    const followed = work
      .catch((error: unknown) => {
        if (!life.dead) this.#failure ??= error
      })
      .finally(() => this.#underWay.delete(followed))
    this.#underWay.add(followed)
  }

  #judging(judge: () => void): void {
    try {
      judge()
    } catch (error) {
      this.#failure ??= error
    }
  }

  #fail(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  // --- Kafka ---

  produce(): void {
    const life = this.#isDead
    const partition = this.int(this.#partitions)
    const ids = Array.from({ length: 1 + this.int(3) }, () => this.#fresh('k'))
    const batch = testBatch(this.#world!.clock, { values: ids, codec: codecs[this.int(codecs.length)] })
    this.#follow(
      this.#session.produce({ topic, partition, batch, acks: -1 }).then((produced) => {
        if (life.dead) return
        if (isRefusal(produced)) throw new Error(produced.why)
        for (const [index, id] of ids.entries()) {
          this.model.of(id).isPromised = true
          this.model.placed(id, { partition, offset: produced.baseOffset + index })
        }
      }),
    )
  }

  /** Everything that can be read. */
  async fetch(): Promise<void> {
    for (let partition = 0; partition < this.#partitions; partition++) await this.#fetch(partition)
  }

  async #fetch(partition: number): Promise<void> {
    const found = new Map<number, string>()
    const earliest = await this.#session.findOffset(topic, partition, 'earliest', -1)
    if (isRefusal(earliest)) throw new Error(earliest.why)
    for (let at = earliest.offset; ;) {
      const call = { topic, partition, offset: at, bytesMax: 500, leaderEpoch: -1, committedTransactionsOnly: false }
      const read = await this.#session.read(call)
      // The log's start rises under a reader: what is closed may vanish at any time.
      if (isRefusal(read)) return expect(read.refused).toBe('offsetOutOfRange')
      for (const chunk of read.batches.chunks) takeRecords(chunk, found)
      read.batches.release?.()
      if (read.batches.next === at) break
      at = read.batches.next
    }
    this.model.judgeRead(partition, earliest.offset, found, !this.#isKafkaMade)
  }

  // --- AMQP ---

  client(): Client {
    const held: Client['held'] = []
    const own: ChannelSink = {
      hasRoom: true,
      deliver: (delivery) => this.#judging(() => this.#delivered(held, delivery)),
      cancelled: (tag, reason) => this.#judging(() => expect(`${tag} ${reason}`, 'nobody cancels').toBe('')),
    }
    const channel = this.#session.queues.openChannel(this.#wrong.sink?.(own) ?? own)
    this.#wrong.channel?.(channel)
    channel.setPrefetch(1 + this.int(6), 'consumer')
    const client = { channel, held, consumers: [] }
    this.#clients.push(client)
    return client
  }

  #delivered(held: Client['held'], { tag, body, redelivered, properties }: Omit<Delivery, 'consumerTag'>): void {
    const id = body.toString()
    this.model.delivered(id, redelivered)
    const { headers = [] } = readProperties(properties)
    const offset = fieldInteger(findField(headers, 'x-stream-offset'))
    const partition = fieldInteger(findField(headers, 'x-partition'))
    const isTold = this.#isKafkaMade || this.#partitions > 1 || id.startsWith('k')
    expect([offset !== undefined, partition !== undefined], 'who is told a place').toEqual([isTold, isTold])
    if (offset !== undefined && partition !== undefined) this.model.placed(id, { partition, offset })
    held.push({ tag, id })
  }

  #any(): Client {
    return this.#clients.length === 0 ? this.client() : this.#clients[this.int(this.#clients.length)]
  }

  /** Resolves when it is confirmed. */
  publish(): Promise<void> {
    const life = this.#isDead
    const id = this.#fresh('a')
    const body = Buffer.from(id)
    const publication = {
      exchange: '',
      routingKey: name,
      properties: noProperties,
      body: [body],
      bodyBytes: body.length,
    }
    const published = this.#any().channel.publish(publication)
    if (published === 'unroutable' || isRefusal(published)) throw new Error('not published')
    return new Promise((done) => {
      const settled = (): void => {
        if (life.dead) return
        this.#judging(() => expect(published.state, 'a confirm').toBe('stored'))
        this.model.of(id).isPromised = true
        done()
      }
      if (published.state === 'pending') published.whenSettled(settled)
      else settled()
    })
  }

  /** What was settled before it is on disk when it is answered. */
  async barrier(): Promise<void> {
    const settled = [...this.model.entries.values()].filter((entry) => entry.settled === 'applied')
    await this.publish()
    for (const entry of settled) if (entry.settled === 'applied') entry.settled = 'promised'
  }

  async consume(): Promise<void> {
    const { channel, consumers } = this.#any()
    const call = { queue: name, consumerTag: '', noAck: false, exclusive: false, arguments: [] }
    const consumer = await channel.consume(call)
    if (isRefusal(consumer)) throw new Error(consumer.why)
    consumers.push(consumer.tag)
    consumer.start()
  }

  async get(): Promise<void> {
    const { channel, held } = this.#any()
    const got = await channel.get(name, false)
    if (isRefusal(got)) throw new Error(got.why)
    if (got !== undefined) this.#delivered(held, got)
  }

  settle(): void {
    const { channel, held } = this.#any()
    if (held.length === 0) return
    const index = this.int(held.length)
    const multiple = this.random() < 0.3
    const { tag } = held[index]
    const settled = multiple ? held.splice(0, index + 1) : held.splice(index, 1)
    const dice = this.random()
    const requeue = dice >= 0.6 && dice < 0.9
    for (const { id } of settled) {
      const entry = this.model.of(id)
      entry.isHeld = false
      if (!requeue) entry.settled = 'applied'
    }
    const answer = dice < 0.6 ? channel.acknowledge(tag, multiple) : channel.reject(tag, multiple, requeue, false)
    expect(answer).toBe(true)
  }

  async leave(): Promise<void> {
    const at = this.int(this.#clients.length)
    const client = this.#clients[at]
    if (client === undefined) return
    if (this.random() < 0.5) {
      const tag = client.consumers.pop()
      if (tag !== undefined) await client.channel.cancel(tag)
      return
    }
    this.#clients.splice(at, 1)
    for (const { id } of client.held.splice(0)) this.model.of(id).isHeld = false
    client.channel.close()
  }

  // --- steps ---

  async step(): Promise<void> {
    this.#fail()
    const dice = this.random()
    this.#world!.clock.advance(this.int(20))
    if (dice < 0.2) this.produce()
    else if (dice < 0.4) this.#follow(this.publish())
    else if (dice < 0.5) await this.get()
    else if (dice < 0.75) this.settle()
    else if (dice < 0.81) await this.consume()
    else if (dice < 0.84) await this.leave()
    else if (dice < 0.88) await this.barrier()
    else if (dice < 0.92) await this.fetch()
    else await turns(1 + this.int(4))
  }

  /** The broker ends, in one way or the other, and is started again. */
  async again(): Promise<void> {
    this.#fail()
    const dice = this.random()
    if (dice < 0.3) {
      await Promise.all(this.#underWay)
      await this.fetch()
      await this.close()
      this.model.ended('closed')
    } else if (dice < 0.6) {
      // What is given out has reached nobody before the turn ends.
      await turns(settlingTurns)
      await this.fetch()
      this.#die('killed')
    } else {
      if (this.random() < 0.5) await turns(this.int(settlingTurns))
      this.#die('cut')
    }
    await this.open()
    await this.fetch()
  }

  #die(how: 'killed' | 'cut'): void {
    this.#isDead.dead = true
    this.#clients = []
    this.#underWay.clear()
    if (how === 'killed') this.disk.kill()
    else this.disk.crash(this.random)
    this.model.ended(how)
  }

  async close(): Promise<void> {
    for (const { channel } of this.#clients) channel.close()
    this.#clients = []
    await this.#broker.close()
    await this.#store.close()
    this.#isDead.dead = true
  }

  /** All that is left is taken out and judged. */
  async drain(): Promise<void> {
    await Promise.all(this.#underWay)
    for (const { channel } of this.#clients) channel.close()
    this.#clients = []
    for (const entry of this.model.entries.values()) entry.isHeld = false
    const { channel, held } = this.client()
    for (;;) {
      const got = await channel.get(name, false)
      if (isRefusal(got)) throw new Error(got.why)
      if (got === undefined) break
      this.#delivered(held, got)
    }
    const last = held.at(-1)
    if (last !== undefined) channel.acknowledge(last.tag, true)
    for (const { id } of held.splice(0)) this.model.of(id).settled = 'applied'
    await this.fetch()
    this.#fail()
    this.model.judgeOrder()
    this.model.judgeDrained()
    await this.close()
  }
}

function takeRecords(chunk: Buffer, found: Map<number, string>): void {
  forEachBatch(chunk, (head, at) => {
    const section = chunk.subarray(at + batchHeadBytes, at + head.bytes)
    const cursor = new RecordCursor(inflate(compressionOf(head.attributes) ?? 'none', section, 1_000_000))
    while (cursor.next()) found.set(head.baseOffset + cursor.offsetDelta, String(cursor.value))
  })
}

/** A life of some starts. Rejects when a promise was broken. */
export async function life(seed: number, wrong: Wrong = {}): Promise<void> {
  const run = new Run(seed, wrong)
  await run.open()
  await run.declare()
  for (let start = 0; start < 3; start++) {
    const steps = 5 + run.int(60)
    for (let step = 0; step < steps; step++) await run.step()
    await run.again()
  }
  await run.drain()
}
