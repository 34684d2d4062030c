// Live groups: drives the state machines, arms their alarms, keeps parked calls, and lets answers wait for their commit.
// Promises: every parked call is answered once: by a step, or because what it waited for is lost or the broker stops.
// Does not know: the protocol's rules (group*.ts), offsets' contents, which calls there are (coordinator.ts).

import { assert } from '../../base/assert.ts'
import type { Timer, World } from '../../base/world.ts'
import type { Machine, MachineLog, MachineRecord } from '../../log/machine.ts'
import type { JoinCall, Joined, JoinRefusal, SyncCall, Synced } from '../door.ts'
import { refuse, type Refusal } from '../errors.ts'
import { newGroup, nextDeadlineMs, tick, type Answer, type Group, type Step } from './group.ts'
import { join } from './group-join.ts'
import { keptOf, type Ticket } from './group-member.ts'
import { GroupRecords } from './group-records.ts'
import type { GroupSettings } from './group-settings.ts'
import { sync } from './group-sync.ts'

export interface LiveGroup {
  readonly vhost: string
  readonly group: Group
  /** The group's last append, of its own record or of its offsets, until it is committed. */
  pending: Promise<void> | undefined
  alarm: Timer | undefined
  alarmAtMs: number
}

interface ParkedJoin {
  readonly memberId: string
  readonly resolve: (outcome: Joined | JoinRefusal) => void
}

const loading = refuse('coordinatorLoading', 'The groups are being read again; try again.')
const stopping = refuse('coordinatorUnavailable', 'The broker is stopping; find the coordinator again.')
const notStored = refuse('coordinatorUnavailable', 'The store did not take it, so that nothing has changed; try again.')
/** What a sync hears instead of `loading`, which clients do not expect there: they join again, as they must. */
const syncLost = refuse('rebalanceInProgress', 'The rebalance is lost; join again.')

export class GroupDesk {
  readonly records: GroupRecords
  readonly #world: World
  readonly #settings: GroupSettings
  readonly #hasOffsets: (vhost: string, group: string) => boolean
  readonly #onRevived: () => void
  readonly #vhosts = new Map<string, Map<string, LiveGroup>>()
  readonly #joins = new Map<Ticket, ParkedJoin>()
  readonly #syncs = new Map<Ticket, (outcome: Synced | Refusal) => void>()
  #lastTicket = 0
  #log: MachineLog | undefined
  #isClosed = false

  /** `onRevived`: all groups are there again after a (re)play; offsets without a group of their own still to be made. */
  constructor(
    world: World,
    settings: GroupSettings,
    hasOffsets: (vhost: string, group: string) => boolean,
    onRevived: () => void,
  ) {
    this.#world = world
    this.#settings = settings
    this.#hasOffsets = hasOffsets
    this.#onRevived = onRevived
    this.records = new GroupRecords(
      () => this.#forgetAll(),
      () => this.#revive(),
    )
  }

