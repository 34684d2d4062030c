// Classic groups under random histories: clients that join, sync, beat, leave, forget, while time passes, the store
// holds, commits or refuses, and the broker restarts.
// Promises: a failure prints its seed. Whatever came before, clients that behave reach one stable generation, and
// clients that fall silent leave nothing parked, both in bounded virtual time.
// Does not know: the rules themselves; it checks only what must hold whatever they decide.
//
// Breaks tried, one at a time, each of which turned this test red within 300 histories:
//   answers that do not wait for the commit · a generation told before it is stored · an assignment not stored · a
//   generation without assignment revived as stable · parked joins or syncs forgotten when asked again, at a new
//   rebalance, with their member, at a reset · no join deadline · missing members kept at it · a leader kept that did
//   not come back · a static member replaced but kept, not stored, without its assignment, or in the middle of an
//   assignment without a rebalance · an alarm not set again, not set earlier, not set after a restart · sessions that do
//   not begin again after a restart, or end while their member waits for us · a join answered twice · an assignment
//   changed by a second sync · generations or fenced ids not checked · offsets read before, or promised without, commit.
// Found here and put right: a heartbeat with a fresh id cut its member's first join short.
// Too rare for it, but red in group.test.ts: no sync deadline, ids given out that never expire, a session not renewed
// with the assignment, a miscount of those who joined.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Joined, JoinRefusal, Synced } from '../door.ts'
import { isRefusal, type Refusal } from '../errors.ts'
import { GroupStage, settled, subscription } from './group-stage.contract.ts'

const slots = 5
/** The last two are static members. */
const instanceOf = (slot: number): string | null => (slot < 3 ? null : `i${slot}`)
const rebalanceMsMax = 20_000
const initialDelayMs = 500
/** The longest that a call may be parked while the store commits. */
const parkedMsMax = rebalanceMsMax + initialDelayMs

type Op =
  | {
      readonly op: 'join'
      readonly slot: number
      /** Joins as a client that started again and forgot its id. */
      readonly fresh: boolean
      readonly known: boolean
      readonly skips: boolean
      readonly metadata: number
      readonly sessionMs: number
      readonly rebalanceMs: number
    }
  | { readonly op: 'sync' | 'beat' | 'commit'; readonly slot: number; readonly old: boolean }
  | { readonly op: 'leave'; readonly leaving: readonly number[] }
  /** Time passes; with `beats` every client sends its heartbeats and does nothing else. */
  | { readonly op: 'advance'; readonly ms: number; readonly beats: boolean }
  /** A static member's process starts again, joins and asks for its assignment. */
  | { readonly op: 'bounce'; readonly slot: number; readonly skips: boolean }
  | { readonly op: 'hold' | 'release' | 'refuse' | 'restart' | 'read' | 'converge' | 'lateLeader' }

const slot = fc.nat({ max: slots - 1 })
const anyOp: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('join' as const),
      slot,
      fresh: fc.boolean(),
      known: fc.boolean(),
      skips: fc.boolean(),
      metadata: fc.nat({ max: 1 }),
      sessionMs: fc.constantFrom(6000, 10_000, 30_000),
      rebalanceMs: fc.constantFrom(2000, rebalanceMsMax),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({ op: fc.constantFrom('sync' as const, 'beat', 'commit'), slot, old: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('leave' as const), leaving: fc.uniqueArray(slot, { maxLength: 3 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('advance' as const),
      ms: fc.constantFrom(0, 1, 500, 5999, 6000, 25_000, 25_000),
      beats: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('bounce' as const), slot: fc.constantFrom(3, 4), skips: fc.boolean() }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constantFrom('hold' as const, 'release', 'release', 'refuse', 'restart', 'read', 'converge'),
    }),
  },
)

interface Client {
  memberId: string
  generation: number
  leads: readonly string[]
  /** Its ids that were replaced by a later one of the same instance. */
  readonly replaced: string[]
  parkedJoins: number
  /** Was given an id and has not come back with it. */
  hasFreshId: boolean
}

interface Waiting {
  readonly what: 'join' | 'sync' | 'leave' | 'commit' | 'read'
  readonly slot: number
  sinceMs: number
  /** It was found waiting while the store committed: for others, then. */
  isParked: boolean
}

