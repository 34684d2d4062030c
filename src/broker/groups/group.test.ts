// Classic groups through the door's calls: joins, rebalances, static members, timeouts, leaving, restarts.
// Promises: time passes and commits happen by hand; each scenario names the rule of Kafka it holds us to.
// Does not know: offsets (offsets.test.ts), random histories (group-model.test.ts).

import { describe, expect, test } from 'vitest'
import type { Joined, JoinRefusal } from '../door.ts'
import { assignmentOf, GroupStage, joinedOf, refusedOf, subscription } from './group-stage.contract.ts'

const memberIdOf = (outcome: Joined | JoinRefusal | undefined): string => outcome?.memberId ?? ''

describe('joining', () => {
  test('two members share a generation; the leader alone learns of all', async () => {
    const stage = await GroupStage.open()
    const first = await stage.join({ clientId: 'one' })
    const second = await stage.join({ clientId: 'two' })
    expect([refusedOf(first), refusedOf(second)]).toEqual(['parked', 'parked'])
    expect(await stage.state()).toBe('PreparingRebalance')
    await stage.clock.advance(0)
    const [one, two] = [joinedOf(first.outcome), joinedOf(second.outcome)]
    expect(one).toMatchObject({ generation: 1, protocolName: 'range', protocolType: 'consumer', leader: one.memberId })
    expect(one.memberId).toMatch(/^one-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    expect(one.members.map(({ memberId }) => memberId)).toEqual([one.memberId, two.memberId])
    expect(two).toMatchObject({ generation: 1, leader: one.memberId, members: [] })
    expect(await stage.state()).toBe('CompletingRebalance')
    // Heartbeats are taken before the assignment is there.
    expect(await stage.heartbeat(two)).toBe('ok')
    const follower = await stage.sync(two)
    expect(assignmentOf(follower)).toBe('parked')
    const leader = await stage.sync(one, { [one.memberId]: 'A', [two.memberId]: 'B', stranger: 'C' })
    expect([assignmentOf(leader), assignmentOf(follower)]).toEqual(['A', 'B'])
    expect(await stage.state()).toBe('Stable')
    expect(assignmentOf(await stage.sync(two))).toBe('B')
    expect(await stage.heartbeat(one)).toBe('ok')
  })

  test('KIP-394: without an id one gets an id, and is a member only when it comes back with it', async () => {
    const stage = await GroupStage.open()
    const asked = await stage.join({ requireKnownMemberId: true, clientId: 'c' })
    expect(refusedOf(asked)).toBe('memberIdRequired')
    const memberId = memberIdOf(asked.outcome)
    expect(memberId).toMatch(/^c-/)
    const joined = await stage.join({ memberId, requireKnownMemberId: true })
    await stage.clock.advance(0)
    expect(joinedOf(joined.outcome).memberId).toBe(memberId)
    // An id given out holds up a rebalance under way, until its session would have ended.
    await stage.sync(joinedOf(joined.outcome), { [memberId]: 'A' })
    const lost = await stage.join({ requireKnownMemberId: true, sessionTimeoutMs: 6000 })
    const again = await stage.join({ memberId })
    expect(refusedOf(again)).toBe('parked')
    await stage.clock.advance(5999)
    expect(refusedOf(again)).toBe('parked')
    await stage.clock.advance(1)
    expect(joinedOf(again.outcome).generation).toBe(2)
    expect(refusedOf(await stage.join({ memberId: memberIdOf(lost.outcome) }))).toBe('unknownMember')
  })

  test('an id that nobody knows is unknown, and makes no group', async () => {
    const stage = await GroupStage.open()
    expect(refusedOf(await stage.join({ memberId: 'x' }))).toBe('unknownMember')
    expect(await stage.state()).toBe('groupMissing')
    expect(await stage.heartbeat({ memberId: 'x', generation: 1 })).toBe('unknownMember')
    expect(refusedOf(await stage.sync({ memberId: 'x', generation: 1 }))).toBe('unknownMember')
    expect(await stage.leave({ memberId: 'x' })).toBe('unknownMember')
    expect(await stage.calls.list()).toEqual([])
  })

  test('ids, sessions and protocols out of bounds', async () => {
    const stage = await GroupStage.open()
    expect(refusedOf(await stage.join({ group: '' }))).toBe('invalidGroupId')
    expect(refusedOf(await stage.join({ sessionTimeoutMs: 5999 }))).toBe('invalidSessionTimeout')
    expect(refusedOf(await stage.join({ sessionTimeoutMs: 1_800_001 }))).toBe('invalidSessionTimeout')
    expect(refusedOf(await stage.join({ protocols: [] }))).toBe('inconsistentGroupProtocol')
    expect(refusedOf(await stage.join({ protocolType: '' }))).toBe('inconsistentGroupProtocol')
    expect(refusedOf(await stage.join({ instanceId: 'i'.repeat(250) }))).toBe('invalidRequest')
    expect(await stage.calls.list()).toEqual([])
    await stage.stable(1)
    expect(refusedOf(await stage.join({ protocolType: 'connect' }))).toBe('inconsistentGroupProtocol')
    const sticky = [{ name: 'sticky', metadata: subscription('orders') }]
    expect(refusedOf(await stage.join({ protocols: sticky }))).toBe('inconsistentGroupProtocol')
    expect(await stage.state()).toBe('Stable')
  })

  test('the protocol most vote for, of those all offer', async () => {
    const stage = await GroupStage.open()
    const offer = (...names: string[]) => names.map((name) => ({ name, metadata: Buffer.from(name) }))
    const parked = [
      await stage.join({ protocols: offer('a', 'b', 'c') }),
      await stage.join({ protocols: offer('c', 'b') }),
      await stage.join({ protocols: offer('x', 'c', 'b', 'b') }),
    ]
    await stage.clock.advance(0)
    expect(parked.map(({ outcome }) => joinedOf(outcome).protocolName)).toEqual(['c', 'c', 'c'])
    expect(joinedOf(parked[0].outcome).members.map(({ metadata }) => metadata.toString())).toEqual(['c', 'c', 'c'])
  })

  test('group.max.size', async () => {
    const stage = await GroupStage.open({ groupSizeMax: 2 })
    const [one] = await stage.stable(2)
    expect(refusedOf(await stage.join())).toBe('groupFull')
    // In a rebalance it is the last to come who is put out.
    await stage.join({ memberId: one.memberId })
    expect(refusedOf(await stage.join())).toBe('parked')
    expect(refusedOf(await stage.join())).toBe('groupFull')
  })

  test('the initial delay lets the others come, and each that comes prolongs it', async () => {
    const stage = await GroupStage.open({ initialRebalanceDelayMs: 3000 })
    const first = await stage.join({ rebalanceTimeoutMs: 7000 })
    await stage.clock.advance(2999)
    const second = await stage.join({ rebalanceTimeoutMs: 7000 })
    await stage.clock.advance(3000)
    expect(refusedOf(first)).toBe('parked')
    await stage.clock.advance(1)
    expect([joinedOf(first.outcome).generation, joinedOf(second.outcome).generation]).toEqual([1, 1])
  })
})

describe('rebalancing', () => {
  test('a cooperative pair of rebalances: all come back, nobody is lost', async () => {
    const stage = await GroupStage.open()
    const [one, two] = await stage.stable(2)
    const newcomer = await stage.join()
    expect(await stage.heartbeat(one)).toBe('rebalanceInProgress')
    expect(refusedOf(await stage.sync(two))).toBe('rebalanceInProgress')
    const again = [await stage.join({ memberId: one.memberId }), await stage.join({ memberId: two.memberId })]
    const generation2 = [...again, newcomer].map(({ outcome }) => joinedOf(outcome))
    expect(generation2.map(({ generation }) => generation)).toEqual([2, 2, 2])
    expect(generation2[0].leader).toBe(one.memberId)
    for (const each of generation2.toReversed()) {
      const parked = await stage.sync(each, each.leader === each.memberId ? { [each.memberId]: 'all' } : {})
      if (each === generation2[0]) expect(assignmentOf(parked)).toBe('all')
    }
    // The leader gave partitions up and asks for the second rebalance, with other metadata.
    const revoked = [{ name: 'range', metadata: subscription('orders', 'other') }]
    const third = await stage.join({ memberId: one.memberId, protocols: revoked })
    expect(refusedOf(third)).toBe('parked')
    await stage.join({ memberId: two.memberId })
    expect(refusedOf(third)).toBe('parked')
    await stage.join({ memberId: generation2[2].memberId })
    expect(joinedOf(third.outcome)).toMatchObject({ generation: 3, leader: one.memberId })
    expect(joinedOf(third.outcome).members).toHaveLength(3)
  })

  test('in a stable group an unchanged follower is answered at once, a leader or a change begins a rebalance', async () => {
    const stage = await GroupStage.open()
    const [leader, follower] = await stage.stable(2)
    const unchanged = await stage.join({ memberId: follower.memberId })
    expect(joinedOf(unchanged.outcome)).toMatchObject({ generation: 1, members: [] })
    expect(await stage.state()).toBe('Stable')
    expect(assignmentOf(await stage.sync(follower))).toBe('a1')
    const changed = await stage.join({
      memberId: follower.memberId,
      protocols: [{ name: 'range', metadata: subscription('other') }],
    })
    expect(refusedOf(changed)).toBe('parked')
    expect(joinedOf((await stage.join({ memberId: leader.memberId })).outcome).generation).toBe(2)
  })

  test('who missed the answer to its join gets it again; a changed one begins anew', async () => {
    const stage = await GroupStage.open()
    const parked = await stage.join()
    await stage.clock.advance(0)
    const { memberId } = joinedOf(parked.outcome)
    const again = await stage.join({ memberId })
    expect(joinedOf(again.outcome)).toMatchObject({ generation: 1, leader: memberId })
    expect(joinedOf(again.outcome).members).toHaveLength(1)
    const changed = await stage.join({ memberId, protocols: [{ name: 'range', metadata: Buffer.from('x') }] })
    expect(joinedOf(changed.outcome).generation).toBe(2)
  })

  test('a join asked twice answers the first, so that it does not wait for ever', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(2)
    const first = await stage.join({ memberId: one.memberId })
    const second = await stage.join({ memberId: one.memberId })
    expect([refusedOf(first), refusedOf(second)]).toEqual(['rebalanceInProgress', 'parked'])
  })

  test('at the rebalance timeout the missing are out, and the next leads', async () => {
    const stage = await GroupStage.open()
    const [leader, two, three] = await stage.stable(3, { sessionTimeoutMs: 100_000, rebalanceTimeoutMs: 30_000 })
    const parked = [
      await stage.join({ memberId: two.memberId, protocols: [{ name: 'range', metadata: Buffer.from('y') }] }),
      await stage.join({ memberId: three.memberId }),
    ]
    await stage.clock.advance(59_999)
    expect(parked.map(refusedOf)).toEqual(['parked', 'parked'])
    await stage.clock.advance(1)
    expect(joinedOf(parked[0].outcome)).toMatchObject({ generation: 2, leader: two.memberId })
    expect(joinedOf(parked[0].outcome).members.map(({ memberId }) => memberId)).toEqual([two.memberId, three.memberId])
    expect(await stage.heartbeat(leader)).toBe('unknownMember')
  })

  test('members who never ask for their assignment are removed after the rebalance timeout', async () => {
    const stage = await GroupStage.open()
    const call = { sessionTimeoutMs: 1_000_000, rebalanceTimeoutMs: 20_000 }
    const parked = [await stage.join(call), await stage.join(call)]
    await stage.clock.advance(0)
    const [leader, silent] = parked.map(({ outcome }) => joinedOf(outcome))
    await stage.sync(leader, { [leader.memberId]: 'A' })
    await stage.clock.advance(20_000)
    expect(await stage.heartbeat(silent)).toBe('unknownMember')
    expect(await stage.heartbeat(leader)).toBe('rebalanceInProgress')
    expect(joinedOf((await stage.join({ memberId: leader.memberId })).outcome).generation).toBe(2)
  })

  test('a sync of another generation, type or name', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(1)
    expect(refusedOf(await stage.sync({ ...one, generation: 2 }))).toBe('illegalGeneration')
    expect(await stage.heartbeat({ ...one, generation: 0 })).toBe('illegalGeneration')
    const call = { group: 'g', memberId: one.memberId, instanceId: null, generation: 1, assignments: [] }
    const named = (protocolType: string, protocolName: string) =>
      stage.watch(stage.calls.sync({ ...call, protocolType, protocolName })).then(refusedOf)
    expect(await named('connect', 'range')).toBe('inconsistentGroupProtocol')
    expect(await named('consumer', 'sticky')).toBe('inconsistentGroupProtocol')
    expect(await named('consumer', 'range')).toBe('ok')
  })

  test('the leader dies while it assigns: followers are sent back to join', async () => {
    const stage = await GroupStage.open()
    const parked = [await stage.join({ sessionTimeoutMs: 6000 }), await stage.join({ sessionTimeoutMs: 30_000 })]
    await stage.clock.advance(0)
    const follower = joinedOf(parked[1].outcome)
    const waiting = await stage.sync(follower)
    await stage.clock.advance(5999)
    expect(refusedOf(waiting)).toBe('parked')
    await stage.clock.advance(1)
    expect(refusedOf(waiting)).toBe('rebalanceInProgress')
    const again = await stage.join({ memberId: follower.memberId })
    expect(joinedOf(again.outcome)).toMatchObject({ generation: 2, leader: follower.memberId })
  })
})

