// kafkajs as the end-to-end tests use it: quick to notice, with all of Kafka's codecs.
// Promises: every client opened through it is closed by it.
// Does not know: what is tested.

import kafkajs, {
  CompressionTypes,
  Kafka,
  logLevel,
  type Admin,
  type Consumer,
  type ConsumerConfig,
  type KafkaMessage,
  type Producer,
  type ProducerConfig,
} from 'kafkajs'
import type { CompressionName } from '../../src/log/batch.ts'
import { deflate, inflate } from '../../src/log/compression.ts'
import { Arrivals } from './place.ts'

for (const [type, codec] of [
  [CompressionTypes.Snappy, 'snappy'],
  [CompressionTypes.LZ4, 'lz4'],
  [CompressionTypes.ZSTD, 'zstd'],
] as const satisfies readonly (readonly [CompressionTypes, CompressionName])[]) {
  kafkajs.CompressionCodecs[type] = () => ({
    compress: (encoder: { buffer: Buffer }) => Promise.resolve(deflate(codec, encoder.buffer)),
    decompress: (section: Buffer) => Promise.resolve(inflate(codec, section, 64 * 1024 * 1024)),
  })
}

export type Received = KafkaMessage & {
  readonly topic: string
  readonly partition: number
  /** Which consumer received it. */
  readonly by: string
}

export class KafkajsClients {
  readonly kafka: Kafka
  private readonly open: { disconnect(): Promise<void> }[] = []

  constructor(address: string) {
    this.kafka = new Kafka({
      clientId: 'e2e',
      brokers: [address],
      logLevel: logLevel.NOTHING,
      retry: { initialRetryTime: 20, maxRetryTime: 200, retries: 8 },
    })
  }

  async admin(): Promise<Admin> {
    const admin = this.kafka.admin()
    this.open.push(admin)
    await admin.connect()
    return admin
  }

  async producer(config: ProducerConfig = {}): Promise<Producer> {
    const producer = this.kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner, ...config })
    this.open.push(producer)
    await producer.connect()
    return producer
  }

  async consumer(groupId: string, config: Partial<ConsumerConfig> = {}): Promise<Consumer> {
    const quick = { heartbeatInterval: 60, sessionTimeout: 6000, rebalanceTimeout: 6000, maxWaitTimeInMs: 100 }
    const consumer = this.kafka.consumer({ groupId, ...quick, ...config })
    this.open.push(consumer)
    await consumer.connect()
    return consumer
  }

  /** Subscribes and runs; what it receives arrives. */
  async receive(
    consumer: Consumer,
    topic: string,
    arrivals: Arrivals<Received> = new Arrivals(),
    by = 'consumer',
  ): Promise<Arrivals<Received>> {
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      eachMessage: ({ topic: from, partition, message }) => {
        arrivals.add({ ...message, topic: from, partition, by })
        return Promise.resolve()
      },
    })
    return arrivals
  }

  async close(): Promise<void> {
    await Promise.all(this.open.splice(0).map((client) => client.disconnect()))
  }
}

/** What a consumer is assigned of one topic, after each join. */
export function assignments(consumer: Consumer, topic: string): Arrivals<readonly number[]> {
  const joins = new Arrivals<readonly number[]>()
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => joins.add(payload.memberAssignment[topic] ?? []))
  return joins
}
