// Transactions over queues that are lists and appends that fail when told: all or nothing, and tags as they were.
// Promises: one append a commit; after a refused one everything is unsettled again and nothing was stored.
// Does not know: how ledgers make it one append.

import { describe, expect, test } from 'vitest'
import { writeProperties } from '../../../base/properties.ts'
import { AppendFailure } from '../../../log/store.ts'
import { refuse } from '../../errors.ts'
import { consume, publication, Stage, StageSink } from './channel-stage.contract.ts'

/** A transactional channel that was given `count` messages of queue q. */
async function staged(count: number) {
  const stage = new Stage()
  const [q, other] = [stage.queue('q'), stage.queue('other')]
  const sink = new StageSink()
  const channel = stage.channel(sink)
  for (let made = 0; made < count; made++) channel.publish(publication({ body: `q${made}` }))
  await consume(channel, 'q')
  stage.pump()
  channel.beginTransactions()
  channel.beginTransactions()
  return { stage, q, other, sink, channel }
}

const toOther = (body: string) => publication({ routingKey: 'other', body })

describe('a commit', () => {
  test('is one append of every publish and of what is acknowledged and dropped', async () => {
    const { stage, q, other, channel } = await staged(4)
    channel.publish(toOther('a'))
    channel.acknowledge(2, true)
    channel.publish(publication({ body: 'b' }))
    channel.publish(toOther('c'))
    channel.reject(3, false, false, false)
    expect([other.messages, q.messages, q.unacknowledged]).toEqual([0, 0, 4])
    expect(await channel.commit()).toBe(true)
    expect(stage.appends).toHaveLength(1)
    expect(stage.appends[0].entries.map(({ queue, messages }) => [queue.topic.name, messages.length])).toEqual([
      ['other', 2],
      ['q', 1],
    ])
    expect(stage.appends[0].closings.map(({ offsets, reason }) => [offsets, reason])).toEqual([
      [[0, 1], 'acked'],
      [[2], 'rejected'],
    ])
    expect(other.bodies).toEqual(['a', 'c'])
    expect([...q.closed]).toEqual([
      [0, 'acked'],
      [1, 'acked'],
      [2, 'rejected'],
    ])
    expect(channel.acknowledge(4, false)).toBe(true)
  })

  test('of nothing appends nothing; the next transaction begins at once', async () => {
    const { stage, channel } = await staged(0)
    expect(await channel.commit()).toBe(true)
    expect(stage.appends).toEqual([])
    channel.publish(toOther('a'))
    await channel.commit()
    channel.publish(toOther('b'))
    await channel.commit()
    expect(stage.appends).toHaveLength(2)
  })

  test('requeues, and passes on what is to be a dead letter, once it is made', async () => {
    const { q, channel } = await staged(3)
    q.setPolicy({ ...q.policy, deadLetterExchange: 'dead' })
    channel.reject(1, false, false, false)
    channel.reject(2, false, true, true)
    channel.reject(3, false, true, false)
    expect(q.told).toEqual([])
    expect(await channel.commit()).toBe(true)
    expect(q.told).toEqual(['reject 0', 'back 1 counting', 'back 2'])
  })

  test('is what its queue asked for when it was appended, whatever it asks for by then', async () => {
    const { q, channel } = await staged(2)
    channel.reject(1, false, false, false)
    const dropped = channel.commit()
    q.setPolicy({ ...q.policy, deadLetterExchange: 'dead' })
    expect(await dropped).toBe(true)
    expect([...q.closed]).toEqual([[0, 'rejected']])
    expect(q.told).toEqual([])
    channel.reject(2, false, false, false)
    const dead = channel.commit()
    q.setPolicy({ ...q.policy, deadLetterExchange: undefined })
    expect(await dead).toBe(true)
    expect(q.told).toEqual(['reject 1'])
    expect([...q.closed]).toEqual([
      [0, 'rejected'],
      [1, 'rejected'],
    ])
  })

  test('returns credit, not before', async () => {
    const { stage, sink, channel } = await staged(0)
    channel.setPrefetch(1, 'channel')
    for (let count = 0; count < 2; count++) stage.channel().publish(publication({ body: String(count) }))
    stage.queues.get('q')?.resume()
    stage.pump()
    channel.acknowledge(1, false)
    stage.pump()
    expect(sink.bodies).toEqual(['0'])
    await channel.commit()
    stage.pump()
    expect(sink.bodies).toEqual(['0', '1'])
  })

  test('stores what was routed at the publish in the queues that are there still; slices were copied', async () => {
    const { stage, q, other, channel } = await staged(0)
    const first = toOther('first')
    channel.publish(first)
    first.body[0].fill('x')
    first.exchange = 'changed'
    channel.publish(publication({ body: 'second' }))
    q.drop('queueDeleted')
    stage.queues.delete('q')
    other.isReady = false
    expect(await channel.commit()).toBe(true)
    expect(other.isReady).toBe(true)
    expect(other.bodies).toEqual(['first'])
  })

  test('settles the receipt of its publishes', async () => {
    const { channel } = await staged(0)
    const kept = channel.publish(toOther('a'))
    expect(kept).toMatchObject({ state: 'pending' })
    await channel.commit()
    expect(kept).toMatchObject({ state: 'stored' })
  })
})

