// One life of a name that is a topic and a queue, or two: Kafka's calls and AMQP's at random through the door, restarts, killed
// processes and power cuts, beside a naive model of what was promised.
// Promises: a seed is a whole story; what the model cannot know (unanswered, unsynced) it does not judge.
// Does not know: how anything is stored; priorities, delays.

import { expect } from 'vitest'
import { FaultDisk, seeded } from '../../test/fault-disk.ts'
import { fieldInteger, findField, int32Field, textField } from '../base/fields.ts'
import { noProperties, readProperties } from '../base/properties.ts'
import type { World } from '../base/world.ts'
import { openLocalStore, type LocalStore } from '../engines/local/local-store.ts'
import { batchHeadBytes, compressionOf, forEachBatch } from '../log/batch.ts'
import { inflate } from '../log/compression.ts'
import { RecordCursor } from '../log/records.ts'
import { Model } from './both-ways-book.contract.ts'
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

// --- the life -------------------------------------------------------------------------------------------------------

interface Client {
  readonly channel: Channel
  /** The number of the queue that it works off. */
  readonly queue: number
  readonly held: { readonly tag: number; readonly id: string }[]
  readonly consumers: string[]
}

const name = 'orders'
/** Queues over the topic: its own, and in some lives one with a ledger of its own. */
const queues = [name, 'audit'] as const
const topic = { name }
const facts = { durable: true, exclusive: false, autoDelete: false, arguments: [] }
const codecs = ['none', 'none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
/** Until what was written a moment ago is with the kernel. */
const settlingTurns = 12

class Run {
  readonly random: () => number
  readonly disk = new FaultDisk()
  readonly model: Model
  readonly #wrong: Wrong
  readonly #isKafkaMade: boolean
  readonly #partitions: number
  readonly #queues: number
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
    this.#queues = this.random() < 0.6 ? 1 : 2
    this.model = new Model(this.#queues)
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
    if (this.#queues === 1) return
    const further = [
      { name: 'x-log', value: textField(name) },
      // Over a consumed topic it has to say how much it may hold.
      { name: 'x-max-length', value: int32Field(100_000) },
    ]
    const audit = await this.#session.queues.declareQueue({ ...facts, name: queues[1], arguments: further })
    expect(audit, 'the further ledger is declared').toMatchObject({ name: queues[1] })
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
    const queue = this.int(this.#queues)
    const own: ChannelSink = {
      hasRoom: true,
      deliver: (delivery) => this.#judging(() => this.#delivered(client, delivery)),
      cancelled: (tag, reason) => this.#judging(() => expect(`${tag} ${reason}`, 'nobody cancels').toBe('')),
    }
    const channel = this.#session.queues.openChannel(this.#wrong.sink?.(own) ?? own)
    this.#wrong.channel?.(channel)
    channel.setPrefetch(1 + this.int(6), 'consumer')
    const client = { channel, queue, held, consumers: [] }
    this.#clients.push(client)
    return client
  }

  #delivered({ held, queue }: Client, { tag, body, redelivered, properties }: Omit<Delivery, 'consumerTag'>): void {
    const id = body.toString()
    this.model.delivered(queue, id, redelivered)
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
    const settled = this.model.fates().filter((fate) => fate.settled === 'applied')
    await this.publish()
    for (const fate of settled) if (fate.settled === 'applied') fate.settled = 'promised'
  }

  async consume(): Promise<void> {
    const { channel, consumers, queue } = this.#any()
    const call = { queue: queues[queue], consumerTag: '', noAck: false, exclusive: false, arguments: [] }
    const consumer = await channel.consume(call)
    if (isRefusal(consumer)) throw new Error(consumer.why)
    consumers.push(consumer.tag)
    consumer.start()
  }

  async get(): Promise<void> {
    const client = this.#any()
    const got = await client.channel.get(queues[client.queue], false)
    if (isRefusal(got)) throw new Error(got.why)
    if (got !== undefined) this.#delivered(client, got)
  }

  settle(): void {
    const { channel, held, queue } = this.#any()
    if (held.length === 0) return
    const index = this.int(held.length)
    const multiple = this.random() < 0.3
    const { tag } = held[index]
    const settled = multiple ? held.splice(0, index + 1) : held.splice(index, 1)
    const dice = this.random()
    const requeue = dice >= 0.6 && dice < 0.9
    for (const { id } of settled) {
      const fate = this.model.of(id).fates[queue]
      fate.isHeld = false
      if (!requeue) fate.settled = 'applied'
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
    for (const { id } of client.held.splice(0)) this.model.of(id).fates[client.queue].isHeld = false
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

  async #drain(client: Client): Promise<void> {
    const { channel, queue, held } = client
    for (;;) {
      const got = await channel.get(queues[queue], false)
      if (isRefusal(got)) throw new Error(got.why)
      if (got === undefined) break
      this.#delivered(client, got)
    }
    const last = held.at(-1)
    if (last !== undefined) channel.acknowledge(last.tag, true)
    for (const { id } of held) this.model.of(id).fates[queue].settled = 'applied'
  }

  /** All that is left is taken out and judged. */
  async drain(): Promise<void> {
    await Promise.all(this.#underWay)
    for (const { channel } of this.#clients) channel.close()
    this.#clients = []
    for (const fate of this.model.fates()) fate.isHeld = false
    for (let queue = 0; queue < this.#queues; queue++) await this.#drain({ ...this.client(), queue, held: [] })
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
