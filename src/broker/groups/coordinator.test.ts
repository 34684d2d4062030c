// The coordinator around the groups: what waits for a commit, what a restart or a refused append leaves, who is listed.
// Promises: commits and refusals of the store happen by hand; a restart loses what was not committed.
// Does not know: the rules inside a rebalance (group.test.ts), offsets (offsets.test.ts).

import { describe, expect, test } from 'vitest'
import { isRefusal } from '../errors.ts'
import {
  assignmentOf,
  GroupStage,
  joinCall,
  joinedOf,
  nameOf,
  refusedOf,
  settled,
  subscription,
} from './group-stage.contract.ts'
import { defaultGroupSettings } from './group-settings.ts'
import { GroupCoordinator } from './coordinator.ts'

describe('answers follow the commit', () => {
  test('nobody learns of a generation before its record is committed', async () => {
    const stage = await GroupStage.open()
    const parked = await stage.join()
    stage.store.holds = true
    await stage.clock.advance(0)
    expect([refusedOf(parked), stage.store.waiting]).toEqual(['parked', 1])
    stage.store.commit()
    await settled()
    expect(joinedOf(parked.outcome).generation).toBe(1)
  })

  test('nor of an assignment, also who asks for it later', async () => {
    const stage = await GroupStage.open()
    const parked = [await stage.join(), await stage.join()]
    await stage.clock.advance(0)
    const [leader, follower] = parked.map(({ outcome }) => joinedOf(outcome))
    stage.store.holds = true
    const first = await stage.sync(leader, { [leader.memberId]: 'A', [follower.memberId]: 'B' })
    const second = await stage.sync(follower)
    expect([assignmentOf(first), assignmentOf(second)]).toEqual(['parked', 'parked'])
    // A heartbeat promises nothing, and waits for nothing.
    expect(await stage.heartbeat(follower)).toBe('ok')
    stage.store.commit()
    await settled()
    expect([assignmentOf(first), assignmentOf(second)]).toEqual(['A', 'B'])
  })

  test('a refused append: who waited for it is told to come again, and the group is as it was committed', async () => {
    const stage = await GroupStage.open()
    const [leader, follower] = await stage.stable(2)
    stage.store.holds = true
    const newcomer = await stage.join()
    const again = [await stage.join({ memberId: leader.memberId }), await stage.join({ memberId: follower.memberId })]
    const later = await stage.join({ requireKnownMemberId: true })
    stage.store.refuse()
    stage.store.holds = false
    await settled()
    expect([newcomer, ...again, later].map(refusedOf)).toEqual(Array(4).fill('coordinatorLoading'))
    // Generation 2 was never heard of: those of generation 1 go on, as if nobody had come.
    expect(await stage.heartbeat(leader)).toBe('ok')
    expect(assignmentOf(await stage.sync(follower))).toBe('a1')
    expect(await stage.state()).toBe('Stable')
  })

  test('a refused assignment: members join again', async () => {
    const stage = await GroupStage.open()
    const parked = [await stage.join(), await stage.join()]
    await stage.clock.advance(0)
    const [leader, follower] = parked.map(({ outcome }) => joinedOf(outcome))
    const waiting = await stage.sync(follower)
    stage.store.holds = true
    const assigned = await stage.sync(leader, {})
    stage.store.refuse()
    stage.store.holds = false
    await settled()
    expect([waiting, assigned].map(refusedOf)).toEqual(['rebalanceInProgress', 'rebalanceInProgress'])
    expect(await stage.heartbeat(leader)).toBe('rebalanceInProgress')
    const again = [await stage.join({ memberId: leader.memberId }), await stage.join({ memberId: follower.memberId })]
    expect(again.map(({ outcome }) => joinedOf(outcome).generation)).toEqual([2, 2])
  })
})