test('publishes are judged and routed at once', async () => {
  const { channel } = await staged(0)
  expect(channel.publish(publication({ exchange: 'nope' }))).toMatchObject({ refused: 'exchangeMissing' })
  expect(channel.publish(publication({ routingKey: 'nobody' }))).toBe('unroutable')
  expect(channel.publish(publication({ properties: writeProperties({ expiration: 'x' }) }))).toMatchObject({
    refused: 'invalidMessage',
  })
})

test('a rollback forgets publishes and unsettles what was settled, in the order of tags', async () => {
  const { stage, q, other, channel } = await staged(5)
  const kept = channel.publish(toOther('a'))
  channel.acknowledge(4, false)
  channel.reject(1, false, true, false)
  channel.acknowledge(3, true)
  expect(channel.acknowledge(2, false)).toEqual(refuse('unknownDelivery', 'unknown delivery tag 2'))
  channel.rollback()
  expect(kept).toMatchObject({ state: 'refused' })
  expect([other.messages, q.unacknowledged, stage.appends.length]).toEqual([0, 5, 0])
  channel.acknowledge(0, true)
  await channel.commit()
  expect(stage.appends[0].closings).toMatchObject([{ offsets: [0, 1, 2, 3, 4], reason: 'acked' }])
})

describe('a refused commit', () => {
  test.each([
    ['full', 'storageFull'],
    ['io', 'storageFailed'],
    ['fenced', 'storageFailed'],
    ['closed', 'shuttingDown'],
  ] as const)('stores and settles nothing when the append fails: %s', async (kind, refused) => {
    const { stage, q, other, channel } = await staged(2)
    channel.publish(toOther('a'))
    channel.acknowledge(1, false)
    channel.reject(2, false, true, false)
    stage.failures.push(new AppendFailure(kind, 'told to'))
    expect(await channel.commit()).toMatchObject({ refused })
    expect([other.messages, q.unacknowledged]).toEqual([0, 2])
    expect(q.told).toEqual([])
    // Tags are unsettled again.
    channel.acknowledge(0, true)
    expect(await channel.commit()).toBe(true)
    expect([other.messages, q.unacknowledged, q.closed.size]).toEqual([0, 0, 2])
  })

  test('comes before the append on a full disk, a full queue, a transaction too large', async () => {
    const { stage, other, channel } = await staged(1)
    stage.full = refuse('storageFull', 'the disk is full')
    channel.publish(toOther('a'))
    expect(await channel.commit()).toEqual(stage.full)
    // Acknowledgements alone go on.
    channel.acknowledge(1, false)
    expect(await channel.commit()).toBe(true)
    stage.full = undefined
    other.isFull = true
    channel.publish(toOther('a'))
    expect(await channel.commit()).toEqual(refuse('limitReached', 'partial tx completion'))
    expect(stage.appends).toHaveLength(1)
  })

  test('a transaction has a limit', async () => {
    const stage = new Stage({ transactionBytesMax: 2000 })
    stage.queue('q')
    const channel = stage.channel()
    channel.beginTransactions()
    expect(channel.publish(publication({ body: 'x'.repeat(1000) }))).toMatchObject({ state: 'pending' })
    expect(channel.publish(publication({ body: 'x'.repeat(1000) }))).toMatchObject({ refused: 'limitReached' })
  })
})

describe('the channel’s end', () => {
  test('gives back what was settled in an open transaction', async () => {
    const { q, other, channel } = await staged(2)
    channel.publish(toOther('a'))
    channel.acknowledge(1, false)
    channel.close()
    expect(q.told).toEqual(['back 0 counting', 'back 1 counting'])
    expect(other.messages).toBe(0)
  })

  test('leaves a commit under way to its outcome', async () => {
    const { q, other, channel } = await staged(2)
    channel.publish(toOther('a'))
    channel.acknowledge(1, false)
    const committed = channel.commit()
    channel.close()
    expect(q.told).toEqual(['back 1 counting'])
    expect(await committed).toBe(true)
    expect([other.messages, q.closed.size]).toEqual([1, 1])
  })

  test('gives back what a commit under way could not settle', async () => {
    const { stage, q, channel } = await staged(1)
    channel.acknowledge(1, false)
    stage.failures.push(new AppendFailure('full', 'told to'))
    const committed = channel.commit()
    channel.close()
    expect(await committed).toMatchObject({ refused: 'storageFull' })
    expect(q.told).toEqual(['back 0 counting'])
  })

  test('before the append: nothing is stored', async () => {
    const { stage, q, other, channel } = await staged(1)
    other.isReady = false
    channel.publish(toOther('a'))
    channel.acknowledge(1, false)
    const committed = channel.commit()
    channel.close()
    expect(await committed).toMatchObject({ refused: 'shuttingDown' })
    expect(stage.appends).toEqual([])
    expect(q.told).toEqual(['back 0 counting'])
    expect(other.messages).toBe(0)
  })
})
