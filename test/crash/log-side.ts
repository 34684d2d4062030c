// An exchange that remembers, in a crash round: AMQP publishes to it, Kafka's producers write it, its bindings copy.
// Promises: what was confirmed is in the topic once; what is in the topic is at each binding that wants it exactly once and
// in the order of its partition, whatever the broker was killed in.
// Does not know: queues that are worked off, when the broker dies.

import type { ChannelModel } from 'amqplib'
import { batchOf, produce, unlessGone, type Dice } from './producers.ts'
import { idOf, partitionKey, valueOf, type Contents } from './promises.ts'
import { amqpClient } from './queue-places.ts'
import { unlessEnded, type Addresses } from './queue-side.ts'
import { readAll, type TopicThere } from './read-back.ts'
import { createTopic } from './topic-keeper.ts'
import { WireClient } from './wire-client.ts'

const exchange = 'crash.log'
const partitions = 2
/** Each a topic that is a queue too, so that everything that was ever copied stays there. */
const bindings: readonly { readonly name: string; readonly key: string; wants(id: string): boolean }[] = [
  { name: 'crash.log.all', key: '#', wants: () => true },
  { name: 'crash.log.some', key: 'some.#', wants: (id) => id.startsWith('some.') },
]
const there: readonly TopicThere[] = [
  { name: exchange, partitions },
  ...bindings.map(({ name }) => ({ name, partitions: 1 })),
]
const codecs = ['none', 'gzip'] as const
const burstMax = 12
const pauseMsMax = 8
const copiedLimitMs = 10_000

export class LogSide {
  /** Ids that were confirmed or acknowledged. */
  private readonly promised = new Set<string>()
  private next = 0

  counts(): string {
    return `${this.promised.size} remembered`
  }

  async declare({ amqp, address }: Addresses): Promise<void> {
    const client = await WireClient.open(address, 'logs')
    for (const { name, partitions: count } of there) {
      const errorCode = await createTopic(client, name, count, { 'retention.ms': '-1' })
      if (errorCode !== 0) throw new Error(`topic ${name} was refused with ${errorCode}`)
    }
    client.end()
    const connection = await amqpClient(amqp)
    const channel = await connection.createChannel()
    await channel.assertExchange(exchange, 'x-log', { durable: true })
    for (const { name, key } of bindings) {
      await channel.assertQueue(name, { durable: true })
      await channel.bindQueue(name, exchange, key, { 'x-stream-offset': 'first' })
    }
    await connection.close()
  }

  private ids(count: number, dice: Dice): string[] {
    return Array.from({ length: count }, () => `${dice.below(2) === 0 ? 'some' : 'else'}.log:${this.next++}`)
  }

  /** Until the broker dies. */
  async load({ amqp, address }: Addresses, dice: Dice, complain: (what: string) => void): Promise<void> {
    const client = await WireClient.open(address, 'logs')
    await Promise.all([
      amqpClient(amqp)
        .then((connection) => this.publish(connection, dice, complain))
        .catch(unlessEnded),
      this.produce(client, dice, complain),
    ])
    client.end()
  }

  private async publish(connection: ChannelModel, dice: Dice, complain: (what: string) => void): Promise<void> {
    let isOpen = true
    connection.on('close', () => (isOpen = false))
    const channel = await connection.createConfirmChannel()
    channel.on('error', (error: Error) => complain(`${exchange}: the channel was closed: ${error.message}`))
    while (isOpen) {
      for (const id of this.ids(1 + dice.below(burstMax), dice))
        channel.publish(exchange, id, valueOf(id), { persistent: true }, (error) => {
          if (error === null || error === undefined) this.promised.add(id)
        })
      await new Promise((resolve) => setTimeout(resolve, dice.below(pauseMsMax)))
    }
  }

  private async produce(client: WireClient, dice: Dice, complain: (what: string) => void): Promise<void> {
    try {
      while (!client.isGone) {
        const ids = this.ids(1 + dice.below(burstMax), dice)
        const batch = batchOf(ids, codecs[dice.below(codecs.length)])
        const [{ errorCode }] = await produce(client, [{ topic: exchange, partition: dice.below(partitions), batch }])
        if (errorCode !== 0) complain(`${exchange}: a Kafka producer was refused with ${errorCode}`)
        else for (const id of ids) this.promised.add(id)
        await new Promise((resolve) => setTimeout(resolve, dice.below(pauseMsMax)))
      }
    } catch (error) {
      unlessGone(error)
    }
  }

  /** After a crash, once what was not copied before has been. */
  async verify({ address }: Addresses): Promise<string[]> {
    const client = await WireClient.open(address, 'logs')
    const deadline = performance.now() + copiedLimitMs
    for (;;) {
      const contents = await readAll(client, there)
      const read = (name: string, partition: number): Contents => {
        const found = contents.get(partitionKey(name, partition))
        if (found === undefined) throw new Error(`${name}/${partition} was not read`)
        return found
      }
      const sources = Array.from({ length: partitions }, (_, partition) => read(exchange, partition))
      const { broken } = judgeSources(sources, this.promised)
      const copies = bindings.map(({ name, wants }) => judgeCopies(name, sources, read(name, 0), wants))
      const missing = copies.flatMap((one) => one.missing)
      if (missing.length === 0 || performance.now() > deadline) {
        client.end()
        return [...broken, ...copies.flatMap((one) => one.broken), ...missing]
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

/** What was promised is in the topic, and nothing twice. */
export function judgeSources(sources: readonly Contents[], promised: ReadonlySet<string>): { broken: string[] } {
  const broken: string[] = []
  const found = new Set<string>()
  for (const value of sources.flatMap(({ values }) => values)) {
    const id = idOf(value)
    if (found.has(id)) broken.push(`${exchange}: ${id} is there twice`)
    found.add(id)
  }
  for (const id of promised) if (!found.has(id)) broken.push(`${exchange}: ${id} was confirmed and is gone`)
  return { broken }
}

/** What is missing may still come; what is broken stays so. */
export function judgeCopies(
  name: string,
  sources: readonly Contents[],
  copies: Contents,
  wants: (id: string) => boolean,
): { broken: string[]; missing: string[] } {
  const broken: string[] = []
  /** Partition and place there, by id. */
  const places = new Map<string, readonly [number, number]>()
  for (const [partition, { values }] of sources.entries())
    for (const [at, value] of values.entries()) places.set(idOf(value), [partition, at])
  const last = sources.map(() => -1)
  const copied = new Set<string>()
  for (const value of copies.values) {
    const id = idOf(value)
    const place = places.get(id)
    if (copied.has(id)) broken.push(`${name}: ${id} was copied twice`)
    copied.add(id)
    if (place === undefined) {
      broken.push(`${name}: ${id || value.toString('hex', 0, 20)} is not in ${exchange}`)
      continue
    }
    const [partition, at] = place
    if (!wants(id)) broken.push(`${name}: ${id} is nothing that its binding wants`)
    if (!value.equals(valueOf(id))) broken.push(`${name}: ${id} has other bytes than were sent`)
    if (at < last[partition]) broken.push(`${name}: ${id} comes after what was stored behind it`)
    last[partition] = at
  }
  const missing = [...places.keys()].filter((id) => wants(id) && !copied.has(id))
  return { broken, missing: missing.map((id) => `${name}: ${id} was not copied`) }
}
