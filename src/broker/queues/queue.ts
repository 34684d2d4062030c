// One queue at run time: what is published to it, who consumes it, and what became of each message.
// Promises: messages are stored in the order of add(); a receipt is settled after the commit of what it stands for.
// Does not know: routing, channels, delivery tags; how its messages are found and read (dispatch.ts).

import { assert } from '../../base/assert.ts'
import type { World } from '../../base/world.ts'
import type { AppendEntry, Store } from '../../log/store.ts'
import type { Topic } from '../catalog.ts'
import type { Refusal } from '../errors.ts'
import type { CancelReason, Receipt } from '../queue-door.ts'
import type { Partitions } from '../streams/partitions.ts'
import type { QueuePolicy } from './facts.ts'
import type {
  ClosedReason,
  DeadLettering,
  LedgerClosing,
  LedgersPart,
  NewMessage,
  QueueConsumer,
  QueuePart,
  StoredMessage,
} from './parts.ts'

/** What all queues of a broker share. */
export interface QueueHost {
  readonly world: World
  readonly store: Store
  readonly partitions: Partitions
  readonly ledgers: LedgersPart
  /** The catalog's topic of that name if it is a queue too. */
  queueTopic(vhost: string, name: string): Topic | undefined
  policyOf(topic: Topic): QueuePolicy
  deadLettering(): DeadLettering
  /** Called by the queue behind each consume(), cancel() and take(): auto-delete and x-expires look at `consumers`. */
  used(queue: QueuePart): void
}

export class Queue implements QueuePart {
  readonly topic: Topic
  policy: QueuePolicy
  isDeleted = false
  readonly isReady = false
  readonly messages = 0
  readonly unacknowledged = 0
  readonly consumers = 0

  constructor(host: QueueHost, topic: Topic) {
    this.topic = topic
    this.policy = host.policyOf(topic)
  }

  async ready(): Promise<Refusal | undefined> {
    return undefined
  }

  add(_message: NewMessage): Receipt | Refusal {
    assert(false, 'not built')
  }

  entriesFor(_messages: readonly NewMessage[]): readonly AppendEntry[] {
    assert(false, 'not built')
  }

  closings(_offsets: readonly number[], _reason: ClosedReason): readonly LedgerClosing[] {
    return []
  }

  appended(_outcome: Promise<void>): void {}

  accepts(_bodyBytes: number): boolean {
    return true
  }

  async readEach(_offsets: readonly number[], _see: (message: StoredMessage) => void): Promise<void> {}

  async settled(): Promise<void> {}

  consume(_consumer: QueueConsumer): Refusal | undefined {
    return undefined
  }

  cancel(_consumer: QueueConsumer): void {}

  resume(): void {}

  async take(_noAck: boolean): Promise<StoredMessage | undefined | Refusal> {
    return undefined
  }

  acknowledge(_offset: number): void {}

  giveBack(_offset: number, _counts: boolean): void {}

  reject(_offset: number): void {}

  async purge(): Promise<number | Refusal> {
    return 0
  }

  setPolicy(policy: QueuePolicy): void {
    this.policy = policy
  }

  drop(_reason: CancelReason): void {
    this.isDeleted = true
  }

  async close(): Promise<void> {}
}
