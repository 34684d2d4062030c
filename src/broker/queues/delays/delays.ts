// Delayed messages: which buckets there are, which is for what time, and that each is moved when it is due.
// Promises: a machine (kind 9): durable buckets are in its records, so that the start finds their logs; a message is in
// one bucket, is moved once, not before its time, and in the order of due times (after a start as far as buckets are read);
// a bucket goes whole when all is moved.
// Does not know: exchanges and their bindings (topology.ts asks), how messages are stored and moved.

import { assert } from '../../../base/assert.ts'
import { BufferPool } from '../../../base/buffer-pool.ts'
import { MiB } from '../../../base/limits.ts'
import { bool, int64, message as table, string, versions } from '../../../base/schema.ts'
import type { Timer, World } from '../../../base/world.ts'
import type { Machine, MachineLog, MachineRecord } from '../../../log/machine.ts'
import { logId, type LogId, type Store, type TopicId } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import { logSettingsOf, type TopicPolicy } from '../../settings/topic-policy.ts'
import { readStored, writeStored } from '../../stored.ts'
import { Partition } from '../../streams/partition.ts'
import { ProducerSnapshots } from '../../streams/producer-snapshots.ts'
import { DelayBucket, type BucketFacts } from './delay-bucket.ts'
import { delayAsked } from './delay-header.ts'
import { DelayMoves, type DelayMovesHost } from './delay-moves.ts'
import type { ExchangeFacts } from '../facts.ts'
import { MessageWriter } from '../messages/message.ts'
import type { DelaysPart, Destinations, LedgersPart, QueuePart } from '../parts.ts'
import type { QueueTools } from '../lanes/queue-log.ts'
import { Trimming } from '../keeping/queue-trimming.ts'
import { QueueTurns } from '../queue-turns.ts'
import { ReadingBudget } from '../messages/reading.ts'

/** Reserved, behind the machine log's: the logs of buckets are its partitions, by their numbers. */
const durableTopicId = 'AAAAAAAAAAAAAAAAAAAAAw' as TopicId
const scratchTopicId = 'AAAAAAAAAAAAAAAAAAAABA' as TopicId

/** Names of buckets begin with a character that no client's queue has reason to begin with. */
const namePrefix = '\0delay '

/** Spans of buckets: the narrowest whose sixteenfold reaches the due time, so that few buckets are open at once. */
const spansMs = [10_000, 160_000, 2_560_000, 40_960_000, 655_360_000]
const spansAhead = 16
/** A bucket is read this long before its span begins. */
const approachMs = 5_000
/** A bucket of more than this takes no further message: what is read at once is bounded. */
const bucketMessagesMax = 1_000_000
const bucketBytesMax = 256 * MiB
/** Due times in memory, all buckets together; beyond it the next bucket is read when there is room. */
const indexedMax = 4_000_000
/** Messages of one append. */
const movedMax = 2048
const retryMsMin = 100
const retryMsMax = 5_000
/** A look at the clock at least this often: it may have been set. */
const lookMsMax = 60_000
const spareBytesMax = 4 * MiB

const storedBucket = table(versions(0, 0), { vhost: string(), fromMs: int64(), toMs: int64(), isDurable: bool() })

export interface DelaysHost extends DelayMovesHost {
  readonly store: Store
  readonly machineLog: MachineLog
  readonly ledgers: LedgersPart & Machine & { endOf(log: LogId): number }
  /** What durable topics have that do not say otherwise. */
  readonly policy: TopicPolicy
}

export class Delays implements Machine, DelaysPart {
  readonly kind = 9
  readonly #world: World
  readonly #trimming: Trimming
  #records = new Map<number, BucketFacts>()
  #replaying: Map<number, BucketFacts> | undefined
  readonly #byName = new Map<string, DelayBucket>()
  /** Those that take messages, by vhost, durability and span. */
  readonly #taking = new Map<string, DelayBucket>()
  #last: { readonly vhost: string; readonly isDurable: boolean; readonly bucket: DelayBucket } | undefined
  #lastNumber = 0
  #host: DelaysHost | undefined
  #moves: DelayMoves | undefined
  #tools: QueueTools | undefined
  /** Buckets whose logs are being made. */
  readonly #making = new Map<LogId, Promise<void>>()
  #timer: Timer | undefined
  #isScheduled = false
  #running: Promise<void> | undefined
  #retryMs = retryMsMin
  /** Something could not be done: nothing is tried before the timer. */
  #isPaused = false
  #isClosed = false

