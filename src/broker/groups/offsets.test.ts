// Committed offsets through the door's calls: who may commit, what is read back, what goes and when.
// Promises: time passes and commits happen by hand.
// Does not know: rebalances beyond what commits see of them.

import { describe, expect, test } from 'vitest'
import { isRefusal } from '../errors.ts'
import { GroupStage, joinedOf, nameOf, refusedOf, settled, topicIdOf } from './group-stage.contract.ts'
import { Offsets } from './offsets.ts'
import type { TopicId } from '../../log/store.ts'

const alone = { memberId: '', generation: -1 }
const dayMs = 24 * 3_600_000

describe('committing and reading back', () => {
  test('from outside any group', async () => {
    const stage = await GroupStage.open()
    expect(await stage.committed()).toBe(-1)
    expect(await stage.commit(alone, 42, { metadata: 'so far: ✓' })).toBe('ok')
    const call = { group: 'g', memberId: '', memberEpoch: -1 }
    const orders = { name: 'orders' }
    expect(await stage.calls.fetch({ ...call, partitions: [{ topic: orders, partition: 0 }] })).toEqual([
      {
        topic: 'orders',
        topicId: topicIdOf('orders'),
        partition: 0,
        offset: 42,
        leaderEpoch: -1,
        metadata: 'so far: ✓',
        committedAtMs: stage.clock.nowMs(),
      },
    ])
    await stage.commit(alone, 43)
    await stage.commit(alone, 9, { topic: { id: topicIdOf('other') }, partition: 3 })
    const all = await stage.calls.fetch({ ...call, partitions: undefined })
    if (isRefusal(all)) throw new Error(all.why)
    expect(all.map((each) => (isRefusal(each) ? each.why : `${each.topic}-${each.partition} ${each.offset}`))).toEqual([
      'orders-0 43',
      'other-3 9',
    ])
    expect(await stage.committed('g', 3, { id: topicIdOf('other') })).toBe(9)
    await stage.restart()
    expect([await stage.committed(), await stage.committed('g', 3, { name: 'other' })]).toEqual([43, 9])
  })

  test('what is not there', async () => {
    const stage = await GroupStage.open()
    await stage.commit(alone, 1)
    expect(await stage.committed('g', 1)).toBe(-1)
    expect(await stage.committed('g', 0, { name: 'nothing' })).toBe(-1)
    expect(await stage.committed('g', 0, { id: topicIdOf('nothing') })).toBe('unknownTopicId')
    expect(await stage.commit(alone, 1, { topic: { name: 'nothing' } })).toBe('unknownTopic')
    expect(await stage.commit(alone, 1, { topic: { id: topicIdOf('nothing') } })).toBe('unknownTopicId')
    expect(await stage.commit(alone, 1, { partition: 4 })).toBe('unknownTopic')
    expect(await stage.commit(alone, 1, { partition: -1 })).toBe('unknownTopic')
    expect(await stage.commit({ memberId: 'm', generation: 1 }, 1, { group: 'nobody' })).toBe('illegalGeneration')
    const other = stage.coordinator.forVhost('elsewhere')
    expect(await other.fetch({ group: 'g', memberId: '', memberEpoch: -1, partitions: undefined })).toEqual([])
  })

  test("metadata's bytes are counted; the others of the call are committed", async () => {
    const stage = await GroupStage.open()
    const offset = { topic: { name: 'orders' }, leaderEpoch: 3, offset: 5 }
    const call = { group: '', ...alone, instanceId: null }
    const outcomes = await stage.calls.commit({
      ...call,
      offsets: [
        { ...offset, partition: 0, metadata: 'é'.repeat(2049) },
        { ...offset, partition: 1, metadata: 'é'.repeat(2048) },
      ],
    })
    expect(nameOf(outcomes)).toBe('offsetMetadataTooLarge ok')
    // Kafka still takes the empty group id here.
    expect([await stage.committed('', 0), await stage.committed('', 1)]).toEqual([-1, 5])
  })

  test('an offset is read when it is committed, not before; a refused one never', async () => {
    const stage = await GroupStage.open()
    await stage.commit(alone, 1)
    stage.store.holds = true
    const commit = await stage.watch(stage.commit(alone, 2))
    const read = await stage.watch(stage.committed())
    expect([commit.outcome, read.outcome]).toEqual([undefined, undefined])
    stage.store.commit()
    await settled()
    expect([commit.outcome, read.outcome]).toEqual(['ok', 2])
    const refused = await stage.watch(stage.commit(alone, 3))
    const lost = await stage.watch(stage.committed())
    stage.store.refuse()
    stage.store.holds = false
    await settled()
    expect([refused.outcome, lost.outcome]).toEqual(['coordinatorUnavailable', 'coordinatorLoading'])
    expect(await stage.committed()).toBe(2)
  })

  test('its stored form comes back from its own records', () => {
    const offsets = new Offsets()
    const topicId = topicIdOf('t') as TopicId
    const value = { offset: 2 ** 52, leaderEpoch: 7, metadata: 'm', committedAtMs: 1_700_000_000_000 }
    for (const group of ['a', 'b']) {
      for (let partition = 0; partition < 3; partition++) {
        const { key, value: stored } = offsets.record('/', group, { topicId, partition }, value)
        offsets.apply(Buffer.from(key), stored === null ? null : Buffer.from(stored))
      }
    }
    const copy = new Offsets()
    for (const { key, value: stored } of offsets.entries())
      copy.apply(Buffer.from(key), stored === null ? null : Buffer.from(stored))
    expect([...copy.ofGroup('/', 'b')]).toEqual([...offsets.ofGroup('/', 'b')])
    expect(copy.find('/', 'a', { topicId, partition: 2 })).toEqual(value)
    for (const { key } of copy.goneOfTopic('/', 'a', topicId)) copy.apply(Buffer.from(key), null)
    expect([copy.has('/', 'a'), copy.has('/', 'b')]).toEqual([false, true])
  })
})