class History {
  readonly stage: GroupStage
  readonly clients: readonly Client[]
  readonly waiting = new Set<Waiting>()
  readonly violations: string[] = []
  #generation = 0
  readonly #protocols = new Map<number, string>()
  readonly #leaders = new Map<number, string>()
  readonly #assignments = new Map<string, string>()
  /** Who was told of which generation, and who should have been. */
  readonly #told = new Set<string>()
  #toBeTold: string[] = []
  /** Who asked to leave, by member or instance id. */
  readonly #left = new Set<string>()
  #assigned = 0
  #offset = 0
  #offsetKept = 0
  readonly #offsetsRead = new Set<unknown>()

  constructor(stage: GroupStage) {
    this.stage = stage
    this.clients = Array.from({ length: slots }, () => ({
      memberId: '',
      generation: -1,
      leads: [],
      replaced: [],
      parkedJoins: 0,
      hasFreshId: false,
    }))
  }

  #must(holds: boolean, what: string): void {
    if (!holds) this.violations.push(what)
  }

  /** Follows a call from here to its one answer. */
  #follow<T>(
    what: Waiting['what'],
    at: number,
    call: Promise<T>,
    answered: (outcome: T, waiting: Waiting) => void,
  ): void {
    const waiting: Waiting = { what, slot: at, sinceMs: this.stage.clock.ms, isParked: false }
    this.waiting.add(waiting)
    call.then(
      (outcome) => {
        this.#must(this.waiting.delete(waiting), `${what} is answered once`)
        answered(outcome, waiting)
      },
      (error: unknown) => this.violations.push(`${what}: ${String(error)}`),
    )
  }

  join(at: number, call: Partial<Op & { op: 'join' }> = {}): void {
    const client = this.clients[at]
    const { fresh = false, known = true, skips = false, metadata = 0, sessionMs = 30_000, rebalanceMs = 2000 } = call
    const instanceId = instanceOf(at)
    const memberId = fresh ? '' : client.memberId
    client.parkedJoins++
    client.hasFreshId = false
    const asked = this.stage.calls.join({
      group: 'g',
      memberId,
      instanceId,
      clientId: `c${at}`,
      clientHost: '',
      sessionTimeoutMs: sessionMs,
      rebalanceTimeoutMs: rebalanceMs,
      protocolType: 'consumer',
      protocols: ['a', 'b'].map((name) => ({ name, metadata: subscription('orders', `t${metadata}`) })),
      requireKnownMemberId: known && instanceId === null,
      canSkipAssignment: skips,
      reason: null,
    })
    this.#follow('join', at, asked, (outcome, { isParked }) => {
      client.parkedJoins--
      const isPutOut = isRefusal(outcome) && outcome.refused === 'unknownMember' && memberId !== '' && isParked
      this.#must(!isPutOut || this.#left.has(instanceId ?? memberId), `${memberId} waits to join and is put out`)
      this.#joined(at, outcome)
    })
  }

  #joined(at: number, outcome: Joined | JoinRefusal): void {
    const client = this.clients[at]
    if (isRefusal(outcome)) {
      if (outcome.refused === 'memberIdRequired')
        Object.assign(client, { memberId: outcome.memberId, hasFreshId: true })
      if (outcome.refused === 'unknownMember' && client.memberId === outcome.memberId) client.memberId = ''
      return
    }
    const { generation, memberId, protocolName, leader, members } = outcome
    this.#told.add(`${generation} ${memberId}`)
    this.#toBeTold.push(`${generation} ${leader}`)
    for (const member of members)
      if (member.instanceId === null) this.#toBeTold.push(`${generation} ${member.memberId}`)
    this.#must(generation >= this.#generation, `generation ${generation} comes after ${this.#generation}`)
    this.#generation = Math.max(this.#generation, generation)
    this.#same(this.#protocols, generation, protocolName, 'one protocol')
    if (members.length > 0) {
      this.#must(leader === memberId, 'only the leader learns of the members')
      const ids = members.map((member) => member.instanceId ?? member.memberId)
      this.#must(new Set(ids).size === ids.length, 'an instance is one member')
      this.#must(
        members.some((member) => member.memberId === memberId),
        'the leader is a member',
      )
      if (!outcome.skipAssignment) this.#same(this.#leaders, generation, memberId, 'one assigning leader')
    }
    if (instanceOf(at) !== null && client.memberId !== '' && client.memberId !== memberId)
      client.replaced.push(client.memberId)
    Object.assign(client, { memberId, generation, leads: members.map((member) => member.memberId) })
    if (outcome.skipAssignment) client.leads = []
  }

  #same<K>(known: Map<K, string>, key: K, value: string, what: string): void {
    const before = known.get(key) ?? value
    known.set(key, before)
    this.#must(before === value, `${what}: ${String(key)} has ${before} and ${value}`)
  }

  sync(at: number, old = false): void {
    const { memberId, generation, leads } = this.clients[at]
    if (generation < 1) return
    const assigned = ++this.#assigned
    const assignments = leads.map((id) => ({ memberId: id, assignment: Buffer.from(`${assigned} for ${id}`) }))
    const instanceId = instanceOf(at)
    const call = { group: 'g', memberId, instanceId, generation: old ? generation - 1 : generation, assignments }
    const asked = this.stage.calls.sync({ ...call, protocolType: null, protocolName: null })
    this.#follow('sync', at, asked, (outcome: Synced | Refusal) => {
      if (isRefusal(outcome)) return
      this.#must(outcome.assignment.length > 0, `${memberId} is left without an assignment in ${call.generation}`)
      const key = `${call.generation} ${instanceId ?? memberId}`
      this.#same(this.#assignments, key, outcome.assignment.toString(), 'one assignment')
      this.#must(!old || call.generation === this.#generation, 'an old generation gets no assignment')
    })
  }

  async beat(at: number, old = false): Promise<string> {
    const { memberId, generation, replaced } = this.clients[at]
    const id = old ? replaced.at(-1) : memberId
    if (id === undefined) return 'never'
    const outcome = await this.stage.heartbeat({ memberId: id, generation }, old ? null : instanceOf(at))
    this.#must(!old || outcome !== 'ok', `${id} was replaced and beats`)
    return outcome
  }

  leave(leaving: readonly number[]): void {
    const members = leaving.map((at) => ({ memberId: this.clients[at].memberId, instanceId: instanceOf(at) }))
    const asked = this.stage.calls.leave({
      group: 'g',
      members: members.map((member) => ({ ...member, reason: null })),
    })
    for (const { memberId, instanceId } of members) this.#left.add(instanceId ?? memberId)
    this.#follow('leave', -1, asked, () => undefined)
  }

  commit(at: number, old: boolean): void {
    const { memberId, generation, replaced } = this.clients[at]
    const offset = ++this.#offset
    const id = old ? (replaced.at(-1) ?? '') : memberId
    const instanceId = instanceOf(at)
    const place = { topic: { name: 'orders' }, partition: 0, offset, leaderEpoch: -1, metadata: '' }
    const call = { group: 'g', memberId: id, instanceId, generation: old ? generation - 1 : generation }
    this.#follow('commit', at, this.stage.calls.commit({ ...call, offsets: [place] }), ([outcome]) => {
      if (outcome !== true) return this.#must(!this.#offsetsRead.has(offset), `${offset} was read and is refused`)
      this.#must(offset > this.#offsetKept, `${offset} is committed after ${this.#offsetKept}`)
      this.#must(!old || id === '', `${id} was replaced and commits`)
      this.#offsetKept = offset
    })
  }

  read(): void {
    const kept = this.#offsetKept
    this.#follow('read', -1, this.stage.committed(), (offset) => {
      this.#offsetsRead.add(offset)
      if (typeof offset === 'number') this.#must(offset >= kept || kept === 0, `${offset} is read, ${kept} was kept`)
    })
  }

  async store(how: 'hold' | 'release' | 'refuse' | 'restart'): Promise<void> {
    const { store } = this.stage
    if (how === 'hold') store.holds = true
    else {
      store.holds = false
      if (how === 'release') store.commit()
      if (how === 'refuse') store.refuse()
      if (how === 'restart') await this.#restart()
      // From here on it commits: time spent in its hands does not count.
      for (const waiting of this.waiting) waiting.sinceMs = this.stage.clock.ms
    }
  }

  /** What was stable and committed goes on as it was. */
  async #restart(): Promise<void> {
    const { stage } = this
    const isCommitted = stage.store.waiting === 0
    const before = isCommitted ? await stage.calls.describe('g') : undefined
    await stage.restart()
    if (before === undefined || isRefusal(before) || before.state !== 'Stable') return
    expect(await stage.calls.describe('g')).toEqual(before)
  }

  async advance(ms: number, beats: boolean): Promise<void> {
    if (!beats) return this.stage.clock.advance(ms)
    for (let left = ms; left > 0; left -= 2500) {
      await this.stage.clock.advance(Math.min(left, 2500))
      for (let at = 0; at < slots; at++) await this.beat(at)
      await this.judge()
    }
  }

  bounce(at: number, skips: boolean): Promise<void> {
    this.join(at, { fresh: true, skips })
    return settled().then(() => this.sync(at))
  }

  async run(op: Op): Promise<void> {
    if (op.op === 'join') this.join(op.slot, op)
    else if (op.op === 'sync') this.sync(op.slot, op.old)
    else if (op.op === 'beat') await this.beat(op.slot, op.old)
    else if (op.op === 'commit') {
      this.commit(op.slot, op.old)
      this.read()
    } else if (op.op === 'leave') this.leave(op.leaving)
    else if (op.op === 'advance') await this.advance(op.ms, op.beats)
    else if (op.op === 'bounce') await this.bounce(op.slot, op.skips)
    else if (op.op === 'read') this.read()
    else if (op.op === 'converge') await this.converge()
    else if (op.op === 'lateLeader') await this.lateLeader()
    else await this.store(op.op)
    await settled()
    await this.judge()
  }

  async judge(): Promise<void> {
    const { clock, store } = this.stage
    if (!store.holds) {
      const state = this.waiting.size > 0 ? await this.stage.state() : ''
      for (const waiting of this.waiting) {
        const { what, slot: at, sinceMs } = waiting
        this.#must(clock.ms - sinceMs <= parkedMsMax, `${what} of ${at} is parked since ${clock.ms - sinceMs} ms`)
        if (what === 'join') this.#must(state === 'PreparingRebalance', `a join of ${at} is parked, ${state}`)
        if (what === 'sync') this.#must(state === 'CompletingRebalance', `a sync of ${at} is parked, ${state}`)
        waiting.isParked = true
      }
      for (const told of this.#toBeTold) this.#must(this.#told.has(told), `${told} was never told`)
      this.#toBeTold = []
    }
    expect(this.violations).toEqual([])
  }

  /** Clients as they are meant to be: whoever is not told that all is well joins, then asks for its assignment. */
  async converge(): Promise<void> {
    await this.store('release')
    for (let round = 0; round < 60; round++) {
      let well = 0
      for (const [at, client] of this.clients.entries()) {
        const outcome = client.parkedJoins > 0 ? 'joining' : client.hasFreshId ? 'fresh' : await this.beat(at)
        if (outcome === 'ok') well++
        else if (outcome !== 'joining') {
          if (outcome === 'unknownMember' || outcome === 'fencedInstance') client.memberId = ''
          this.join(at)
        }
      }
      await settled()
      for (const [at, client] of this.clients.entries()) if (client.generation === this.#generation) this.sync(at)
      await settled()
      await this.judge()
      const generations = new Set(this.clients.map(({ generation }) => generation))
      if (well === slots && generations.size === 1 && (await this.stage.state()) === 'Stable') return
      await this.stage.clock.advance(1000)
    }
    throw new Error(`no stable generation: ${JSON.stringify(this.clients)} ${await this.stage.state()}`)
  }

  /** A next generation in which everybody but the leader has asked for its assignment. */
  async lateLeader(): Promise<void> {
    await this.converge()
    // The leader first: a follower that has nothing new is answered with the present generation.
    const inOrder = [...this.clients.keys()].sort((one, other) => this.#leads(other) - this.#leads(one))
    for (const at of inOrder) this.join(at, { sessionMs: at === inOrder[0] ? 30_000 : 6000 })
    await settled()
    for (const at of inOrder) if (this.#leads(at) === 0) this.sync(at)
  }

  #leads = (at: number): number => this.clients[at].leads.length

  /** Everybody falls silent: nothing is left parked, and nobody is left a member. */
  async end({ converges, restarts }: { readonly converges: boolean; readonly restarts: boolean }): Promise<void> {
    await this.store('release')
    if (converges) await this.converge()
    if (restarts) await this.store('restart')
    this.read()
    await settled()
    for (let passed = 0; passed < 8; passed++) {
      await this.stage.clock.advance(parkedMsMax)
      await this.judge()
    }
    expect([...this.waiting]).toEqual([])
    expect(['Empty', 'groupMissing']).toContain(await this.stage.state())
    this.stage.coordinator.close()
    expect(this.stage.clock.timers).toBe(0)
  }
}

test('whatever happens: one assignment a generation, generations that only rise, every call answered once', async () => {
  const settings = { initialRebalanceDelayMs: initialDelayMs, offsetsRetentionCheckMs: 1e12, groupSizeMax: 100 }
  const anyEnd = fc.record({ converges: fc.boolean(), restarts: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(fc.array(anyOp, { maxLength: 60, size: 'max' }), anyEnd, async (ops, end) => {
      const history = new History(await GroupStage.open(settings))
      for (const op of ops) await history.run(op)
      await history.end(end)
    }),
    { numRuns: 300 },
  )
}, 60_000)