describe('sessions', () => {
  test('heartbeats keep a member; silence removes it', async () => {
    const stage = await GroupStage.open()
    const [one, two] = await stage.stable(2)
    await stage.clock.advance(9999)
    expect(await stage.heartbeat(one)).toBe('ok')
    await stage.clock.advance(1)
    for (let beat = 0; beat < 5; beat++) {
      expect(await stage.heartbeat(one)).toBe('rebalanceInProgress')
      await stage.clock.advance(9999)
    }
    expect(await stage.heartbeat(two)).toBe('unknownMember')
    expect([...stage.counters]).toEqual([
      ['groups.generations', 1],
      ['groups.members.expired', 1],
    ])
  })

  test('a member whose first join is parked is given up after five minutes', async () => {
    const stage = await GroupStage.open()
    await stage.stable(1, { sessionTimeoutMs: 1_800_000, rebalanceTimeoutMs: 1_800_000 })
    const parked = await stage.join()
    await stage.clock.advance(299_999)
    expect(refusedOf(parked)).toBe('parked')
    await stage.clock.advance(1)
    expect(refusedOf(parked)).toBe('unknownMember')
  })

  test('a known member that waits in a rebalance outlives its session', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(2, { sessionTimeoutMs: 6000 })
    const slow = { sessionTimeoutMs: 1_000_000, rebalanceTimeoutMs: 100_000 }
    const parked = await stage.join({ memberId: one.memberId, ...slow, sessionTimeoutMs: 6000 })
    await stage.clock.advance(6000)
    // The other one's session ended, so that all who are left have joined.
    expect(joinedOf(parked.outcome)).toMatchObject({ generation: 2 })
    await stage.clock.advance(5999)
    expect(await stage.heartbeat(joinedOf(parked.outcome))).toBe('ok')
  })

  test('a session that ran out while its member waited for the assignment begins anew with it', async () => {
    const stage = await GroupStage.open()
    const parked = [await stage.join({ sessionTimeoutMs: 30_000 }), await stage.join({ sessionTimeoutMs: 6000 })]
    await stage.clock.advance(0)
    const [leader, follower] = parked.map(({ outcome }) => joinedOf(outcome))
    const waiting = await stage.sync(follower)
    await stage.clock.advance(6001)
    await stage.sync(leader, { [follower.memberId]: 'B' })
    expect(assignmentOf(waiting)).toBe('B')
    await stage.clock.advance(5999)
    expect(await stage.state()).toBe('Stable')
    await stage.clock.advance(1)
    expect(await stage.state()).toBe('PreparingRebalance')
  })

  test('one alarm a group, whatever the heartbeats', async () => {
    const stage = await GroupStage.open()
    const members = await stage.stable(5)
    const before = stage.clock.timers
    for (let beat = 0; beat < 10; beat++) for (const member of members) await stage.heartbeat(member)
    expect(stage.clock.timers).toBe(before)
  })
})

