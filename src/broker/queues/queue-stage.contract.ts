// A stage for tests of queues: queues over the stub store with real ledgers and partitions, and consumers that keep what
// they are given.
// Promises: a crash loses what was not committed and opens everything again.
// Does not know: what is tested.

import { writeProperties, type Properties } from '../../base/properties.ts'
import { MachineLog } from '../../log/machine.ts'
import { logId, type TopicId } from '../../log/store.ts'
import { testWorld, turns, type TestWorld } from '../broker-world.contract.ts'
import { Catalog, type Topic } from '../catalog.ts'
import { isRefusal } from '../errors.ts'
import type { CancelReason, Receipt } from '../queue-door.ts'
import { logSettingsOf } from '../settings/topic-policy.ts'
import { Partitions } from '../streams/partitions.ts'
import { ProducerSnapshots } from '../streams/producer-snapshots.ts'
import { StubStore } from '../stub-store.contract.ts'
import { plainPolicy, type QueuePolicy } from './facts.ts'
import { Epochs } from './lanes/epochs.ts'
import { Ledgers } from './ledgers/ledgers.ts'
import type { DeadLettering, NewMessage, QueueConsumer, StoredMessage } from './parts.ts'
import { Queue } from './queue.ts'
import { Queues, type AnyQueue } from './queues.ts'

export interface Letter {
  readonly queue: string
  readonly offsets: readonly number[]
  readonly reason: string
}

export class QueueStage {
  readonly world: TestWorld
  readonly store = new StubStore()
  readonly policies = new Map<string, QueuePolicy>()
  /** Of queues that have more than one. */
  readonly partitionsOf = new Map<string, number>()
  /** The ledgers of queues that do not go by their first. */
  readonly ledgerOf = new Map<string, number>()
  /** What was handed to dead-lettering; it is left acquired. */
  readonly letters: Letter[] = []
  readonly refusedLetters: string[] = []
  queues!: Queues
  ledgers!: Ledgers
  partitions!: Partitions
  catalog!: Catalog
  epochs!: Epochs
  #machineLog!: MachineLog
  #lives = 0

  private constructor(world: TestWorld) {
    this.world = world
  }

  static async open(world = testWorld()): Promise<QueueStage> {
    const stage = new QueueStage(world)
    await stage.#start()
    return stage
  }

