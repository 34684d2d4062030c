// Queues that end by themselves: those nobody uses for as long as they said, and those whose last consumer left.
// Promises: a lease begins anew with each use and with the broker's start, and never ends while somebody consumes;
// auto-delete only after there was a consumer. What could not be deleted is tried again.
// Does not know: how a queue is deleted, what its arguments are called.

import type { Timer, World } from '../../../base/world.ts'
import type { TopicId } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import type { Refusal } from '../../errors.ts'
import type { QueuePart } from '../parts.ts'

export interface QueueLifeHost {
  readonly world: World
  /** How many consume from it now. */
  consumersOf(topic: Topic): number
  /** undefined: it is gone. */
  end(topic: Topic): Promise<Refusal | undefined>
}

const tryAgainMs = 1000
/** Leases may be years long, timers not. */
const lookMsMax = 86_400_000

interface Lease {
  readonly topic: Topic
  expiresMs: number
  usedAtMs: number
  timer: Timer
}

export class QueueLife {
  readonly #host: QueueLifeHost
  readonly #leases = new Map<TopicId, Lease>()
  /** Auto-delete queues that were consumed from. */
  readonly #consumed = new Set<TopicId>()
  #isClosed = false

  constructor(host: QueueLifeHost) {
    this.#host = host
  }

  /** A queue is there, or its lease is another now. undefined: it has none. */
  lease(topic: Topic, expiresMs: number | undefined): void {
    const lease = this.#leases.get(topic.id)
    if (lease?.expiresMs === expiresMs) return
    lease?.timer.cancel()
    this.#leases.delete(topic.id)
    if (expiresMs === undefined || this.#isClosed) return
    const { clock } = this.#host.world
    const usedAtMs = lease?.usedAtMs ?? clock.monotonicMs()
    const timer = this.#look(topic.id, usedAtMs + expiresMs - clock.monotonicMs())
    this.#leases.set(topic.id, { topic, expiresMs, usedAtMs, timer })
  }

  /** Declared again, consumed from, left, or read from. */
  used(queue: QueuePart): void {
    const { topic } = queue
    this.renew(topic)
    if (topic.queue?.autoDelete !== true) return
    if (queue.consumers > 0) this.#consumed.add(topic.id)
    else if (this.#consumed.has(topic.id)) void this.#autoDelete(topic)
  }

  renew(topic: Topic): void {
    const lease = this.#leases.get(topic.id)
    if (lease !== undefined) lease.usedAtMs = this.#host.world.clock.monotonicMs()
  }

  forget(topic: Topic): void {
    this.#leases.get(topic.id)?.timer.cancel()
    this.#leases.delete(topic.id)
    this.#consumed.delete(topic.id)
  }

  close(): void {
    this.#isClosed = true
    for (const { timer } of this.#leases.values()) timer.cancel()
    this.#leases.clear()
    this.#consumed.clear()
  }

  #look(id: TopicId, afterMs: number): Timer {
    return this.#host.world.clock.after(Math.min(Math.max(1, afterMs), lookMsMax), () => void this.#expire(id))
  }

  async #expire(id: TopicId): Promise<void> {
    const lease = this.#leases.get(id)
    if (lease === undefined) return
    const { clock, trace } = this.#host.world
    const leftMs = lease.usedAtMs + lease.expiresMs - clock.monotonicMs()
    if (this.#host.consumersOf(lease.topic) > 0) {
      // The lease begins when the last of them leaves, which is told.
      lease.timer = this.#look(id, lease.expiresMs)
      return
    }
    if (leftMs > 0) {
      lease.timer = this.#look(id, leftMs)
      return
    }
    const refused = await this.#host.end(lease.topic)
    if (refused === undefined) trace.count('queues.expired')
    else if (this.#leases.get(id) === lease) lease.timer = this.#look(id, tryAgainMs)
  }

  async #autoDelete(topic: Topic): Promise<void> {
    const { clock, trace } = this.#host.world
    const refused = await this.#host.end(topic)
    if (refused === undefined) return trace.count('queues.autodeleted')
    clock.after(tryAgainMs, () => {
      const isIdle = this.#consumed.has(topic.id) && this.#host.consumersOf(topic) === 0
      if (isIdle) void this.#autoDelete(topic)
    })
  }
}
