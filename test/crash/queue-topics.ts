// Queues as topics: Kafka producers that write into them beside AMQP's publishers, and what a Kafka reader finds there.
// Promises: what was acknowledged goes into the queues' book as confirmed, and is where it was acknowledged until a
// consumer took it; one message lies at one offset, and an offset never holds another.
// Does not know: how queues are worked off, when the broker dies.

import { batchOf, produce, unlessGone, type Dice } from './producers.ts'
import { idOf, partitionKey, topicOf, type Contents, type PartitionKey } from './promises.ts'
import type { QueueBook } from './queue-book.ts'
import { furtherQueues, widePartitions } from './queue-places.ts'
import { readAll } from './read-back.ts'
import type { WireClient } from './wire-client.ts'

/** Queues that Kafka's clients know too. One whose messages expire is not for records of an old time. */
const written: ReadonlyMap<string, number> = new Map([
  ...['crash.work', 'crash.shared', 'crash.levels', 'crash.quorum'].map((name) => [name, 1] as const),
  ['crash.wide', widePartitions],
])
const codecs = ['none', 'none', 'gzip', 'lz4'] as const
const recordsMax = 6
const pauseMsMax = 8

export class QueueTopics {
  private next = 0
  /** By partition: what was acknowledged or read at an offset. */
  private readonly known = new Map<PartitionKey, Map<number, string>>()
  produced = 0

  private knownOf(key: PartitionKey): Map<number, string> {
    let known = this.known.get(key)
    if (known === undefined) this.known.set(key, (known = new Map()))
    return known
  }

  /** Writes into all of them until the broker dies; a queue's records in order. */
  async run(client: WireClient, book: QueueBook, dice: Dice, complain: (what: string) => void): Promise<void> {
    const lane = async (queue: string): Promise<void> => {
      while (!client.isGone) {
        await this.once(client, queue, book, dice, complain)
        await new Promise((resolve) => setTimeout(resolve, dice.below(pauseMsMax)))
      }
    }
    await Promise.all([...written.keys()].map(lane)).catch(unlessGone)
  }

  private async once(
    client: WireClient,
    queue: string,
    book: QueueBook,
    dice: Dice,
    complain: (what: string) => void,
  ): Promise<void> {
    const partition = dice.below(written.get(queue) ?? 1)
    const ids = Array.from({ length: 1 + dice.below(recordsMax) }, () => `kafka.${queue}:${this.next++}`)
    const taking = queuesOver(queue)
    for (const id of ids) book.publish(taking, id)
    const batch = batchOf(ids, codecs[dice.below(codecs.length)])
    const [{ errorCode, baseOffset }] = await produce(client, [{ topic: queue, partition, batch }])
    if (errorCode !== 0) return complain(`${queue}: a Kafka producer was refused with ${errorCode}`)
    this.produced += ids.length
    const known = this.knownOf(partitionKey(queue, partition))
    for (const [index, id] of ids.entries()) {
      book.confirm(taking, id)
      known.set(baseOffset + index, id)
    }
  }

  /** After a crash, before anybody takes more out. */
  async judge(client: WireClient, book: QueueBook): Promise<string[]> {
    const contents = await readAll(
      client,
      [...written].map(([name, partitions]) => ({ name, partitions })),
    )
    return [...contents].flatMap(([key, there]) => this.judgeOne(key, there, book))
  }

  judgeOne(key: PartitionKey, contents: Contents, book: QueueBook): string[] {
    const broken: string[] = []
    const queue = topicOf(key)
    const taking = queuesOver(queue)
    const known = this.knownOf(key)
    const found = new Map<number, string>()
    const places = new Map<string, number>()
    for (const [id, offset] of [...known].map(([offset, id]) => [id, offset] as const)) places.set(id, offset)
    for (const [index, offset] of contents.offsets.entries()) {
      const id = idOf(contents.values[index])
      found.set(offset, id)
      const before = known.get(offset)
      if (before !== undefined && before !== id)
        broken.push(`${key}: offset ${offset} held ${before}, and holds ${id} now`)
      const place = places.get(id)
      if (place !== undefined && place !== offset) broken.push(`${key}: ${id} is at ${place} and again at ${offset}`)
      places.set(id, offset)
    }
    for (const [offset, id] of known)
      if (!found.has(offset) && taking.some((one) => book.isOwed(one, id)))
        broken.push(`${key}: ${id} at ${offset} was taken by nobody, and no Kafka reader finds it`)
    this.known.set(key, found)
    return broken
  }
}

/** The queue and those that work its log off beside it. */
function queuesOver(queue: string): readonly string[] {
  const further = furtherQueues.get(queue)
  return further === undefined ? [queue] : [queue, further]
}
