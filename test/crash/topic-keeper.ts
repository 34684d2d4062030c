// Topics that come and go under load, and what was promised of them.
// Promises: an acknowledged creation is there after a crash, an acknowledged deletion is not.
// Does not know: the topics that stay (main.ts).

import { apis } from '../../src/wire/kafka/api-table.ts'
import { PlainProducer, unlessGone, type Dice } from './producers.ts'
import type { PromiseBook } from './promises.ts'
import type { WireClient } from './wire-client.ts'

const livingMax = 4

export async function createTopic(
  client: WireClient,
  name: string,
  numPartitions: number,
  settings: Readonly<Record<string, string>> = {},
): Promise<number> {
  const { topics } = await client.send(apis.createTopics, 4, {
    topics: [
      {
        name,
        numPartitions,
        replicationFactor: 1,
        assignments: [],
        configs: Object.entries(settings).map(([key, value]) => ({ name: key, value })),
      },
    ],
    timeoutMs: 10_000,
    validateOnly: false,
  })
  return topics[0].errorCode
}

export class TopicKeeper {
  /** Created and acknowledged, not asked to go. */
  private readonly living = new Set<string>()
  private readonly gone = new Set<string>()
  /** Asked for and not answered. */
  private readonly unknown = new Set<string>()
  private next = 0

  async run(client: WireClient, book: PromiseBook, dice: Dice, complain: (what: string) => void): Promise<void> {
    try {
      while (!client.isGone) {
        await this.create(client, book, dice, complain)
        if (this.living.size > livingMax) await this.remove(client, book, complain)
      }
    } catch (error) {
      unlessGone(error)
    }
  }

  private async create(
    client: WireClient,
    book: PromiseBook,
    dice: Dice,
    complain: (what: string) => void,
  ): Promise<void> {
    const name = `passing-${this.next++}`
    this.unknown.add(name)
    const errorCode = await createTopic(client, name, 1 + dice.below(3))
    this.unknown.delete(name)
    if (errorCode !== 0) return complain(`${name}: not created, error ${errorCode}`)
    this.living.add(name)
    const producer = new PlainProducer(name, [{ topic: name, partition: 0 }])
    for (let sent = dice.below(4); sent > 0; sent--) await producer.once(client, book, dice, complain)
  }

  private async remove(client: WireClient, book: PromiseBook, complain: (what: string) => void): Promise<void> {
    const [name] = this.living
    this.living.delete(name)
    this.unknown.add(name)
    // From the request on, nobody may say what the topic still holds.
    book.forgetTopic(name)
    const { responses } = await client.send(apis.deleteTopics, 4, { topicNames: [name], timeoutMs: 10_000 })
    this.unknown.delete(name)
    if (responses[0].errorCode !== 0) complain(`${name}: not deleted, error ${responses[0].errorCode}`)
    else this.gone.add(name)
  }

  /** Judges the topics found; of those whose fate nobody knew it is known now. */
  judge(found: readonly string[], book: PromiseBook): string[] {
    const there = new Set(found)
    const broken: string[] = []
    for (const name of this.living) {
      if (there.has(name)) continue
      broken.push(`${name}: created and acknowledged, and gone`)
      this.living.delete(name)
      book.forgetTopic(name)
    }
    for (const name of this.gone) {
      if (there.has(name)) broken.push(`${name}: deleted and acknowledged, and there again`)
    }
    this.gone.clear()
    for (const name of this.unknown) if (!there.has(name)) book.forgetTopic(name)
    this.unknown.clear()
    return broken
  }

  /** Whether the contents of a topic are judged: one whose deletion was asked for holds what it holds. */
  isJudged(name: string): boolean {
    // A queue is a topic too; its promises are judged by those who use it as a queue.
    if (name.startsWith('crash.')) return false
    return !name.startsWith('passing-') || this.living.has(name)
  }
}
