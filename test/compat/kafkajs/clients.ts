// kafkajs clients for one run of the suite: made alike, remembered, disconnected at the end.
// Promises: closeAll() waits a bounded time for every client; reading helpers end with an error, never hang.
// Does not know: what the checks assert.

import { Kafka, logLevel, Partitioners } from 'kafkajs'
import type { Admin, Consumer, ConsumerConfig, KafkaMessage, Producer, ProducerConfig } from 'kafkajs'
import { until, type SuiteContext } from '../suite.ts'

const READ_LIMIT_MS = 20_000
const CLOSE_LIMIT_MS = 5_000

export interface Read {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly message: KafkaMessage
}

export class Clients {
  readonly context: SuiteContext
  readonly kafka: Kafka
  private readonly open: { disconnect(): Promise<void> }[] = []

  constructor(context: SuiteContext) {
    this.context = context
    this.kafka = new Kafka({
      clientId: 'odradek-compat',
      brokers: [context.broker.address],
      logLevel: logLevel.NOTHING,
      connectionTimeout: 5_000,
      retry: { retries: 4, initialRetryTime: 100 },
    })
  }

  name(kind: string): string {
    return `kafkajs-${kind}-${this.context.tag}`
  }

  private keep<T extends { connect(): Promise<void>; disconnect(): Promise<void> }>(client: T): Promise<T> {
    this.open.push(client)
    return client.connect().then(() => client)
  }

  producer(config: ProducerConfig = {}): Promise<Producer> {
    return this.keep(this.kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...config }))
  }

  consumer(config: ConsumerConfig): Promise<Consumer> {
    const quick = { sessionTimeout: 10_000, heartbeatInterval: 500, maxWaitTimeInMs: 200, retry: { retries: 2 } }
    return this.keep(this.kafka.consumer({ ...quick, ...config }))
  }

  admin(): Promise<Admin> {
    return this.keep(this.kafka.admin())
  }

  /** Makes a topic and answers its name. */
  async topic(kind: string, partitions = 1): Promise<string> {
    const topic = this.name(kind)
    const admin = await this.admin()
    await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: partitions }] })
    await admin.disconnect()
    return topic
  }

  /** Subscribes a new member that gathers what it reads. */
  async gather(topic: string, groupId: string, config: Partial<ConsumerConfig> = {}): Promise<Gathering> {
    const consumer = await this.consumer({ groupId, ...config })
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const gathering = new Gathering(consumer)
    await gathering.start()
    return gathering
  }

  /** Reads `count` records of a topic in a group of its own. */
  async readAll(topic: string, count: number, config: Partial<ConsumerConfig> = {}): Promise<readonly Read[]> {
    const gathering = await this.gather(topic, `${topic}-reader-${Math.random().toString(36).slice(2)}`, config)
    await gathering.reach(count)
    await gathering.consumer.disconnect()
    return gathering.reads
  }

  async closeAll(): Promise<void> {
    const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_LIMIT_MS))
    const closing = this.open.map((client) => client.disconnect().catch(() => {}))
    await Promise.race([Promise.all(closing), late])
  }
}

export class Gathering {
  readonly consumer: Consumer
  readonly reads: Read[] = []
  /** Partitions assigned in the newest generation, per topic. */
  assignment: Record<string, number[]> = {}
  joins = 0

  constructor(consumer: Consumer) {
    this.consumer = consumer
    consumer.on(consumer.events.GROUP_JOIN, (event) => {
      this.joins++
      this.assignment = event.payload.memberAssignment
    })
  }

  async start(): Promise<void> {
    await this.consumer.run({
      eachMessage: async ({ topic, partition, message }) => {
        this.reads.push({
          topic,
          partition,
          offset: Number(message.offset),
          key: message.key?.toString() ?? null,
          value: message.value?.toString() ?? null,
          message,
        })
      },
    })
  }

  values(): readonly (string | null)[] {
    return this.reads.map((read) => read.value)
  }

  async reach(count: number): Promise<void> {
    const ask = async (): Promise<true | null> => (this.reads.length >= count ? true : null)
    await until(`${count} records (${this.reads.length} at first)`, READ_LIMIT_MS, ask)
  }
}