describe('members', () => {
  test('of this generation, or while the next one joins; not between join and assignment', async () => {
    const stage = await GroupStage.open()
    const [one, two] = await stage.stable(2)
    expect(await stage.commit(one, 1)).toBe('ok')
    expect(await stage.commit({ ...one, generation: 2 }, 9)).toBe('illegalGeneration')
    expect(await stage.commit({ ...one, memberId: 'x' }, 9)).toBe('unknownMember')
    expect(await stage.commit(alone, 9)).toBe('unknownMember')
    await stage.join({ memberId: one.memberId })
    expect(await stage.state()).toBe('PreparingRebalance')
    expect(await stage.commit(two, 2)).toBe('ok')
    await stage.join({ memberId: two.memberId })
    expect(await stage.state()).toBe('CompletingRebalance')
    expect(await stage.commit({ ...two, generation: 2 }, 9)).toBe('rebalanceInProgress')
    expect(await stage.commit(two, 9)).toBe('illegalGeneration')
    expect(await stage.committed()).toBe(2)
  })

  test('a commit keeps the session alive', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(1)
    await stage.clock.advance(9000)
    await stage.commit(one, 1)
    await stage.clock.advance(9000)
    expect(await stage.heartbeat(one)).toBe('ok')
  })

  test('whoever is outside commits when the group is empty', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(1)
    await stage.leave({ memberId: one.memberId })
    expect(await stage.commit({ ...one }, 9)).toBe('unknownMember')
    expect(await stage.commit(alone, 3)).toBe('ok')
  })
})

