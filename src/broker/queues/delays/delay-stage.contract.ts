// A stage for tests of delayed messages: all that such a message passes, over the stub store.
// Promises: a crash loses what was not committed and opens everything again; time passes when a test says so.
// Does not know: what is tested.

import { fieldTable, int32Field, textField, type Field } from '../../../base/fields.ts'
import { noProperties, readProperties, writeProperties } from '../../../base/properties.ts'
import { MachineLog, machineLogId } from '../../../log/machine.ts'
import { logId, type TopicId } from '../../../log/store.ts'
import { testWorld, turns } from '../../broker-world.contract.ts'
import { Catalog, type Topic } from '../../catalog.ts'
import { isRefusal } from '../../errors.ts'
import { logSettingsOf } from '../../settings/topic-policy.ts'
import { Partitions } from '../../streams/partitions.ts'
import { ProducerSnapshots } from '../../streams/producer-snapshots.ts'
import { StubStore } from '../../stub-store.contract.ts'
import { Delays } from './delays.ts'
import { ExchangeDesk } from '../exchanges/exchange-desk.ts'
import { noLogExchanges } from '../exchanges/log-exchanges.contract.ts'
import { Ledgers } from '../ledgers/ledgers.ts'
import type { NewMessage, QueuesPart, StoredMessage } from '../parts.ts'
import { plainPolicy } from '../facts.ts'
import { Queues } from '../queues.ts'
import { Topology } from '../exchanges/topology.ts'

export const vhost = '/'
const queueNames = ['q1', 'q2']

/** Everything that a delayed message passes, over one store. */
export class DelayStage {
  readonly world = testWorld()
  readonly store = new StubStore()
  topology!: Topology
  delays!: Delays
  ledgers!: Ledgers
  queues!: Queues
  machineLog!: MachineLog
  /** What the queues gave, in order. */
  readonly got: string[] = []
  #full = false

  readonly #prepare: (stage: DelayStage) => void

  private constructor(prepare: (stage: DelayStage) => void) {
    this.#prepare = prepare
  }

  /** `prepare` is called after each start, before anything waits. */
  static async open(prepare: (stage: DelayStage) => void = () => undefined): Promise<DelayStage> {
    const stage = new DelayStage(prepare)
    await stage.start()
    return stage
  }