describe('restarts', () => {
  test('a stable group goes on without a rebalance, with new sessions', async () => {
    const stage = await GroupStage.open()
    const [leader, follower] = await stage.stable(2, {
      protocols: ['a', 'b'].map((name) => ({ name, metadata: subscription('orders') })),
    })
    await stage.clock.advance(9999)
    await stage.restart()
    await stage.clock.advance(9999)
    expect(await stage.heartbeat(leader)).toBe('ok')
    expect(await stage.heartbeat(follower)).toBe('ok')
    expect(assignmentOf(await stage.sync(follower))).toBe('a1')
    const view = await stage.calls.describe('g')
    expect(view).toMatchObject({ state: 'Stable', protocolType: 'consumer', protocolName: 'a', type: 'classic' })
    // All that a member offers was kept, so that it is unchanged when it joins again.
    const same = ['a', 'b'].map((name) => ({ name, metadata: subscription('orders') }))
    const joined = joinedOf((await stage.join({ memberId: follower.memberId, protocols: same })).outcome)
    expect(joined).toMatchObject({ generation: 1, leader: leader.memberId })
    await stage.clock.advance(10_000)
    expect(await stage.heartbeat(leader)).toBe('unknownMember')
  })

  test('a static member keeps its instance', async () => {
    const stage = await GroupStage.open()
    const [old] = await stage.stable(1, { instanceId: 'i' })
    const back = joinedOf((await stage.join({ instanceId: 'i' })).outcome)
    await stage.restart()
    expect(await stage.heartbeat(old, 'i')).toBe('fencedInstance')
    expect(await stage.heartbeat(back, 'i')).toBe('ok')
  })

  test('a generation without an assignment is rebalanced, and its number never given again', async () => {
    const stage = await GroupStage.open()
    const parked = [await stage.join(), await stage.join()]
    await stage.clock.advance(0)
    const [leader, follower] = parked.map(({ outcome }) => joinedOf(outcome))
    await stage.restart()
    expect(await stage.state()).toBe('PreparingRebalance')
    expect(await stage.heartbeat(follower)).toBe('rebalanceInProgress')
    expect(refusedOf(await stage.sync(leader, {}))).toBe('rebalanceInProgress')
    const again = await stage.join({ memberId: leader.memberId })
    await stage.clock.advance(10_000)
    // The other one's session ended: it did not come back.
    expect(joinedOf(again.outcome)).toMatchObject({ generation: 2, leader: leader.memberId })
  })

  test('an empty group keeps its generation and the time it became empty', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(1)
    await stage.leave({ memberId: one.memberId })
    await stage.restart()
    expect(await stage.state()).toBe('Empty')
    const again = await stage.join()
    await stage.clock.advance(0)
    expect(joinedOf(again.outcome).generation).toBe(3)
  })
})

describe('before the start and after the end', () => {
  test('while the log is read', async () => {
    const { world, directory } = await GroupStage.open()
    const calls = new GroupCoordinator(world, directory, defaultGroupSettings).forVhost('/')
    const member = { group: 'g', memberId: 'm', instanceId: null, generation: 1 }
    expect(nameOf(await calls.join(joinCall({})))).toBe('coordinatorLoading')
    // These two clients do not expect to be told so (Kafka answers the same).
    const sync = await calls.sync({ ...member, protocolType: null, protocolName: null, assignments: [] })
    expect(nameOf(sync)).toBe('rebalanceInProgress')
    expect(nameOf(await calls.heartbeat(member))).toBe('ok')
    expect(nameOf(await calls.leave({ group: 'g', members: [] }))).toBe('coordinatorLoading')
    const offset = { topic: { name: 'orders' }, partition: 0, offset: 1, leaderEpoch: -1, metadata: '' }
    expect(nameOf(await calls.commit({ ...member, offsets: [offset] }))).toBe('coordinatorLoading')
    const fetch = { group: 'g', memberId: '', memberEpoch: -1, partitions: undefined }
    expect(nameOf(await calls.fetch(fetch))).toBe('coordinatorLoading')
    expect(nameOf(await calls.describe('g'))).toBe('coordinatorLoading')
    expect(nameOf(await calls.delete('g'))).toBe('coordinatorLoading')
    expect(nameOf(await calls.deleteOffsets('g', []))).toBe('coordinatorLoading')
  })

  test('close answers what is parked, and everything after', async () => {
    const stage = await GroupStage.open()
    const parked = await stage.join()
    stage.coordinator.close()
    await settled()
    expect(refusedOf(parked)).toBe('coordinatorUnavailable')
    expect(await stage.heartbeat({ memberId: 'm', generation: 1 })).toBe('coordinatorUnavailable')
    expect(refusedOf(await stage.join())).toBe('coordinatorUnavailable')
    expect(stage.clock.timers).toBe(0)
  })

  test('close answers parked syncs too', async () => {
    const stage = await GroupStage.open()
    const parked = [await stage.join(), await stage.join()]
    await stage.clock.advance(0)
    const waiting = await stage.sync(joinedOf(parked[1].outcome))
    stage.coordinator.close()
    await settled()
    expect(refusedOf(waiting)).toBe('coordinatorUnavailable')
    expect(waiting.answers).toBe(1)
  })
})

