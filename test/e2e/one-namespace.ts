// One broker seen from both sides, for the rows of docs/one-namespace.md: kafkajs on one, amqplib on the other.
// Promises: every wait ends with its event or fails; what a row opened is closed by close().
// Does not know: which rows there are.

import amqp, { type Channel, type ChannelModel, type ConfirmChannel, type Options } from 'amqplib'
import kafkajs, { CompressionTypes, type Admin, type Message, type Producer } from 'kafkajs'
import { KafkajsClients, type Received } from './kafkajs-clients.ts'
import { Arrivals, openPlace, within, type Place } from './place.ts'

export interface Row {
  /** As the page of the docs names it. */
  readonly name: string
  readonly steps: (sides: Sides) => Promise<void>
}

export type Settings = Readonly<Record<string, string>>

/** kafkajs wraps the error or does not. */
interface RecordsNotDeleted {
  readonly partitions?: readonly { readonly error: { readonly type: string } }[]
  readonly cause?: RecordsNotDeleted
}

const topicResource = 2 as never

/** What the two sides of one broker do. */
export class Sides {
  readonly place: Place
  #clients: KafkajsClients
  #admin: Admin | undefined
  #producer: Producer | undefined
  #connections: ChannelModel[] = []
  #groups = 0

  private constructor(place: Place) {
    this.place = place
    this.#clients = new KafkajsClients(place.address)
  }

  static async open(settings: Readonly<Record<string, string | number>> = {}): Promise<Sides> {
    return new Sides(await openPlace('file:', settings))
  }

  async close(): Promise<void> {
    await this.#disconnect()
    await this.place.close()
  }

  /** Another broker on the same data. What was connected is not any more. */
  async restart(): Promise<void> {
    await this.#disconnect()
    await this.place.restart()
    this.#clients = new KafkajsClients(this.place.address)
  }

