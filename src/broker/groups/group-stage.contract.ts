// A stage for tests of groups: a clock that runs timers in their order, a store that commits or refuses when told.
// Promises: what an append that is refused decided is gone, as the port says; a restart keeps what was committed only.
// Does not know: what is tested on it.

import { createHash } from 'node:crypto'
import type { Clock, Trace, World } from '../../base/world.ts'
import { MachineLog, machineLogId } from '../../log/machine.ts'
import {
  AppendFailure,
  offset,
  type AppendEntry,
  type Batches,
  type Log,
  type LogSettings,
  type Offset,
  type Store,
  type TopicId,
} from '../../log/store.ts'
import type { TopicDirectory } from '../directory.ts'
import type { GroupCalls, JoinCall, Joined, JoinRefusal, Synced, TopicRef, TopicView } from '../door.ts'
import { isRefusal, type Refusal } from '../errors.ts'
import { defaultGroupSettings, type GroupSettings } from './group-settings.ts'
import { GroupCoordinator } from './coordinator.ts'

/** All promises that can go on have gone on. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class StageClock implements Clock {
  ms = 0
  readonly startMs: number
  #timers: { readonly atMs: number; readonly task: () => void }[] = []
  constructor(startMs = 1_700_000_000_000) {
    this.startMs = startMs
  }
  nowMs = (): number => this.startMs + this.ms
  monotonicMs = (): number => this.ms
  after(delayMs: number, task: () => void): { cancel(): void } {
    const timer = { atMs: this.ms + delayMs, task }
    this.#timers.push(timer)
    return { cancel: () => (this.#timers = this.#timers.filter((other) => other !== timer)) }
  }
  endOfTurn = (task: () => void): void => void setImmediate(task)
  get timers(): number {
    return this.#timers.length
  }
  /** Time passes: each timer runs at its time, and what follows from it before the next. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.ms + ms
    for (;;) {
      const next = this.#timers.toSorted((one, other) => one.atMs - other.atMs)[0]
      if (next === undefined || next.atMs > untilMs) break
      this.#timers = this.#timers.filter((other) => other !== next)
      this.ms = Math.max(this.ms, next.atMs)
      next.task()
      await settled()
    }
    this.ms = untilMs
    await settled()
  }
}

interface Waiting {
  readonly entries: readonly AppendEntry[]
  readonly resolve: () => void
  readonly reject: (failure: Error) => void
}

/** One machine log's store. Appends commit at once, or wait for commit() and refuse() while `holds`. */
class StageStore {
  holds = false
  readonly #batches: { readonly batch: Buffer; readonly next: number }[] = []
  readonly #waiting: Waiting[] = []
  #epoch = 0
  #settings: LogSettings | undefined

