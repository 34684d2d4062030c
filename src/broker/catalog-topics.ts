// An index of topics: by vhost and name, by id, and the sorted list that clients of Kafka see.
// Promises: lookups are synchronous; a topic put under a name replaces the one there.
// Does not know: records, settings; which topics are durable (the catalog has one index for each kind).

import type { TopicId } from '../log/store.ts'
import type { TopicRef } from './door.ts'
import type { QueueFacts } from './queues/facts.ts'
import { judgeTopicName } from './streams/topic-names.ts'

/** What the index looks at. */
interface Indexed {
  readonly vhost: string
  readonly name: string
  readonly id: TopicId
  readonly origin: 'kafka' | 'amqp'
  readonly queue: QueueFacts | undefined
  readonly over?: TopicId | undefined
}

/** Names the broker makes up, and its own exchanges and pseudo-queues. */
export const reservedPrefix = 'amq.'

/**
 * Whether clients of Kafka hear of the topic: not of one client's own queues, nor of further ledgers, nor of names Kafka
 * could not say.
 */
export function isListed(topic: Indexed): boolean {
  if (topic.queue?.exclusive === true || topic.over !== undefined) return false
  if (topic.origin === 'kafka') return true
  return !topic.name.startsWith(reservedPrefix) && judgeTopicName(topic.name) === undefined
}

export class TopicIndex<Topic extends Indexed> {
  readonly #byName = new Map<string, Map<string, Topic>>()
  readonly #byId = new Map<TopicId, Topic>()
  /** Further ledgers, by the topic whose logs they are over: topics without any are not in it. */
  readonly #over = new Map<TopicId, Map<TopicId, Topic>>()

  get size(): number {
    return this.#byId.size
  }

  find(vhost: string, topic: TopicRef): Topic | undefined {
    if ('name' in topic) return this.named(vhost, topic.name)
    const found = this.#byId.get(topic.id)
    return found?.vhost === vhost ? found : undefined
  }

  /** As find(), for each message: without an object for the question. */
  named(vhost: string, name: string): Topic | undefined {
    return this.#byName.get(vhost)?.get(name)
  }

  byId(id: TopicId): Topic | undefined {
    return this.#byId.get(id)
  }

  all(): IterableIterator<Topic> {
    return this.#byId.values()
  }

  of(vhost: string): Iterable<Topic> {
    return this.#byName.get(vhost)?.values() ?? []
  }

  over(id: TopicId): Iterable<Topic> {
    return this.#over.get(id)?.values() ?? []
  }

  put(topic: Topic): void {
    let topics = this.#byName.get(topic.vhost)
    if (topics === undefined) this.#byName.set(topic.vhost, (topics = new Map()))
    const before = topics.get(topic.name)
    if (before !== undefined && before.id !== topic.id) this.#forget(before)
    if (topic.over !== undefined) {
      let over = this.#over.get(topic.over)
      if (over === undefined) this.#over.set(topic.over, (over = new Map()))
      over.set(topic.id, topic)
    }
    topics.set(topic.name, topic)
    this.#byId.set(topic.id, topic)
  }

  remove(vhost: string, name: string): Topic | undefined {
    const topics = this.#byName.get(vhost)
    const topic = topics?.get(name)
    if (topics === undefined || topic === undefined) return undefined
    topics.delete(name)
    if (topics.size === 0) this.#byName.delete(vhost)
    this.#forget(topic)
    return topic
  }

  #forget(topic: Topic): void {
    this.#byId.delete(topic.id)
    if (topic.over === undefined) return
    const over = this.#over.get(topic.over)
    over?.delete(topic.id)
    if (over?.size === 0) this.#over.delete(topic.over)
  }
}
