// The lag desk: how far behind every group and every queue is, in one list.
// Promises: one row for each group and topic it has offsets of, and for each queue with a ledger. At most
// logsOpenedMax logs are opened for a list; rows that would need more are not counted, and say so.
// Does not know: who may see what (it is told), how groups and queues work.

import { assert, InvariantError } from '../base/assert.ts'
import type { Clock } from '../base/world.ts'
import type { Log, Store } from '../log/store.ts'
import { logId } from '../log/store.ts'
import type { Catalog, Topic } from './catalog.ts'
import type { CommittedOffset, GroupCalls, LagBacklog, LagReport, LagView } from './door.ts'
import { isRefusal } from './errors.ts'
import type { Ledgers } from './queues/ledgers/ledgers.ts'
import type { LedgerId } from './queues/parts.ts'
import { bytesBehind, timeOfFirst } from './streams/backlog.ts'
import type { Partitions } from './streams/partitions.ts'

/** Logs that nobody used since the start, opened for one list. */
const logsOpenedMax = 256
/** Queues, and groups' topics, looked at between two turns of the event loop. */
const looksATurn = 32

export interface LagHost {
  readonly clock: Clock
  readonly store: Pick<Store, 'bytesOf'>
  readonly catalog: Pick<Catalog, 'find' | 'queues'>
  readonly partitions: Partitions
  readonly ledgers: Pick<Ledgers, 'openIn' | 'endOf'>
  /** The ledgers of a queue are over the logs of `topic`; undefined: it has none (a stream). */
  ledgersOf(queue: Topic): { readonly topic: Topic; readonly number: number } | undefined
}

export interface LagCall {
  readonly vhost: string
  /** Only rows of this group, queue or topic; undefined: all. */
  readonly name: string | undefined
  /** As the asker may use them. */
  readonly groups: Pick<GroupCalls, 'list' | 'fetch'>
  mayTellOf(queue: string): boolean
}

/** How many logs may still be opened. */
interface Allowance {
  left: number
}

export class LagDesk {
  readonly #host: LagHost

  constructor(host: LagHost) {
    this.#host = host
  }