describe('deleting', () => {
  const orders = [{ topic: 'orders', partition: 0 }]

  test('what members subscribe to stays', async () => {
    const stage = await GroupStage.open()
    expect(nameOf(await stage.calls.deleteOffsets('g', orders))).toBe('groupMissing')
    const [one] = await stage.stable(1)
    await stage.commit(one, 1)
    await stage.commit(one, 1, { topic: { name: 'other' } })
    const asked = [...orders, { topic: 'other', partition: 0 }, { topic: 'other', partition: 1 }]
    const outcome = await stage.calls.deleteOffsets('g', [...asked, { topic: 'nothing', partition: 0 }])
    expect(nameOf(outcome)).toBe('groupSubscribed ok ok unknownTopic')
    expect([await stage.committed(), await stage.committed('g', 0, { name: 'other' })]).toEqual([1, -1])
    await stage.leave({ memberId: one.memberId })
    expect(nameOf(await stage.calls.deleteOffsets('g', orders))).toBe('ok')
    await stage.restart()
    expect(await stage.committed()).toBe(-1)
  })

  test('of members that cannot be understood, everything stays; of other types, nothing goes', async () => {
    const stage = await GroupStage.open()
    await stage.stable(1, { protocols: [{ name: 'own', metadata: Buffer.from('?') }] })
    expect(nameOf(await stage.calls.deleteOffsets('g', orders))).toBe('groupSubscribed')
    const other = await GroupStage.open()
    await other.stable(1, { protocolType: 'connect' })
    expect(nameOf(await other.calls.deleteOffsets('g', orders))).toBe('groupNotEmpty')
  })

  test('with their topic; one made again begins without', async () => {
    const stage = await GroupStage.open()
    await stage.commit(alone, 1)
    await stage.commit(alone, 1, { group: 'h' })
    await stage.commit(alone, 1, { topic: { name: 'other' } })
    stage.directory.topics.delete('orders')
    await stage.coordinator.topicDeleted('/', topicIdOf('orders'))
    stage.directory.add('orders', 4, 'orders again')
    expect([await stage.committed(), await stage.committed('h')]).toEqual([-1, -1])
    expect(await stage.committed('g', 0, { name: 'other' })).toBe(1)
    await stage.restart()
    stage.directory.add('orders')
    expect(await stage.committed()).toBe(-1)
  })

  test('a topic that went before the groups could forget it is forgotten at the start', async () => {
    const stage = await GroupStage.open()
    await stage.commit(alone, 1)
    stage.directory.topics.delete('orders')
    await stage.restart()
    stage.directory.add('orders')
    expect(await stage.committed()).toBe(-1)
    expect(await stage.calls.list()).toHaveLength(1)
    await stage.clock.advance(stage.settings.offsetsRetentionCheckMs)
    expect(await stage.calls.list()).toEqual([])
  })
})

describe('retention, KIP-211', () => {
  const check = 600_000

  test('of a consumer without a group: seven days after the commit', async () => {
    const stage = await GroupStage.open()
    await stage.commit(alone, 1)
    await stage.clock.advance(7 * dayMs - check)
    await stage.commit(alone, 1, { partition: 1 })
    expect(await stage.committed()).toBe(1)
    await stage.clock.advance(check)
    expect([await stage.committed(), await stage.committed('g', 1)]).toEqual([-1, 1])
    await stage.clock.advance(7 * dayMs)
    expect(await stage.calls.list()).toEqual([])
    expect(stage.counters.get('groups.offsets.expired')).toBe(2)
  })

  test('of a group: seven days after its last member left, also over a restart; then the group goes', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(1, { sessionTimeoutMs: 1_800_000 })
    await stage.commit(one, 1)
    for (let half = 0; half < 48 * 20; half++) {
      await stage.clock.advance(1_799_999)
      await stage.heartbeat(one)
    }
    expect(await stage.committed()).toBe(1)
    await stage.leave({ memberId: one.memberId })
    await stage.clock.advance(3 * dayMs)
    await stage.restart()
    await stage.clock.advance(4 * dayMs - check)
    expect([await stage.committed(), await stage.state()]).toEqual([1, 'Empty'])
    await stage.clock.advance(2 * check)
    expect([await stage.committed(), await stage.state()]).toEqual([-1, 'groupMissing'])
  })

  test('of a topic that the members read no more: seven days after the commit', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(1, { sessionTimeoutMs: 1_800_000 })
    await stage.commit(one, 1)
    await stage.commit(one, 1, { topic: { name: 'other' } })
    for (let half = 0; half < 48 * 7 + 2; half++) {
      await stage.clock.advance(1_799_999)
      await stage.heartbeat(one)
    }
    expect([await stage.committed(), await stage.committed('g', 0, { name: 'other' })]).toEqual([1, -1])
  })

  test('an empty group without offsets goes at the next check, ids given out keep it', async () => {
    const stage = await GroupStage.open()
    const [one] = await stage.stable(1)
    await stage.leave({ memberId: one.memberId })
    const asked = await stage.join({ requireKnownMemberId: true, sessionTimeoutMs: 1_000_000 })
    await stage.clock.advance(check)
    const joined = await stage.join({ memberId: asked.outcome?.memberId })
    expect(refusedOf(joined)).toBe('parked')
    await stage.clock.advance(0)
    await stage.leave({ memberId: joinedOf(joined.outcome).memberId })
    await stage.clock.advance(check)
    expect(await stage.state()).toBe('groupMissing')
    await stage.restart()
    expect(await stage.state()).toBe('groupMissing')
  })
})