  async #disconnect(): Promise<void> {
    await this.#clients.close()
    this.#admin = undefined
    this.#producer = undefined
    const connections = this.#connections
    this.#connections = []
    await Promise.all(connections.map((one) => one.close().catch(() => undefined)))
  }

  // --- Kafka ---

  async admin(): Promise<Admin> {
    return (this.#admin ??= await this.#clients.admin())
  }

  async createTopic(topic: string, settings: Settings = {}, numPartitions = 1): Promise<void> {
    const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
    const admin = await this.admin()
    await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }] })
  }

  /** One batch. */
  async produce(topic: string, ...values: readonly string[]): Promise<void> {
    this.#producer ??= await this.#clients.producer()
    await this.#producer.send({ topic, messages: values.map((value) => ({ value })) })
  }

  async produceOne(topic: string, message: Message): Promise<void> {
    this.#producer ??= await this.#clients.producer()
    await this.#producer.send({ topic, messages: [message] })
  }

  /** A record in a batch that says it is gzip, and holds these bytes. */
  async produceAsGzip(topic: string, section: Buffer): Promise<void> {
    const codecs = kafkajs.CompressionCodecs as Record<number, unknown>
    const gzip = codecs[CompressionTypes.GZIP]
    codecs[CompressionTypes.GZIP] = () => ({ compress: () => Promise.resolve(section) })
    try {
      this.#producer ??= await this.#clients.producer()
      await this.#producer.send({ topic, messages: [{ value: 'lost' }], compression: CompressionTypes.GZIP })
    } finally {
      codecs[CompressionTypes.GZIP] = gzip
    }
  }

  /** A group of its own reads `count` records from the first there is. */
  async read(topic: string, count: number, group = `reader-${this.#groups++}`): Promise<readonly Received[]> {
    const consumer = await this.#clients.consumer(group)
    const arrivals = await this.#clients.receive(consumer, topic)
    const all = await arrivals.until(`${count} records of ${topic}`, ({ length }) => length >= count)
    await consumer.disconnect()
    return all
  }

  /** A group's offset, set from outside. */
  async commit(topic: string, offset: number, groupId = 'committed'): Promise<void> {
    const admin = await this.admin()
    await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: String(offset) }] })
  }

  async settings(topic: string): Promise<Settings> {
    const admin = await this.admin()
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: topicResource, name: topic }],
    })
    return Object.fromEntries(resources[0].configEntries.map((entry) => [entry.configName, entry.configValue]))
  }

  async alter(topic: string, settings: Settings): Promise<void> {
    const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
    const admin = await this.admin()
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: topicResource, name: topic, configEntries }] })
  }

  /** The first and the next offset of a partition. */
  async bounds(topic: string, partition = 0): Promise<{ readonly low: number; readonly high: number }> {
    const admin = await this.admin()
    const offsets = await admin.fetchTopicOffsets(topic)
    const found = offsets.find((one) => one.partition === partition)
    return { low: Number(found?.low), high: Number(found?.high) }
  }

  /** Answers 'deleted', or the name of the refusal. */
  async deleteRecords(topic: string, before: number): Promise<string> {
    const admin = await this.admin()
    // kafkajs looks for the leader before it asks who that is.
    await admin.fetchTopicOffsets(topic)
    const wanted = { topic, partitions: [{ partition: 0, offset: String(before) }] }
    return admin.deleteTopicRecords(wanted).then(
      () => 'deleted',
      (error: RecordsNotDeleted) => (error.partitions ?? error.cause?.partitions)?.[0].error.type ?? String(error),
    )
  }

  async topics(): Promise<readonly string[]> {
    const admin = await this.admin()
    return admin.listTopics()
  }

  // --- AMQP ---

  async connect(): Promise<ChannelModel> {
    // An ack and then a get are two small writes: together they would wait for the other side's delayed TCP ack.
    const connection = await amqp.connect(this.place.url, { noDelay: true })
    connection.on('error', () => undefined)
    this.#connections.push(connection)
    return connection
  }

  /** A channel of a connection of its own, unless one is given. */
  async channel(connection?: ChannelModel): Promise<ConfirmChannel> {
    const channel = await (connection ?? (await this.connect())).createConfirmChannel()
    channel.on('error', () => undefined)
    return channel
  }

  async declare(queue: string, options: Options.AssertQueue = {}): Promise<number> {
    const channel = await this.channel()
    const { messageCount } = await channel.assertQueue(queue, { durable: true, ...options })
    await channel.close()
    return messageCount
  }

  async publish(queue: string, ...bodies: readonly string[]): Promise<void> {
    const channel = await this.channel()
    for (const body of bodies) channel.sendToQueue(queue, Buffer.from(body), { persistent: true })
    await within('confirms', channel.waitForConfirms())
    await channel.close()
  }

  /** Takes and acknowledges all that is ready. */
  async workOff(queue: string): Promise<readonly string[]> {
    const channel = await this.channel()
    const bodies: string[] = []
    for (let got = await channel.get(queue); got !== false; got = await channel.get(queue)) {
      bodies.push(got.content.toString())
      channel.ack(got)
    }
    await channel.close()
    return bodies
  }

  /** What a consumer of a channel is given, unacknowledged; `cancelled` where the broker ends it. */
  async consume(channel: Channel, queue: string, options: Options.Consume = {}): Promise<Arrivals<string>> {
    const arrivals = new Arrivals<string>()
    await channel.consume(queue, (message) => arrivals.add(message?.content.toString() ?? 'cancelled'), options)
    return arrivals
  }

  /** The code that `call` on a channel of its own is refused with; 'taken': it is not. */
  async refusal(call: (channel: Channel) => Promise<unknown>, connection?: ChannelModel): Promise<string> {
    const channel = await this.channel(connection)
    try {
      await call(channel)
    } catch (error) {
      return /\b[345]\d\d\b/.exec((error as Error).message)?.[0] ?? (error as Error).message
    }
    await channel.close()
    return 'taken'
  }
}

/** Looks until `look` answers true. */
export async function eventually(what: string, look: () => Promise<boolean>): Promise<void> {
  const looking = async (): Promise<void> => {
    while (!(await look())) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await within(what, looking())
}