  async list(call: LagCall): Promise<LagReport> {
    const allowance: Allowance = { left: logsOpenedMax }
    const rows: LagView[] = []
    let looked = 0
    const add = async (row: LagView | undefined): Promise<void> => {
      if (row !== undefined) rows.push(row)
      // Most reads answer from memory: others have their turn all the same.
      if (++looked % looksATurn === 0) await new Promise<void>((done) => this.#host.clock.endOfTurn(done))
    }
    for (const queue of this.#host.catalog.queues(call.vhost)) await add(await this.#ofQueue(queue, call, allowance))
    for (const { group } of await call.groups.list()) {
      const offsets = await call.groups.fetch({ group, memberId: '', memberEpoch: -1, partitions: undefined })
      // Not his to see, or gone meanwhile.
      if (isRefusal(offsets)) continue
      for (const [topic, own] of byTopic(offsets)) await add(await this.#ofGroup(group, topic, own, call, allowance))
    }
    return { atMs: this.#host.clock.nowMs(), rows }
  }

  // --- queues ---

  async #ofQueue(queue: Topic, call: LagCall, allowance: Allowance): Promise<LagView | undefined> {
    const over = this.#host.ledgersOf(queue)
    if (over === undefined || !isAskedFor(call, queue.name, over.topic.name) || !call.mayTellOf(queue.name))
      return undefined
    // Deleted since the list began.
    if (this.#host.catalog.find(call.vhost, { name: queue.name })?.id !== queue.id) return undefined
    const { topic, number } = over
    const behind: LagBacklog[] = []
    for (let index = 0; index < topic.partitions; index++) {
      const id: LedgerId = { log: logId(topic.id, index), number }
      const one = await this.#ofLedger(topic, index, id, allowance)
      if (one === 'gone') return undefined
      if (one === 'notCounted') return rowOf('queue', queue.name, topic.name, topic.partitions, undefined)
      behind.push(one)
    }
    return rowOf('queue', queue.name, topic.name, topic.partitions, behind)
  }

  async #ofLedger(
    topic: Topic,
    index: number,
    id: LedgerId,
    allowance: Allowance,
  ): Promise<LagBacklog | 'gone' | 'notCounted'> {
    // What is empty need not be opened, and of ten thousand queues most are.
    if (this.#isEmptyUnopened(topic, index)) return nothingBehind(this.#host.ledgers.endOf(id.log))
    const log = await this.#open(topic, index, allowance)
    if (typeof log === 'string') return log
    const end = log.committed
    const open = this.#host.ledgers.openIn(id, log.start, end)
    if (open.first === undefined) return nothingBehind(end)
    const { bytes, areEstimated } = bytesBehind(log, open.first)
    const share = open.count / (end - open.first)
    return {
      records: open.count,
      unacknowledged: open.acquired,
      bytes: Math.round(bytes * share),
      bytesAreEstimated: areEstimated || share < 1,
      oldestMs: await this.#timeOf(log, open.first),
      end,
      position: end - open.count,
    }
  }

  // --- groups ---

  async #ofGroup(
    group: string,
    name: string,
    offsets: readonly CommittedOffset[],
    call: LagCall,
    allowance: Allowance,
  ): Promise<LagView | undefined> {
    const topic = this.#host.catalog.find(call.vhost, { name })
    if (topic === undefined || !isAskedFor(call, group, name)) return undefined
    const behind: LagBacklog[] = []
    for (const { partition, offset } of offsets) {
      if (offset < 0 || partition >= topic.partitions) continue
      const one = await this.#ofOffset(topic, partition, offset, allowance)
      if (one === 'gone') return undefined
      if (one === 'notCounted') return rowOf('group', group, name, offsets.length, undefined)
      behind.push(one)
    }
    return behind.length === 0 ? undefined : rowOf('group', group, name, behind.length, behind)
  }

  async #ofOffset(
    topic: Topic,
    index: number,
    committed: number,
    allowance: Allowance,
  ): Promise<LagBacklog | 'gone' | 'notCounted'> {
    if (this.#isEmptyUnopened(topic, index)) return nothingBehind(committed)
    const log = await this.#open(topic, index, allowance)
    if (typeof log === 'string') return log
    const end = log.committed
    const from = Math.max(committed, log.start)
    if (from >= end) return nothingBehind(end)
    const { bytes, areEstimated } = bytesBehind(log, from)
    return {
      records: end - from,
      unacknowledged: 0,
      bytes,
      bytesAreEstimated: areEstimated,
      oldestMs: await this.#timeOf(log, from),
      end,
      position: committed,
    }
  }

  // --- logs ---

  /** Of a log that cannot be read, or is being deleted, the rest is told all the same. */
  async #timeOf(log: Log, from: number): Promise<number | undefined> {
    try {
      return await timeOfFirst(log, from, this.#host.clock)
    } catch (error) {
      if (error instanceof InvariantError) throw error
      return undefined
    }
  }

  #isEmptyUnopened(topic: Topic, index: number): boolean {
    const { partitions, store } = this.#host
    return partitions.seen(topic, index)?.log === undefined && store.bytesOf(logId(topic.id, index)) === 0
  }

  async #open(topic: Topic, index: number, allowance: Allowance): Promise<Log | 'gone' | 'notCounted'> {
    const partition = this.#host.partitions.of(topic, index)
    assert(partition !== undefined, 'a topic has its partitions')
    if (partition.log !== undefined && !partition.log.failed) return partition.log
    if (allowance.left === 0) return 'notCounted'
    allowance.left--
    const log = await partition.open(topic.policy)
    // Deleted meanwhile, or its disk fails, which was logged.
    return isRefusal(log) ? 'gone' : log
  }
}

const isAskedFor = ({ name }: LagCall, own: string, topic: string): boolean =>
  name === undefined || name === own || name === topic

function byTopic(offsets: readonly (CommittedOffset | { readonly refused: string })[]): Map<string, CommittedOffset[]> {
  const topics = new Map<string, CommittedOffset[]>()
  for (const one of offsets) {
    if ('refused' in one) continue
    const own = topics.get(one.topic)
    if (own === undefined) topics.set(one.topic, [one])
    else own.push(one)
  }
  return topics
}

const nothingBehind = (end: number): LagBacklog => ({
  records: 0,
  unacknowledged: 0,
  bytes: 0,
  bytesAreEstimated: false,
  oldestMs: undefined,
  end,
  position: end,
})

function rowOf(
  kind: LagView['kind'],
  name: string,
  topic: string,
  partitions: number,
  behind: readonly LagBacklog[] | undefined,
): LagView {
  if (behind === undefined) return { kind, name, topic, partitions, backlog: undefined }
  const sum = (of: (one: LagBacklog) => number): number => behind.reduce((all, one) => all + of(one), 0)
  const times = behind.flatMap(({ oldestMs }) => (oldestMs === undefined ? [] : [oldestMs]))
  return {
    kind,
    name,
    topic,
    partitions,
    backlog: {
      records: sum(({ records }) => records),
      unacknowledged: sum(({ unacknowledged }) => unacknowledged),
      bytes: sum(({ bytes }) => bytes),
      bytesAreEstimated: behind.some(({ bytesAreEstimated }) => bytesAreEstimated),
      oldestMs: times.length === 0 ? undefined : Math.min(...times),
      end: sum(({ end }) => end),
      position: sum(({ position }) => position),
    },
  }
}