  async start(): Promise<void> {
    const { world, store } = this
    const catalog = new Catalog(new Map())
    const topicOf = (name: string): Topic => ({
      vhost,
      name,
      id: Buffer.alloc(16, `topic ${name}`).toString('base64url') as TopicId,
      partitions: 1,
      origin: 'amqp',
      createdAtMs: 0,
      overrides: new Map(),
      policy: catalog.policyOf(new Map([['cleanup.policy', 'consumed']])),
      queue: { durable: true, exclusive: false, autoDelete: false, arguments: [] },
      isVolatile: false,
    })
    const ledgers = (this.ledgers = new Ledgers(world, 0))
    const snapshots = new ProducerSnapshots()
    this.topology = new Topology({
      queueExists: (_vhost, name) => queueNames.includes(name),
      isQueueDurable: () => true,
      fraction: () => 0.5,
    })
    this.delays = new Delays(world)
    const machines = [catalog, snapshots, ledgers, this.topology, this.delays]
    this.machineLog = await MachineLog.open(world, store, machines)
    ledgers.start(this.machineLog)
    const partitions = new Partitions({
      world,
      store,
      snapshots,
      producerIdExpirationMs: 1000,
      produceRefusal: () => undefined,
    })
    const noLetters = { deadLetter: () => undefined, deadLetterRefused: () => undefined }
    // As a start does: logs that nobody names are of a crash between a log and its record.
    const own = new Set([...this.delays.ownLogs(), machineLogId])
    await store.delete(store.list().filter((id) => id.startsWith('AAAA') && !own.has(id)))
    const there = new Set(store.list())
    for (const name of queueNames) {
      const { policy, id: topicId } = topicOf(name)
      const id = logId(topicId, 0)
      if (!there.has(id)) await store.create([{ id, settings: logSettingsOf(policy, id) }])
    }
    this.queues = new Queues({
      world,
      store,
      partitions,
      ledgers,
      epochs: { next: () => undefined },
      topic: (_vhost, name) => (queueNames.includes(name) ? topicOf(name) : undefined),
      sourceOf: (topic) => topic,
      ledgerNumbers: () => [0],
      policyOf: () => plainPolicy,
      deadLettering: () => noLetters,
      used: () => undefined,
    })
    const queues: QueuesPart = {
      find: (name, queue) => this.delays.find(name, queue) ?? this.queues.find(name, queue),
      findLog: (name, queue) => this.delays.find(name, queue) ?? this.queues.findLog(name, queue),
      findStream: (name, queue) => this.queues.findStream(name, queue),
    }
    this.#prepare(this)
    this.delays.start({
      world,
      store,
      machineLog: this.machineLog,
      ledgers,
      policy: catalog.policyOf(new Map()),
      router: this.topology,
      queues,
      deadLettering: () => noLetters,
      produceRefusal: () => (this.#full ? { refused: 'storageFull', why: 'full' } : undefined),
    })
    this.topology.delayBy(this.delays)
    await this.#declare()
  }

  async #declare(): Promise<void> {
    const desk = new ExchangeDesk({ topology: this.topology, machineLog: this.machineLog, logs: noLogExchanges })
    const args = fieldTable({ 'x-delayed-type': textField('topic') })
    for (const [name, durable] of [
      ['later', true],
      ['fleeting', false],
    ] as const) {
      const exchange = { name, type: 'x-delayed-message', durable, autoDelete: false, internal: false, arguments: args }
      await desk.declare(vhost, exchange)
      for (const destination of queueNames) {
        const binding = { source: name, destination, destinationKind: 'queue' as const, arguments: [] }
        await desk.bind(vhost, { ...binding, routingKey: `${destination}.#` })
      }
    }
  }

  set isFull(isFull: boolean) {
    this.#full = isFull
  }

  /** As a channel publishes: undefined when no queue took it. */
  publish(exchange: string, routingKey: string, body: string, delay: Field | number | undefined, more: string[] = []) {
    const field = typeof delay === 'number' ? int32Field(delay) : delay
    const message: NewMessage = {
      exchange,
      routingKey,
      properties: field === undefined ? noProperties : writeProperties({ headers: fieldTable({ 'x-delay': field }) }),
      body: [Buffer.from(body)],
      bodyBytes: Buffer.byteLength(body),
      isDeadLetter: false,
    }
    const destinations = this.topology.route(vhost, exchange, [routingKey, ...more], message, false)
    if (isRefusal(destinations)) throw new Error(destinations.why)
    const receipts = destinations.map((name) => {
      const receipt = (this.delays.find(vhost, name) ?? this.queues.find(vhost, name))?.add(message)
      if (receipt === undefined || isRefusal(receipt)) throw new Error('not taken')
      return receipt
    })
    return receipts.at(0)
  }

  /** Takes whatever lies in the queues. */
  async drain(): Promise<readonly string[]> {
    for (const name of queueNames) {
      const queue = this.queues.find(vhost, name)
      for (;;) {
        const taken = await queue?.take(true)
        if (taken === undefined || isRefusal(taken)) break
        this.got.push(`${name} ${textOf(taken)}`)
      }
    }
    return this.got.splice(0)
  }

  async pass(ms: number): Promise<void> {
    this.world.clock.advance(ms)
    await turns(30)
  }

  async crash(): Promise<void> {
    this.store.crash()
    this.machineLog.close()
    // It may wait for what never comes: the process is gone.
    void this.delays.close()
    await this.start()
    await turns()
  }

  /** Logs of delayed messages. */
  logs(): number {
    return this.store.list().filter((id) => id.startsWith('AAAA')).length - 1
  }
}

function textOf(message: StoredMessage): string {
  const { headers } = readProperties(message.properties)
  const delay = headers?.find((one) => one.name === 'x-delay')?.value
  const said = delay !== undefined && 'value' in delay ? ` ${String(delay.value)}` : ''
  return `${message.body.toString()}${said}`
}
