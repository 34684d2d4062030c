// Queues at run time: one object for each topic that is a queue, made when it is first asked for.
// Promises: the same Queue for the same topic id as long as the topic lives; a topic that is gone has none.
// Does not know: how queues are declared or listed (queue-desk.ts), what a queue does (queue.ts).

import type { TopicId } from '../../log/store.ts'
import type { Topic } from '../catalog.ts'
import type { CancelReason } from '../queue-door.ts'
import type { QueuesPart } from './parts.ts'
import { Queue, type QueueHost } from './queue.ts'

export class Queues implements QueuesPart {
  readonly #host: QueueHost
  readonly #byId = new Map<TopicId, Queue>()

  constructor(host: QueueHost) {
    this.#host = host
  }

  find(vhost: string, name: string): Queue | undefined {
    const topic = this.#host.queueTopic(vhost, name)
    if (topic === undefined) return undefined
    let queue = this.#byId.get(topic.id)
    if (queue === undefined) this.#byId.set(topic.id, (queue = new Queue(this.#host, topic)))
    return queue
  }

  /** As find(), but only when it was asked for before. */
  seen(topic: Topic): Queue | undefined {
    return this.#byId.get(topic.id)
  }

  all(): IterableIterator<Queue> {
    return this.#byId.values()
  }

  /** Policies or settings changed: every live queue takes what follows from them. */
  policiesChanged(): void {
    for (const queue of this.#byId.values()) queue.setPolicy(this.#host.policyOf(queue.topic))
  }

  /** The queue is gone from the catalog. */
  drop(topic: Topic, reason: CancelReason = 'queueDeleted'): void {
    const queue = this.#byId.get(topic.id)
    this.#byId.delete(topic.id)
    queue?.drop(reason)
  }

  async close(): Promise<void> {
    await Promise.all(Array.from(this.#byId.values(), (queue) => queue.close()))
  }
}