describe('leaving', () => {
  test('many at once, one outcome each; the rest rebalance', async () => {
    const stage = await GroupStage.open()
    const [one, two, three] = await stage.stable(3)
    const outcomes = await stage.leave({ memberId: two.memberId }, { memberId: 'x' }, { memberId: three.memberId })
    expect(outcomes).toBe('ok unknownMember ok')
    expect(await stage.heartbeat(one)).toBe('rebalanceInProgress')
    expect(joinedOf((await stage.join({ memberId: one.memberId })).outcome).members).toHaveLength(1)
  })

  test('the last one leaves an empty group with the next generation', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(1)
    expect(await stage.leave({ memberId: one.memberId })).toBe('ok')
    expect(await stage.state()).toBe('Empty')
    expect(await stage.heartbeat(one)).toBe('unknownMember')
    const again = await stage.join({ protocolType: 'connect' })
    await stage.clock.advance(0)
    expect(joinedOf(again.outcome)).toMatchObject({ generation: 3, protocolType: 'connect' })
  })

  test('a member that waits to join is told when it is put out', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(2)
    const parked = await stage.join({ memberId: one.memberId })
    expect(await stage.leave({ memberId: one.memberId })).toBe('ok')
    expect(refusedOf(parked)).toBe('unknownMember')
  })

  test('an id given out and never used may leave without a rebalance', async () => {
    const stage = await GroupStage.open()
    await stage.stable(1)
    const asked = await stage.join({ requireKnownMemberId: true })
    expect(await stage.leave({ memberId: memberIdOf(asked.outcome) })).toBe('ok')
    expect(await stage.state()).toBe('Stable')
  })
})