  constructor(world: World) {
    this.#world = world
    this.#trimming = new Trimming(world, (_topic, log) => [
      this.#started().ledgers.closings({ log: log.id, number: 0 }),
    ])
  }

  // --- the machine ---

  apply(key: Buffer, value: Buffer | null): void {
    const records = this.#replaying ?? this.#records
    const number = key.readUIntBE(0, 6)
    if (value === null) records.delete(number)
    else records.set(number, { number, ...readStored(storedBucket, value) })
  }

  *entries(): Generator<MachineRecord> {
    for (const facts of this.#records.values()) yield recordOf(facts)
  }

  reset(): void {
    this.#replaying = new Map()
  }

  replayed(): void {
    if (this.#replaying !== undefined) this.#records = this.#replaying
    this.#replaying = undefined
    if (this.#host !== undefined) this.#remake()
  }

  /** Buckets that are in the records only: after a start, or because what removed them was refused. */
  #remake(): void {
    for (const facts of this.#records.values()) {
      this.#lastNumber = Math.max(this.#lastNumber, facts.number)
      if (!this.#byName.has(nameOf(facts))) this.#bucket(facts)
    }
    this.#schedule()
  }

  /** Logs that are ours: a start that puts logs right leaves them. */
  ownLogs(): LogId[] {
    return Array.from(this.#records.keys(), (number) => logId(durableTopicId, number))
  }

  /** Once the machine log is replayed and everything else is there. */
  start(host: DelaysHost): void {
    this.#host = host
    this.#moves = new DelayMoves(host)
    this.#tools = {
      world: this.#world,
      store: host.store,
      ledgers: host.ledgers,
      turns: new QueueTurns(this.#world.clock, () => host.ledgers.flush()),
      pool: new BufferPool(spareBytesMax),
      writer: new MessageWriter(),
      budget: new ReadingBudget(),
      trimming: this.#trimming,
    }
    this.#remake()
  }

  // --- what is published ---

  /** Where a message of a delayed exchange waits; undefined: it goes on at once. */
  destinationsFor(exchange: ExchangeFacts, properties: Buffer): Destinations | undefined {
    const delayMs = delayAsked(properties)
    return delayMs === undefined ? undefined : this.#taker(exchange.vhost, exchange.durable, delayMs).destinations
  }

  /** What destinationsFor() named. A bucket that is over by now: one that takes its place. */
  find(vhost: string, name: string): QueuePart | undefined {
    if (!name.startsWith(namePrefix)) return undefined
    const found = this.#byName.get(name)
    if (found !== undefined) return found.facts.vhost === vhost ? found : undefined
    return this.#host === undefined ? undefined : this.#taker(vhost, name[namePrefix.length] === 'd', 0)
  }

  #taker(vhost: string, isDurable: boolean, delayMs: number): DelayBucket {
    const dueMs = this.#world.clock.nowMs() + delayMs
    const last = this.#last
    const spanMs = spansMs.find((span) => delayMs <= span * spansAhead) ?? spansMs[spansMs.length - 1]
    const fromMs = dueMs - (dueMs % spanMs)
    if (last?.vhost === vhost && last.isDurable === isDurable) {
      const { bucket } = last
      const { facts } = bucket
      if (facts.fromMs === fromMs && facts.toMs === fromMs + spanMs && takesMore(bucket)) return bucket
    }
    const key = takingKey({ vhost, isDurable, fromMs, toMs: fromMs + spanMs })
    let bucket = this.#taking.get(key)
    if (bucket === undefined || !takesMore(bucket)) {
      const number = ++this.#lastNumber
      bucket = this.#make({ number, vhost, isDurable, fromMs, toMs: fromMs + spanMs })
      this.#taking.set(key, bucket)
    }
    this.#last = { vhost, isDurable, bucket }
    return bucket
  }

  // --- buckets ---

  #make(facts: BucketFacts): DelayBucket {
    const host = this.#started()
    const bucket = this.#bucket(facts)
    const id = logOf(facts)
    const made = this.#makeLog(host, bucket, id)
    made.catch(() => undefined)
    this.#making.set(id, made)
    this.#schedule()
    return bucket
  }

  /** The log first, then the record: a crash between leaves a log that nobody names, which the start removes. */
  async #makeLog(host: DelaysHost, bucket: DelayBucket, id: LogId): Promise<void> {
    const { facts } = bucket
    try {
      await host.store.create([{ id, settings: logSettingsOf(bucket.topic.policy, id) }])
      if (facts.isDurable) await host.machineLog.append(this, [recordOf(facts)])
    } catch (error) {
      this.#world.trace.error('no log for delayed messages', { why: String(error) })
      this.#forget(bucket)
      // What waits for the log is refused when it fails to open; only then the bucket is gone.
      this.#world.clock.endOfTurn(() => bucket.drop())
      await host.store.delete([id]).catch(() => undefined)
      throw error
    } finally {
      this.#making.delete(id)
    }
  }

  #bucket(facts: BucketFacts): DelayBucket {
    const host = this.#started()
    assert(this.#tools !== undefined, 'tools are there once started')
    const durability = facts.isDurable ? host.policy.durability : 'scratch'
    const policy: TopicPolicy = { ...host.policy, dropsConsumed: true, durability }
    const id = facts.isDurable ? durableTopicId : scratchTopicId
    const name = nameOf(facts)
    const topic: Topic = {
      vhost: facts.vhost,
      name,
      id,
      partitions: 1,
      origin: 'amqp',
      createdAtMs: this.#world.clock.nowMs(),
      overrides: new Map(),
      policy,
      queue: undefined,
      isVolatile: !facts.isDurable,
    }
    const partition = new Partition(
      {
        world: this.#world,
        store: this.#waitingStore(host.store),
        // Nobody produces here by sequence.
        snapshots: new ProducerSnapshots(),
        producerIdExpirationMs: 0,
        // A log that is not synced may have lost what its ledger speaks of.
        referredEnd: (id) => host.ledgers.endOf(id),
        produceRefusal: () => host.produceRefusal(),
      },
      logOf(facts),
    )
    const bucket = new DelayBucket(this.#tools, facts, topic, partition, () => this.#schedule())
    this.#byName.set(name, bucket)
    return bucket
  }

  /** The store, but a log that is being made is opened once it is there. */
  #waitingStore(store: Store): Store {
    return {
      list: () => store.list(),
      create: (logs) => store.create(logs),
      open: async (id, settings, endAtLeast) => {
        await this.#making.get(id)
        return store.open(id, settings, endAtLeast)
      },
      delete: (ids) => store.delete(ids),
      append: (entries) => store.append(entries),
      usage: () => store.usage(),
      bytesOf: (id) => store.bytesOf(id),
      close: () => store.close(),
    }
  }

  #forget(bucket: DelayBucket): void {
    this.#byName.delete(bucket.topic.name)
    const key = takingKey(bucket.facts)
    if (this.#taking.get(key) === bucket) this.#taking.delete(key)
    if (this.#last?.bucket === bucket) this.#last = undefined
  }

  #started(): DelaysHost {
    assert(this.#host !== undefined, 'delays are used once they are started')
    return this.#host
  }

  // --- time ---

  /** Something changed: look again at the end of this turn. */
  #schedule(): void {
    if (this.#isScheduled || this.#isClosed || this.#host === undefined) return
    this.#isScheduled = true
    this.#world.clock.endOfTurn(() => {
      this.#isScheduled = false
      this.#look()
    })
  }

  #look(): void {
    if (this.#isClosed || this.#isPaused || this.#running !== undefined) return
    this.#timer?.cancel()
    this.#timer = undefined
    this.#approach()
    const nextMs = this.#nextMs()
    if (nextMs === undefined) return
    const inMs = nextMs - this.#world.clock.nowMs()
    if (inMs <= 0) this.#run()
    else
      this.#timer = this.#world.clock.after(Math.min(inMs, lookMsMax), () => {
        this.#timer = undefined
        this.#look()
      })
  }

  /** Buckets whose span is near are read, as far as there is room for what is known of them. */
  #approach(): void {
    const nowMs = this.#world.clock.nowMs()
    let indexed = 0
    for (const bucket of this.#byName.values()) indexed += bucket.indexed
    for (const bucket of this.#byName.values()) {
      const isDue = bucket.isBehind || (!bucket.isNear && bucket.facts.fromMs - approachMs <= nowMs)
      if (!isDue || indexed >= indexedMax) continue
      indexed += bucket.messages
      bucket.approach().catch((error: unknown) => {
        if (bucket.isDeleted || this.#isClosed) return
        this.#world.trace.warn('delayed messages not read, trying again', { why: String(error) })
        this.#retryLater()
      })
    }
  }

  /** When something is to be done; undefined: never, as things are. */
  #nextMs(): number | undefined {
    const nowMs = this.#world.clock.nowMs()
    let nextMs = Infinity
    for (const bucket of this.#byName.values()) {
      const { isNear, facts } = bucket
      let atMs = facts.fromMs - approachMs
      if (isNear) atMs = Math.min(bucket.nextMs ?? Infinity, this.#overMs(bucket))
      // It waits for room: what is moved meanwhile brings us back here.
      else if (atMs <= nowMs) continue
      nextMs = Math.min(nextMs, atMs)
    }
    return nextMs === Infinity ? undefined : nextMs
  }

  /** When a bucket may be over. What is under way tells when it is done. */
  #overMs(bucket: DelayBucket): number {
    const { toMs } = bucket.facts
    if (toMs > this.#world.clock.nowMs()) return toMs
    return bucket.isOver(this.#world.clock.nowMs()) ? toMs : Infinity
  }

  #run(): void {
    this.#running = this.#moveDue()
      .then((isDone) => {
        this.#running = undefined
        if (isDone) {
          this.#retryMs = retryMsMin
          this.#schedule()
        } else this.#retryLater()
      })
      .catch((error: unknown) => {
        this.#running = undefined
        if (this.#isClosed) return
        this.#world.trace.error('delayed messages not moved, trying again', { why: String(error) })
        this.#retryLater()
      })
  }

  #retryLater(): void {
    if (this.#isClosed) return
    this.#isPaused = true
    this.#timer?.cancel()
    this.#timer = this.#world.clock.after(this.#retryMs, () => {
      this.#isPaused = false
      this.#timer = undefined
      this.#look()
    })
    this.#retryMs = Math.min(retryMsMax, this.#retryMs * 2)
  }

  /** False: something could not be moved now. */
  async #moveDue(): Promise<boolean> {
    for (;;) {
      if (this.#isClosed) return true
      const nowMs = this.#world.clock.nowMs()
      const [first, second] = this.#earliest()
      if (first === undefined || (first.nextMs ?? Infinity) > nowMs) break
      // Not beyond what another bucket has earlier, so that messages stay in the order they are due.
      const taken = first.takeDue(Math.min(nowMs, second?.nextMs ?? Infinity), movedMax)
      const left = await this.#moveTaken(first, taken)
      if (left.length === taken.length) return false
    }
    for (const bucket of Array.from(this.#byName.values()))
      if (bucket.isOver(this.#world.clock.nowMs()) && !(await this.#remove(bucket))) return false
    return true
  }

  async #moveTaken(bucket: DelayBucket, taken: readonly number[]): Promise<readonly number[]> {
    assert(this.#moves !== undefined, 'moves are there once started')
    let left = taken
    try {
      left = await this.#moves.move(bucket, taken)
      return left
    } finally {
      bucket.moved(taken.slice(0, taken.length - left.length))
      bucket.putBack(left)
    }
  }

  #earliest(): [DelayBucket | undefined, DelayBucket | undefined] {
    let first: DelayBucket | undefined
    let second: DelayBucket | undefined
    for (const bucket of this.#byName.values()) {
      if (bucket.nextMs === undefined) continue
      if (first === undefined || bucket.nextMs < (first.nextMs ?? Infinity)) {
        second = first
        first = bucket
      } else if (second === undefined || bucket.nextMs < (second.nextMs ?? Infinity)) second = bucket
    }
    return [first, second]
  }

  /** The record first: from then on nobody asks for the log. */
  async #remove(bucket: DelayBucket): Promise<boolean> {
    const { machineLog, ledgers, store } = this.#started()
    const { facts } = bucket
    const id = logOf(facts)
    if (!machineLog.ready) return false
    this.#forget(bucket)
    bucket.drop()
    const forgotten = ledgers.recordsForForgotten({ log: id, number: 0 })
    try {
      if (facts.isDurable)
        await machineLog.appendAll([
          { machine: this, records: [{ key: keyOf(facts.number), value: null }] },
          { machine: ledgers, records: forgotten },
        ])
      ledgers.forgotten({ log: id, number: 0 })
      await store.delete([id])
    } catch (error) {
      // Still in the records: a replay makes it anew, and it is found over again. Else the next start removes the log.
      this.#world.trace.warn('an empty log of delayed messages stays for now', { why: String(error) })
      return false
    }
    return true
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#running
    await this.#trimming.close()
    await Promise.all(Array.from(this.#byName.values(), (bucket) => bucket.close()))
  }
}

const takesMore = (bucket: DelayBucket): boolean =>
  !bucket.isDeleted && bucket.messages < bucketMessagesMax && bucket.bytes < bucketBytesMax

const logOf = (facts: BucketFacts): LogId => logId(facts.isDurable ? durableTopicId : scratchTopicId, facts.number)

const nameOf = (facts: BucketFacts): string => `${namePrefix}${facts.isDurable ? 'd' : 's'}${facts.number}`

const takingKey = (facts: Pick<BucketFacts, 'vhost' | 'isDurable' | 'fromMs' | 'toMs'>): string =>
  `${facts.isDurable ? 'd' : 's'} ${facts.fromMs} ${facts.toMs} ${facts.vhost}`

function keyOf(number: number): Buffer {
  const key = Buffer.alloc(6)
  key.writeUIntBE(number, 0, 6)
  return key
}

const recordOf = (facts: BucketFacts): MachineRecord => ({
  key: keyOf(facts.number),
  value: writeStored(storedBucket, facts),
})