  /** After the first replay. */
  start(machineLog: MachineLog): void {
    assert(this.#log === undefined, 'the desk starts once')
    this.#log = machineLog
    this.#revive()
  }

  /** Why nothing can be decided now. */
  get refusal(): Refusal | undefined {
    if (this.#isClosed) return stopping
    return this.#log?.ready === true ? undefined : loading
  }

  // --- which groups there are ---

  find(vhost: string, name: string): LiveGroup | undefined {
    return this.#vhosts.get(vhost)?.get(name)
  }

  findOrMake(vhost: string, name: string): LiveGroup | Refusal {
    const found = this.find(vhost, name)
    if (found !== undefined) return found
    if ((this.#vhosts.get(vhost)?.size ?? 0) >= this.#settings.groupsMax)
      return refuse('policyViolation', `There are ${this.#settings.groupsMax} groups, which is all there may be.`)
    return this.make(vhost, newGroup(name, this.#world.clock.nowMs()))
  }

  make(vhost: string, group: Group): LiveGroup {
    let groups = this.#vhosts.get(vhost)
    if (groups === undefined) this.#vhosts.set(vhost, (groups = new Map()))
    assert(!groups.has(group.name), 'a group is made once')
    const live: LiveGroup = { vhost, group, pending: undefined, alarm: undefined, alarmAtMs: Infinity }
    groups.set(group.name, live)
    return live
  }

  of(vhost: string): Iterable<LiveGroup> {
    return this.#vhosts.get(vhost)?.values() ?? []
  }

  /** All of all vhosts, as they are now: they may be removed meanwhile. */
  all(): readonly LiveGroup[] {
    return [...this.#vhosts.values()].flatMap((groups) => [...groups.values()])
  }

  // --- calls that may be parked ---

  join(live: LiveGroup, call: JoinCall): Promise<Joined | JoinRefusal> {
    return new Promise((resolve) => {
      const ticket = ++this.#lastTicket
      this.#joins.set(ticket, { memberId: call.memberId, resolve })
      const freshId = `${call.instanceId ?? keptOf(call.clientId)}-${this.#uuid()}`
      this.run(live, (step) => join(live.group, { call, ticket, freshId }, step))
    })
  }

  sync(live: LiveGroup, call: SyncCall): Promise<Synced | Refusal> {
    return new Promise((resolve) => {
      const ticket = ++this.#lastTicket
      this.#syncs.set(ticket, resolve)
      this.run(live, (step) => sync(live.group, call, ticket, step))
    })
  }

  #uuid(): string {
    const bytes = this.#world.random.bytes(16)
    bytes[6] = (bytes[6] & 0x0f) | 0x40
    bytes[8] = (bytes[8] & 0x3f) | 0x80
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  }

  // --- steps ---

  /** One step of a group, and what follows from it. */
  run<T>(live: LiveGroup, work: (step: Step) => T): T {
    const { clock } = this.#world
    const step: Step = {
      nowMs: clock.monotonicMs(),
      wallMs: clock.nowMs(),
      settings: this.#settings,
      answers: [],
      mustStore: false,
    }
    const { generation } = live.group
    const result = work(step)
    if (live.group.generation > generation) this.#world.trace.count('groups.generations')
    if (step.mustStore) void this.append(live, this.records, [this.records.recordOf(live.vhost, live.group)])
    for (const answer of step.answers) this.#answer(live, answer)
    this.arm(live)
    this.#dropWhenNothing(live)
    return result
  }

  /** Appends for the group and resolves at the commit: until then nothing is answered that may rest on it. */
  append(live: LiveGroup, machine: Machine, records: readonly MachineRecord[]): Promise<true | Refusal> {
    assert(this.#log !== undefined, 'steps are taken after the start')
    const pending = this.#log.append(machine, records)
    live.pending = pending
    return pending.then(
      () => {
        if (live.pending === pending) live.pending = undefined
        return true
      },
      () => notStored,
    )
  }

  /** Resolves when all that was decided for the group is committed, or with a refusal when it is lost. */
  settled(live: LiveGroup): Promise<Refusal | undefined> {
    return (live.pending ?? Promise.resolve()).then(
      () => undefined,
      () => loading,
    )
  }

  #answer(live: LiveGroup, answer: Answer): void {
    // Which way it ends is settled with the commit, but the ticket is used up now.
    const answered =
      answer.kind === 'join'
        ? this.#joinAnswers(answer.ticket, answer.outcome)
        : this.#syncAnswers(answer.ticket, answer.outcome)
    if (live.pending === undefined) answered.kept()
    else live.pending.then(answered.kept, answered.lost)
  }

  #joinAnswers(ticket: Ticket, outcome: Joined | JoinRefusal): { kept(): void; lost(): void } {
    const parked = this.#joins.get(ticket)
    assert(parked !== undefined, 'a join is answered once')
    this.#joins.delete(ticket)
    return {
      kept: () => parked.resolve(outcome),
      lost: () => parked.resolve({ ...loading, memberId: parked.memberId }),
    }
  }

  #syncAnswers(ticket: Ticket, outcome: Synced | Refusal): { kept(): void; lost(): void } {
    const resolve = this.#syncs.get(ticket)
    assert(resolve !== undefined, 'a sync is answered once')
    this.#syncs.delete(ticket)
    return { kept: () => resolve(outcome), lost: () => resolve(syncLost) }
  }

  // --- alarms ---

  /** One alarm a group, for its earliest deadline. A heartbeat leaves it: it then finds nothing due and is set anew. */
  arm(live: LiveGroup, deadlineMs = nextDeadlineMs(live.group)): void {
    if (deadlineMs >= live.alarmAtMs) return
    live.alarm?.cancel()
    live.alarmAtMs = deadlineMs
    const delayMs = Math.max(0, deadlineMs - this.#world.clock.monotonicMs())
    live.alarm = this.#world.clock.after(delayMs, () => this.#ring(live))
  }

  #ring(live: LiveGroup): void {
    this.#disarm(live)
    // While the log is read again the group is about to be made anew, with deadlines of its own.
    if (this.refusal !== undefined) return
    const { members } = live.group
    const before = members.size
    this.run(live, (step) => tick(live.group, step))
    if (members.size < before) this.#world.trace.count('groups.members.expired', before - members.size)
  }

  #disarm(live: LiveGroup): void {
    live.alarm?.cancel()
    live.alarm = undefined
    live.alarmAtMs = Infinity
  }

  // --- ends ---

  isNothing({ vhost, group }: LiveGroup): boolean {
    return group.state === 'Empty' && group.pending.size === 0 && !this.#hasOffsets(vhost, group.name)
  }

  /** A group of which nothing was ever stored leaves nothing behind. */
  #dropWhenNothing(live: LiveGroup): void {
    if (!this.records.has(live.vhost, live.group.name) && this.isNothing(live)) this.#drop(live)
  }

  #drop(live: LiveGroup): void {
    this.#disarm(live)
    this.#vhosts.get(live.vhost)?.delete(live.group.name)
  }

  /** Removes an empty group for good; resolves at the commit. Its offsets must be gone. */
  async remove(live: LiveGroup): Promise<true | Refusal> {
    const { vhost, group } = live
    assert(group.members.size === 0 && !this.#hasOffsets(vhost, group.name), 'nothing of a removed group is in use')
    const isStored = this.records.has(vhost, group.name)
    this.#drop(live)
    if (isStored) return this.append(live, this.records, [this.records.goneRecord(vhost, group.name)])
    return (await this.settled(live)) ?? true
  }

  #revive(): void {
    if (this.#log === undefined || this.#isClosed) return
    for (const { vhost, group } of this.records.revived(this.#world.clock.monotonicMs()))
      this.arm(this.make(vhost, group))
    this.#onRevived()
  }

  /** The machine log forgot what it could not keep: so do the groups, until they are read again. */
  #forgetAll(): void {
    this.#endAll(loading, syncLost)
  }

  close(): void {
    this.#isClosed = true
    this.#endAll(stopping, stopping)
  }

  #endAll(joinRefusal: Refusal, syncRefusal: Refusal): void {
    for (const live of this.all()) this.#disarm(live)
    this.#vhosts.clear()
    for (const { memberId, resolve } of this.#joins.values()) resolve({ ...joinRefusal, memberId })
    this.#joins.clear()
    for (const resolve of this.#syncs.values()) resolve(syncRefusal)
    this.#syncs.clear()
  }
}