describe('static members, KIP-345', () => {
  const instance = { instanceId: 'i', requireKnownMemberId: true }

  test('back under a new id without a rebalance; the old one is fenced', async () => {
    const stage = await GroupStage.open()
    const [old] = await stage.stable(1, instance)
    expect(old.memberId).toMatch(/^i-/)
    const back = await stage.join(instance)
    const joined = joinedOf(back.outcome)
    expect(joined.generation).toBe(1)
    expect(joined.memberId).not.toBe(old.memberId)
    // An older client is not told that it leads, or it would assign.
    expect(joined).toMatchObject({ leader: old.memberId, members: [], skipAssignment: false })
    expect(await stage.state()).toBe('Stable')
    expect(await stage.heartbeat(old, 'i')).toBe('fencedInstance')
    expect(await stage.heartbeat(old)).toBe('unknownMember')
    expect(refusedOf(await stage.join({ ...instance, memberId: old.memberId }))).toBe('fencedInstance')
    expect(await stage.commit(old, 1, { instanceId: 'i' })).toBe('fencedInstance')
    expect(assignmentOf(await stage.sync(joined, {}, 'i'))).toBe('a0')
    expect(await stage.heartbeat(joined, 'i')).toBe('ok')
    expect(await stage.heartbeat(joined, 'j')).toBe('unknownMember')
  })

  test('KIP-814: a leader that is back learns of its members and skips the assignment', async () => {
    const stage = await GroupStage.open()
    await stage.stable(1, instance)
    const back = joinedOf((await stage.join({ ...instance, canSkipAssignment: true })).outcome)
    expect(back).toMatchObject({ skipAssignment: true, leader: back.memberId })
    expect(back.members).toHaveLength(1)
  })

  test('back with another choice of protocol: a rebalance', async () => {
    const stage = await GroupStage.open()
    const protocols = ['a', 'b'].map((name) => ({ name, metadata: Buffer.from(name) }))
    await stage.stable(1, { ...instance, protocols })
    const back = joinedOf((await stage.join({ ...instance, protocols: protocols.toReversed() })).outcome)
    expect(back).toMatchObject({ generation: 2, protocolName: 'b', leader: back.memberId })
  })

  test('back while others join or assign: the parked calls of the old id are fenced', async () => {
    const stage = await GroupStage.open()
    const first = await stage.join(instance)
    const second = await stage.join(instance)
    expect(refusedOf(first)).toBe('fencedInstance')
    await stage.clock.advance(0)
    const joined = joinedOf(second.outcome)
    const other = await stage.join({ memberId: '', clientId: 'o' })
    const again = await stage.join({ ...instance, memberId: joined.memberId })
    const [leader, follower] = [joinedOf(again.outcome), joinedOf(other.outcome)]
    expect(leader.leader).toBe(leader.memberId)
    const waiting = await stage.sync(follower)
    const back = await stage.join(instance)
    expect(refusedOf(waiting)).toBe('rebalanceInProgress')
    expect(refusedOf(back)).toBe('parked')
    await stage.join({ memberId: follower.memberId })
    expect(joinedOf(back.outcome)).toMatchObject({ generation: 3, leader: memberIdOf(back.outcome) })
  })

  test('stays through a rebalance it misses, until its session ends', async () => {
    const stage = await GroupStage.open()
    const stays = joinedOf((await joinOne(stage, { instanceId: 's', sessionTimeoutMs: 60_000 })).outcome)
    await stage.sync(stays, { [stays.memberId]: 'A' }, 's')
    const other = await stage.join({ rebalanceTimeoutMs: 10_000, sessionTimeoutMs: 300_000 })
    await stage.clock.advance(60_000)
    // Its own rebalance timeout of 60 s is the group's; its session ended at the same time, first.
    expect(joinedOf(other.outcome).members.map(({ instanceId }) => instanceId)).toEqual([null])
  })

  test('all static and none back: the rebalance waits for their sessions, then the group is empty', async () => {
    const stage = await GroupStage.open()
    const call = { sessionTimeoutMs: 300_000, rebalanceTimeoutMs: 10_000 }
    const parked = [await stage.join({ ...call, instanceId: 'i' }), await stage.join({ ...call, instanceId: 'j' })]
    const leaver = await stage.join(call)
    await stage.clock.advance(0)
    const statics = parked.map(({ outcome }) => joinedOf(outcome))
    await stage.leave({ memberId: memberIdOf(leaver.outcome) })
    await stage.clock.advance(200_000)
    expect(await stage.state()).toBe('PreparingRebalance')
    expect(await stage.heartbeat(statics[0], 'i')).toBe('rebalanceInProgress')
    await stage.clock.advance(299_999)
    expect(await stage.state()).toBe('PreparingRebalance')
    await stage.clock.advance(1)
    expect(await stage.state()).toBe('Empty')
  })

  test('an operator removes it by instance id alone', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(1, instance)
    expect(await stage.leave({ instanceId: 'k' }, { instanceId: 'i' })).toBe('unknownMember ok')
    expect(await stage.heartbeat(one, 'i')).toBe('unknownMember')
    expect(await stage.state()).toBe('Empty')
  })

  const joinOne = async (stage: GroupStage, call: Parameters<GroupStage['join']>[0]) => {
    const parked = await stage.join(call)
    await stage.clock.advance(0)
    return parked
  }
})