  async #start(): Promise<void> {
    const { world, store } = this
    const life = ++this.#lives
    this.ledgers = new Ledgers(world, 0)
    const snapshots = new ProducerSnapshots()
    this.catalog = new Catalog(new Map())
    this.epochs = new Epochs(world.clock)
    this.#machineLog = await MachineLog.open(world, store, [this.catalog, snapshots, this.ledgers, this.epochs])
    this.epochs.start(this.#machineLog)
    snapshots.start(this.#machineLog)
    this.ledgers.start(this.#machineLog)
    this.partitions = new Partitions({
      world,
      store,
      snapshots,
      producerIdExpirationMs: 1000,
      referredEnd: (id) => this.ledgers.endOf(id),
      produceRefusal: () => undefined,
    })
    const deadLettering: DeadLettering = {
      deadLetter: (lane, offsets, reason) => {
        // A timer of a life before.
        if (life === this.#lives) this.letters.push({ queue: lane.queue.topic.name, offsets: [...offsets], reason })
      },
      deadLetterRefused: (_queue, message) => void this.refusedLetters.push(Buffer.concat(message.body).toString()),
    }
    this.queues = new Queues({
      world,
      store,
      partitions: this.partitions,
      ledgers: this.ledgers,
      epochs: this.epochs,
      topic: (vhost, name) => (this.policies.has(name) ? this.topic(vhost, name) : undefined),
      sourceOf: (topic) => topic,
      ledgerNumbers: () => [0],
      policyOf: (topic) => this.policies.get(topic.name) ?? plainPolicy,
      deadLettering: () => deadLettering,
      used: () => undefined,
    })
  }

  topic(vhost: string, name: string): Topic {
    const id = Buffer.alloc(16, `topic ${name}`).toString('base64url') as TopicId
    const overrides = new Map([['cleanup.policy', 'consumed']])
    return {
      vhost,
      name,
      id,
      partitions: this.partitionsOf.get(name) ?? 1,
      ledger: this.ledgerOf.get(name) ?? 0,
      origin: 'amqp',
      createdAtMs: 0,
      overrides,
      policy: this.catalog.policyOf(overrides),
      queue: { durable: true, exclusive: false, autoDelete: false, arguments: [] },
      isVolatile: false,
    }
  }

  /** A new queue, or the one there is. */
  async queue(name: string, policy: Partial<QueuePolicy> = {}): Promise<Queue> {
    const queue = await this.anyQueue(name, policy)
    if (!(queue instanceof Queue)) throw new Error('that is a stream')
    return queue
  }

  async anyQueue(name: string, policy: Partial<QueuePolicy> = {}): Promise<AnyQueue> {
    if (!this.policies.has(name)) {
      this.policies.set(name, { ...plainPolicy, ...policy })
      await this.#makeLogs(name, 0)
    }
    const queue = this.queues.find('/', name)!
    const refused = await queue.ready()
    if (refused !== undefined) throw new Error(refused.why)
    return queue
  }

  async #makeLogs(name: string, from: number): Promise<void> {
    const { id, partitions, policy } = this.topic('/', name)
    const ids = Array.from({ length: partitions - from }, (_, index) => logId(id, from + index))
    await this.store.create(ids.map((log) => ({ id: log, settings: logSettingsOf(policy, log) })))
  }

  /** The queue has more partitions from now on. */
  async grow(name: string, partitions: number): Promise<void> {
    const before = this.partitionsOf.get(name) ?? 1
    this.partitionsOf.set(name, partitions)
    await this.#makeLogs(name, before)
    this.queues.find('/', name)
  }

  /** The process ends and begins again. */
  async crash(): Promise<void> {
    this.store.crash()
    this.#machineLog.close()
    await this.#start()
  }

  /** What is closed is committed. */
  async settle(): Promise<void> {
    await turns(4)
  }
}

/** A message to publish. */
export function testMessage(body: string | Buffer, properties: Properties = {}): NewMessage {
  const bytes = Buffer.from(body)
  return {
    exchange: '',
    routingKey: 'key',
    properties: writeProperties(properties),
    body: [bytes],
    bodyBytes: bytes.length,
    isDeadLetter: false,
  }
}

/** Publishes and waits for the outcome. */
export async function publish(queue: AnyQueue, ...bodies: (string | NewMessage)[]): Promise<Receipt['state']> {
  let state: Receipt['state'] = 'stored'
  const receipts = bodies.map((body) => queue.add(typeof body === 'string' ? testMessage(body) : body))
  for (const receipt of receipts) {
    if (isRefusal(receipt)) throw new Error(receipt.why)
    if (receipt.state === 'pending') await new Promise<void>((done) => receipt.whenSettled(done))
    if (receipt.state !== 'stored') state = receipt.state
  }
  return state
}

/** A delivery, kept. */
export interface Kept {
  readonly offset: number
  readonly body: string
  readonly redelivered: boolean
  readonly properties: Buffer
}

export class TestConsumer implements QueueConsumer {
  readonly tag: string
  readonly priority: number
  readonly noAck: boolean
  readonly isExclusive: boolean
  readonly arguments: QueueConsumer['arguments']
  readonly prefetch: number
  credit: number
  readonly got: Kept[] = []
  readonly cancels: CancelReason[] = []

  constructor(
    options: Partial<
      Pick<TestConsumer, 'tag' | 'priority' | 'noAck' | 'isExclusive' | 'arguments' | 'prefetch' | 'credit'>
    > = {},
  ) {
    this.tag = options.tag ?? 'tag'
    this.priority = options.priority ?? 0
    this.noAck = options.noAck ?? false
    this.isExclusive = options.isExclusive ?? false
    this.arguments = options.arguments ?? []
    this.prefetch = options.prefetch ?? 0
    this.credit = options.credit ?? Infinity
  }

  get canTake(): boolean {
    return this.credit > 0
  }

  deliver({ offset, body, redelivered, properties }: StoredMessage): void {
    this.credit--
    this.got.push({ offset, body: body.toString(), redelivered, properties: Buffer.from(properties) })
  }

  cancelled(reason: CancelReason): void {
    this.cancels.push(reason)
  }

  get bodies(): string[] {
    return this.got.map(({ body }) => body)
  }
}

/** A consumer of the queue, started. */
export function consume(queue: AnyQueue, options: ConstructorParameters<typeof TestConsumer>[0] = {}): TestConsumer {
  const consumer = new TestConsumer(options)
  const refused = queue.consume(consumer)
  if (refused !== undefined) throw new Error(refused.why)
  queue.resume()
  return consumer
}