  #end(): number {
    const last = this.#waiting.flatMap(({ entries }) => entries).at(-1)
    return last === undefined ? this.#committed() : last.expectedEnd + last.offsets
  }
  #committed(): number {
    return this.#batches.at(-1)?.next ?? 0
  }
  get waiting(): number {
    return this.#waiting.length
  }
  commit(): void {
    for (const { entries, resolve } of this.#waiting.splice(0)) {
      for (const { batch, expectedEnd, offsets } of entries) this.#batches.push({ batch, next: expectedEnd + offsets })
      resolve()
    }
  }
  refuse(): void {
    for (const { reject } of this.#waiting.splice(0)) reject(new AppendFailure('full', 'the stage is full'))
  }
  /** The process ends: what was not committed is lost. */
  crash(): void {
    for (const { reject } of this.#waiting.splice(0)) reject(new AppendFailure('closed', 'the stage is over'))
  }

  asStore(): Store {
    const at = (read: () => number): { get(): number; enumerable: true } => ({ get: read, enumerable: true })
    const log = {
      id: machineLogId,
      start: offset(0),
      bytes: 0,
      failed: false,
      read: (from: Offset): Batches => {
        const found = this.#batches.find(({ next }) => next > from)
        if (found === undefined) return { chunks: [], bytes: 0, next: from }
        return { chunks: [found.batch], bytes: found.batch.length, next: offset(found.next) }
      },
    }
    Object.defineProperties(log, {
      epoch: at(() => this.#epoch),
      end: at(() => this.#end()),
      committed: at(() => this.#committed()),
    })
    const part: Partial<Store> = {
      list: () => (this.#settings === undefined ? [] : [machineLogId]),
      create: async ([{ settings }]) => void (this.#settings = settings),
      open: async () => {
        this.#epoch++
        return log as unknown as Log
      },
      append: (entries) => this.#append(entries),
    }
    return part as Store
  }

  #append(entries: readonly AppendEntry[]): Promise<void> {
    if (entries.some(({ expectedEnd }) => expectedEnd !== this.#end())) throw new Error('an append is at the end')
    const appended = new Promise<void>((resolve, reject) => this.#waiting.push({ entries, resolve, reject }))
    if (!this.holds) this.commit()
    return appended
  }
}

/** A call that may be parked. */
export interface Parked<T> {
  outcome: T | undefined
  answers: number
}

export const topicIdOf = (name: string): TopicId =>
  createHash('sha256').update(name).digest().subarray(0, 16).toString('base64url') as TopicId

class StageDirectory implements TopicDirectory {
  readonly topics = new Map<string, TopicView>()
  add(name: string, partitions = 4, idOf = name): TopicView {
    const topic = { name, id: topicIdOf(idOf), partitions }
    this.topics.set(name, topic)
    return topic
  }
  find(vhost: string, ref: TopicRef): TopicView | undefined {
    if (vhost !== '/') return undefined
    return 'name' in ref ? this.topics.get(ref.name) : this.byId(ref.id)
  }
  byId(id: TopicId): (TopicView & { readonly vhost: string }) | undefined {
    for (const topic of this.topics.values()) if (topic.id === id) return { ...topic, vhost: '/' }
    return undefined
  }
}

/** A subscription as consumers write it, version 1. */
export function subscription(...topics: string[]): Buffer {
  const parts = [Buffer.from([0, 1, 0, 0, 0, topics.length])]
  for (const topic of topics) parts.push(Buffer.from([0, topic.length]), Buffer.from(topic))
  return Buffer.concat([...parts, Buffer.alloc(8)])
}

export class GroupStage {
  readonly clock = new StageClock()
  readonly store = new StageStore()
  readonly directory = new StageDirectory()
  readonly settings: GroupSettings
  readonly world: World
  readonly counters = new Map<string, number>()
  coordinator!: GroupCoordinator
  calls!: GroupCalls
  #machineLog: MachineLog | undefined

  private constructor(settings: Partial<GroupSettings>) {
    this.settings = { ...defaultGroupSettings, ...settings }
    let drawn = 0
    const trace: Trace = {
      info: () => undefined,
      warn: () => undefined,
      error: () => undefined,
      count: (name, by = 1) => void this.counters.set(name, (this.counters.get(name) ?? 0) + by),
      counters: () => this.counters,
    }
    const random = {
      bytes: (bytes: number) => createHash('sha256').update(String(drawn++)).digest().subarray(0, bytes),
      fraction: () => 0.5,
    }
    this.world = { clock: this.clock, trace, random } as unknown as World
  }

  static async open(settings: Partial<GroupSettings> = {}): Promise<GroupStage> {
    const stage = new GroupStage(settings)
    stage.directory.add('orders')
    stage.directory.add('other')
    await stage.start()
    return stage
  }

  async start(): Promise<void> {
    this.coordinator = new GroupCoordinator(this.world, this.directory, this.settings)
    this.#machineLog = await MachineLog.open(this.world, this.store.asStore(), this.coordinator.machines)
    this.coordinator.start(this.#machineLog)
    this.calls = this.coordinator.forVhost('/')
    await settled()
  }

  /** The end of the process, in the middle of whatever it did, and a new start. */
  async restart(): Promise<void> {
    this.coordinator.close()
    this.#machineLog?.close()
    this.store.crash()
    await settled()
    await this.start()
  }

  /** Watches a call without waiting for it. */
  async watch<T>(call: Promise<T>): Promise<Parked<T>> {
    const parked: Parked<T> = { outcome: undefined, answers: 0 }
    void call.then((outcome) => {
      parked.outcome = outcome
      parked.answers++
    })
    await settled()
    return parked
  }

  join(call: Partial<JoinCall> = {}): Promise<Parked<Joined | JoinRefusal>> {
    return this.watch(this.calls.join(joinCall(call)))
  }

  sync(
    joined: Pick<Joined, 'memberId' | 'generation'>,
    assignments: Readonly<Record<string, string>> = {},
    instanceId: string | null = null,
  ): Promise<Parked<Synced | Refusal>> {
    const { memberId, generation } = joined
    const given = Object.entries(assignments).map(([id, text]) => ({ memberId: id, assignment: Buffer.from(text) }))
    const call = { group: 'g', memberId, generation, instanceId, protocolType: null, protocolName: null }
    return this.watch(this.calls.sync({ ...call, assignments: given }))
  }

  heartbeat(joined: Pick<Joined, 'memberId' | 'generation'>, instanceId: string | null = null): Promise<string> {
    const { memberId, generation } = joined
    return this.calls.heartbeat({ group: 'g', memberId, generation, instanceId }).then(nameOf)
  }

  leave(...members: { memberId?: string; instanceId?: string | null }[]): Promise<unknown> {
    const leaving = members.map((member) => ({ memberId: '', instanceId: null, reason: null, ...member }))
    return this.calls.leave({ group: 'g', members: leaving }).then(nameOf)
  }

  commit(
    joined: Pick<Joined, 'memberId' | 'generation'>,
    at: number,
    asked: { topic?: TopicRef; partition?: number; metadata?: string; group?: string; instanceId?: string } = {},
  ): Promise<unknown> {
    const { group = 'g', instanceId = null, topic = { name: 'orders' }, partition = 0, metadata = '' } = asked
    const offsets = [{ topic, partition, offset: at, leaderEpoch: -1, metadata }]
    const { memberId, generation } = joined
    return this.calls.commit({ group, instanceId, memberId, generation, offsets }).then(([outcome]) => nameOf(outcome))
  }

  /** The offset of orders-0, or the refusal's name. */
  async committed(group = 'g', partition = 0, topic: TopicRef = { name: 'orders' }): Promise<unknown> {
    const call = { group, memberId: '', memberEpoch: -1, partitions: [{ topic, partition }] }
    const outcome = await this.calls.fetch(call)
    if (isRefusal(outcome)) return outcome.refused
    return isRefusal(outcome[0]) ? outcome[0].refused : outcome[0].offset
  }

  async state(group = 'g'): Promise<string> {
    const view = await this.calls.describe(group)
    return isRefusal(view) ? view.refused : view.state
  }

  /** Joins and syncs `count` members, the first of which leads: a stable group. */
  async stable(count: number, call: Partial<JoinCall> = {}): Promise<Joined[]> {
    const parked = []
    for (let at = 0; at < count; at++) parked.push(await this.join({ clientId: `c${at}`, ...call }))
    // No timer runs before time passes: all of them are there when the initial delay of 0 ms ends.
    await this.clock.advance(0)
    const joined = parked.map(({ outcome }) => joinedOf(outcome))
    const leader = joined.find(({ memberId, leader: leads }) => memberId === leads)
    if (leader === undefined) throw new Error('a group has a leader')
    const assignments = Object.fromEntries(joined.map(({ memberId }, at) => [memberId, `a${at}`]))
    for (const each of joined) await this.sync(each, each === leader ? assignments : {}, call.instanceId ?? null)
    return joined
  }
}

export function joinCall(call: Partial<JoinCall>): JoinCall {
  return {
    group: 'g',
    memberId: '',
    instanceId: null,
    clientId: 'c',
    clientHost: '/127.0.0.1',
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 60_000,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: subscription('orders') }],
    requireKnownMemberId: false,
    canSkipAssignment: false,
    reason: null,
    ...call,
  }
}

/** 'ok', a refusal's name, or a list of them. */
export function nameOf(outcome: unknown): string {
  if (outcome === true) return 'ok'
  if (Array.isArray(outcome)) return outcome.map(nameOf).join(' ')
  return isRefusal(outcome) ? outcome.refused : 'something'
}

export function joinedOf(outcome: Joined | JoinRefusal | undefined): Joined {
  if (outcome === undefined) throw new Error('the join is parked')
  if (isRefusal(outcome)) throw new Error(`the join is refused: ${outcome.refused}: ${outcome.why}`)
  return outcome
}

export const refusedOf = (parked: Parked<object>): string =>
  parked.outcome === undefined ? 'parked' : isRefusal(parked.outcome) ? parked.outcome.refused : 'ok'

export function assignmentOf({ outcome }: Parked<Synced | Refusal>): string {
  if (outcome === undefined) return 'parked'
  return isRefusal(outcome) ? outcome.refused : outcome.assignment.toString()
}