describe('operators', () => {
  test('list and describe, each vhost its own', async () => {
    const stage = await GroupStage.open()
    await stage.stable(1, { clientId: 'me', clientHost: '/10.0.0.1' })
    await stage.commit({ memberId: '', generation: -1 }, 1, { group: 'offsets only' })
    const classic = { type: 'classic' }
    expect(await stage.calls.list()).toEqual([
      { group: 'g', protocolType: 'consumer', state: 'Stable', ...classic },
      { group: 'offsets only', protocolType: '', state: 'Empty', ...classic },
    ])
    const view = await stage.calls.describe('g')
    if (isRefusal(view)) throw new Error(view.why)
    expect(view.members).toMatchObject([{ instanceId: null, clientId: 'me', clientHost: '/10.0.0.1' }])
    expect(view.members[0].metadata.equals(subscription('orders'))).toBe(true)
    expect(view.members[0].assignment.toString()).toBe('a0')
    const elsewhere = stage.coordinator.forVhost('elsewhere')
    expect(await elsewhere.list()).toEqual([])
    expect(nameOf(await elsewhere.describe('g'))).toBe('groupMissing')
    await stage.restart()
    expect((await stage.calls.list()).map(({ group, state }) => `${group} ${state}`)).toEqual([
      'g Stable',
      'offsets only Empty',
    ])
  })

  test('a group in a rebalance is described without metadata', async () => {
    const stage = await GroupStage.open()
    await stage.join()
    const view = await stage.calls.describe('g')
    expect(view).toMatchObject({ state: 'PreparingRebalance', protocolName: '', members: [{ clientId: 'c' }] })
  })

  test('delete: only what is empty, with its offsets, for good', async () => {
    const stage = await GroupStage.open()
    expect(nameOf(await stage.calls.delete('g'))).toBe('groupMissing')
    const [one] = await stage.stable(1)
    await stage.commit(one, 7)
    expect(nameOf(await stage.calls.delete('g'))).toBe('groupNotEmpty')
    await stage.leave({ memberId: one.memberId })
    expect(await stage.committed()).toBe(7)
    expect(nameOf(await stage.calls.delete('g'))).toBe('ok')
    expect([await stage.state(), await stage.committed()]).toEqual(['groupMissing', -1])
    await stage.restart()
    expect([await stage.state(), await stage.committed()]).toEqual(['groupMissing', -1])
  })

  test('there are at most so many groups', async () => {
    const stage = await GroupStage.open({ groupsMax: 1 })
    await stage.stable(1)
    expect(refusedOf(await stage.join({ group: 'another' }))).toBe('policyViolation')
    expect(await stage.commit({ memberId: '', generation: -1 }, 1, { group: 'another' })).toBe('policyViolation')
  })
})
