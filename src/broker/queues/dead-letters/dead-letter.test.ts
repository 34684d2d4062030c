// Dead letters from queue to queue: one append each time, retried while it fails, dropped with a reason.
// Promises: copies and closing together or not at all; order kept; what goes nowhere is closed and counted.
// Does not know: headers in detail (death.test.ts), when queues let something die.

import { describe, expect, test } from 'vitest'
import { findField } from '../../../base/fields.ts'
import { readProperties } from '../../../base/properties.ts'
import { AppendFailure } from '../../../log/store.ts'
import { turns } from '../../broker-world.contract.ts'
import { refuse } from '../../errors.ts'
import { publication, Stage, type StageQueue } from '../channels/channel-stage.contract.ts'
import { DeadLetters } from './dead-letter.ts'
import type { QueuePolicy } from '../facts.ts'
import { letterOf, redriven } from './redrive-letter.ts'

function staged(policy: Partial<QueuePolicy> = { deadLetterExchange: 'dlx' }) {
  const stage = new Stage()
  const source = stage.queue('q', policy)
  const target = stage.queue('dead')
  stage.routes.set('dlx', ['dead'])
  const { world, router, queues, ledgers } = stage.host
  const deadLetters = new DeadLetters({
    world,
    router,
    queues,
    ledgers,
    makeTopic: async (_, name) => stage.makeTopic(name),
    produceRefusal: () => stage.full,
  })
  return { stage, source, target, deadLetters }
}

/** Messages acquired, as they are when they die. */
function dying(stage: Stage, queue: StageQueue, count: number, body = 'm'): number[] {
  const channel = stage.channel()
  const name = queue.topic.name
  for (let made = 0; made < count; made++) channel.publish(publication({ routingKey: name, body: `${body}${made}` }))
  return Array.from({ length: count }, () => queue.acquire(false))
}

const counted = (stage: Stage, name: string): number => stage.world.trace.counters().get(name) ?? 0

describe('moving', () => {
  test('all that dies in a turn is one append, copies and closing, in order', async () => {
    const { stage, source, target, deadLetters } = staged()
    const offsets = dying(stage, source, 4)
    deadLetters.deadLetter(source, offsets.slice(0, 2), 'rejected')
    deadLetters.deadLetter(source, offsets.slice(2), 'rejected')
    await turns()
    expect(stage.appends).toHaveLength(1)
    expect(stage.appends[0].closings).toMatchObject([{ offsets, reason: 'rejected' }])
    expect(target.bodies).toEqual(['m0', 'm1', 'm2', 'm3'])
    expect(target.at(0)).toMatchObject({ exchange: 'dlx', routingKey: 'q', isDeadLetter: true })
    expect([...source.closed.values()]).toEqual(Array(4).fill('rejected'))
    expect(counted(stage, 'deadletters.rejected')).toBe(4)
  })

  test.each([
    ['expired', 'expired'],
    ['maxlen', 'maxlen'],
    ['delivery_limit', 'deliveryLimit'],
  ] as const)('%s closes as %s', async (reason, closed) => {
    const { stage, source, target, deadLetters } = staged()
    deadLetters.deadLetter(source, dying(stage, source, 1), reason)
    await turns()
    expect([...source.closed.values()]).toEqual([closed])
    const headers = readProperties(target.at(0).properties).headers ?? []
    expect(findField(headers, 'x-last-death-reason')).toMatchObject({ value: Buffer.from(reason) })
  })

  test('a key of the queue’s own; several targets; a queue not open yet', async () => {
    const { stage, source, target, deadLetters } = staged({ deadLetterExchange: '', deadLetterRoutingKey: 'dead' })
    target.isReady = false
    deadLetters.deadLetter(source, dying(stage, source, 1), 'expired')
    await turns()
    expect(target.at(0)).toMatchObject({ exchange: '', routingKey: 'dead', body: 'm0' })
    const second = stage.queue('second')
    source.setPolicy({ ...source.policy, deadLetterExchange: 'dlx' })
    stage.routes.set('dlx', ['dead', 'second'])
    deadLetters.deadLetter(source, dying(stage, source, 1), 'expired')
    await turns()
    expect([target.messages, second.messages]).toEqual([2, 1])
  })

  test('many go in pieces that fit, none lost, none twice, in order', async () => {
    const { stage, source, target, deadLetters } = staged()
    const large = 'x'.repeat(3 * 1024 * 1024)
    const offsets = [...dying(stage, source, 1200), ...dying(stage, source, 3, large)]
    deadLetters.deadLetter(source, offsets.toReversed(), 'rejected')
    for (let round = 0; round < 10 && source.acquired.size > 0; round++) await turns()
    expect(target.messages).toBe(1203)
    expect(new Set(target.bodies.map((body) => body.slice(-6))).size).toBe(1203)
    expect(source.acquired.size).toBe(0)
    for (const { entries } of stage.appends)
      for (const { messages } of entries)
        expect(messages.reduce((bytes, { body }) => bytes + body.length, 0)).toBeLessThan(5 * 1024 * 1024)
  })

  test('of large ones no more are read than go, or little more', async () => {
    const { stage, source, target, deadLetters } = staged()
    const offsets = dying(stage, source, 512, 'x'.repeat(1024 * 1024))
    let read = 0
    const readEach = source.readEach.bind(source)
    source.readEach = (some, see) => {
      read += some.length
      return readEach(some, see)
    }
    stage.failures.push(...Array.from({ length: 3 }, () => new AppendFailure('full', 'told to')))
    deadLetters.deadLetter(source, offsets, 'rejected')
    await turns()
    expect([target.messages, read]).toEqual([0, 32])
    await deadLetters.close()
  })

  test('those gone from the log are closed', async () => {
    const { stage, source, target, deadLetters } = staged()
    const offsets = dying(stage, source, 3)
    source.all.delete(offsets[1])
    deadLetters.deadLetter(source, offsets, 'expired')
    await turns()
    expect(target.bodies).toEqual(['m0', 'm2'])
    expect(source.closed.size).toBe(3)
  })
})

describe('what cannot be now', () => {
  test('a refused append leaves them acquired and is tried again, later each time', async () => {
    const { stage, source, target, deadLetters } = staged()
    const offsets = dying(stage, source, 2)
    stage.failures.push(new AppendFailure('full', 'told to'), new AppendFailure('io', 'told to'))
    deadLetters.deadLetter(source, offsets, 'rejected')
    await turns()
    expect([target.messages, source.acquired.size, stage.appends.length]).toEqual([0, 2, 1])
    // More die meanwhile: behind those that wait.
    deadLetters.deadLetter(source, dying(stage, source, 1, 'later'), 'rejected')
    stage.world.clock.advance(100)
    await turns()
    expect([target.messages, stage.appends.length]).toEqual([0, 2])
    stage.world.clock.advance(199)
    await turns()
    expect(stage.appends).toHaveLength(2)
    stage.world.clock.advance(1)
    await turns()
    expect(target.bodies).toEqual(['m0', 'm1', 'later0'])
    expect(source.acquired.size).toBe(0)
  })

  test.each(['refused', 'broken'] as const)('a log that cannot be read, %s: nothing is closed', async (how) => {
    const { stage, source, target, deadLetters } = staged()
    source.unreadable = how
    deadLetters.deadLetter(source, dying(stage, source, 2), 'rejected')
    await turns()
    expect([stage.appends.length, source.acquired.size]).toEqual([0, 2])
    source.unreadable = undefined
    stage.world.clock.advance(100)
    await turns()
    expect(target.bodies).toEqual(['m0', 'm1'])
  })

  test('a full disk: nothing is tried', async () => {
    const { stage, source, target, deadLetters } = staged()
    const offsets = dying(stage, source, 1)
    stage.full = refuse('storageFull', 'the disk is full')
    deadLetters.deadLetter(source, offsets, 'rejected')
    await turns()
    expect(stage.appends).toEqual([])
    stage.full = undefined
    stage.world.clock.advance(100)
    await turns()
    expect(target.messages).toBe(1)
  })

  test('a queue deleted meanwhile ends it; close too', async () => {
    const { stage, source, deadLetters } = staged()
    stage.failures.push(new AppendFailure('full', 'told to'))
    deadLetters.deadLetter(source, dying(stage, source, 1), 'rejected')
    await turns()
    source.drop('queueDeleted')
    stage.world.clock.advance(100)
    await turns()
    expect(stage.appends).toHaveLength(1)
    const other = stage.queue('other', { deadLetterExchange: 'dlx' })
    stage.failures.push(new AppendFailure('full', 'told to'))
    deadLetters.deadLetter(other, dying(stage, other, 1), 'rejected')
    await turns()
    await deadLetters.close()
    stage.world.clock.advance(10_000)
    await turns()
    expect(stage.appends).toHaveLength(2)
  })
})

describe('those who wait for it', () => {
  test('nothing: nobody waits', () => {
    expect(staged().deadLetters.settled()).toBeUndefined()
  })

  test('are told once it is moved, not at what died later', async () => {
    const { stage, source, target, deadLetters } = staged()
    deadLetters.deadLetter(source, dying(stage, source, 2), 'rejected')
    const first = deadLetters.settled()
    await first
    expect(target.messages).toBe(2)
    await turns()
    expect(deadLetters.settled()).toBeUndefined()
  })

  test('are told when it cannot be now, and do not wait for very many', async () => {
    const { stage, source, target, deadLetters } = staged()
    stage.failures.push(new AppendFailure('full', 'told to'))
    deadLetters.deadLetter(source, dying(stage, source, 1), 'rejected')
    await deadLetters.settled()
    expect(target.messages).toBe(0)
    deadLetters.deadLetter(source, dying(stage, source, 1000), 'rejected')
    await deadLetters.settled()
    expect(target.messages).toBe(0)
  })
})

describe('what goes nowhere is closed and counted', () => {
  test.each([
    ['noExchange', { deadLetterExchange: 'nope' }],
    ['unroutable', { deadLetterExchange: '', deadLetterRoutingKey: 'nobody' }],
    ['cycle', { deadLetterExchange: '', deadLetterRoutingKey: 'q' }],
  ] as const)('%s', async (why, policy) => {
    const { stage, source, deadLetters } = staged(policy)
    deadLetters.deadLetter(source, dying(stage, source, 2), 'expired')
    await turns()
    expect([source.closed.size, source.messages]).toEqual([2, 0])
    expect(counted(stage, `deadletters.dropped.${why}`)).toBe(2)
  })

  test('of a queue with a ledger of its own over the log it would go into', async () => {
    const { stage, source, deadLetters } = staged({ deadLetterTopic: 'orders' })
    const orders = stage.queue('orders')
    Object.assign(source, { lanes: [orders] })
    deadLetters.deadLetter(source, dying(stage, source, 1), 'expired')
    await turns()
    expect([orders.messages, source.closed.size]).toEqual([0, 1])
    expect(counted(stage, 'deadletters.dropped.cycle')).toBe(1)
  })

  test('not of what somebody sent back', async () => {
    const { stage, source, target, deadLetters } = staged()
    const last = stage.queue('last')
    target.setPolicy({ ...target.policy, deadLetterExchange: '', deadLetterRoutingKey: 'last' })
    for (const [times, message] of [
      [1, 'm0'],
      [2, 'm0'],
    ] as const) {
      const offsets = times === 1 ? dying(stage, source, 1) : [source.acquire(false)]
      deadLetters.deadLetter(source, offsets, 'expired')
      await turns()
      deadLetters.deadLetter(target, [target.acquire(false)], 'expired')
      await turns()
      expect(last.bodies).toEqual([message])
      const stored = last.stored(last.acquire(false))
      source.add(redriven(stored, letterOf(stored)))
    }
    expect(counted(stage, 'deadletters.dropped.cycle')).toBe(0)
    // Nobody sends it back any more: round it does not go.
    target.setPolicy({ ...target.policy, deadLetterRoutingKey: 'q' })
    deadLetters.deadLetter(source, [source.acquire(false)], 'expired')
    await turns()
    deadLetters.deadLetter(target, [target.acquire(false)], 'expired')
    await turns()
    expect(counted(stage, 'deadletters.dropped.cycle')).toBe(1)
  })

  test('a reject goes round', async () => {
    const { stage, source, deadLetters } = staged({ deadLetterExchange: '', deadLetterRoutingKey: 'q' })
    deadLetters.deadLetter(source, dying(stage, source, 1), 'rejected')
    await turns()
    expect(source.bodies).toEqual(['m0'])
  })

  test('a target over its limit refuses it', async () => {
    const { stage, source, target, deadLetters } = staged()
    target.isFull = true
    target.setPolicy({ ...target.policy, overflow: 'reject-publish' })
    deadLetters.deadLetter(source, dying(stage, source, 1), 'rejected')
    await turns()
    expect([target.messages, source.closed.size]).toEqual([0, 1])
    expect(counted(stage, 'deadletters.dropped.overflow')).toBe(1)
  })

  test('a target takes as many as it has room for, of one append too', async () => {
    const { stage, source, target, deadLetters } = staged()
    target.setPolicy({ ...target.policy, overflow: 'reject-publish', lengthMax: 2 })
    deadLetters.deadLetter(source, dying(stage, source, 5), 'rejected')
    await turns()
    expect([target.messages, source.closed.size]).toEqual([2, 5])
    expect(counted(stage, 'deadletters.dropped.overflow')).toBe(3)
  })

  test('or passes it on to its own dead letter exchange', async () => {
    const { stage, source, target, deadLetters } = staged()
    const last = stage.queue('last')
    target.isFull = true
    target.setPolicy({
      ...target.policy,
      overflow: 'reject-publish-dlx',
      deadLetterExchange: '',
      deadLetterRoutingKey: 'last',
    })
    deadLetters.deadLetter(source, dying(stage, source, 1), 'rejected')
    await turns()
    expect(last.bodies).toEqual(['m0'])
    const headers = readProperties(last.at(0).properties).headers ?? []
    expect(findField(headers, 'x-death')).toMatchObject({ value: { length: 2 } })
  })
})

test('what a queue refused goes to its dead letter exchange at once', () => {
  const { source, target, deadLetters } = staged()
  const body = Buffer.from('refused')
  deadLetters.deadLetterRefused(source, {
    exchange: 'x',
    routingKey: 'k',
    properties: Buffer.alloc(2),
    body: [body],
    bodyBytes: body.length,
    isDeadLetter: false,
  })
  expect(target.at(0)).toMatchObject({ exchange: 'dlx', routingKey: 'k', body: 'refused', isDeadLetter: true })
})

test('without a dead letter exchange they are closed', async () => {
  const { stage, source, deadLetters } = staged({})
  deadLetters.deadLetter(source, dying(stage, source, 2), 'expired')
  await turns()
  expect(source.closed.size).toBe(2)
})

describe('to a topic', () => {
  const toTopic = { deadLetterTopic: 'dead.topic' }
  const source = (message: { readonly properties: Buffer }) =>
    (readProperties(message.properties).headers ?? []).filter(({ name }) => name.startsWith('x-source-'))

  test('which is made when it is not there; its copies say where they were', async () => {
    const { stage, source: queue, deadLetters } = staged(toTopic)
    const offsets = dying(stage, queue, 2)
    deadLetters.deadLetter(queue, offsets, 'delivery_limit')
    await turns()
    const topic = stage.queues.get('dead.topic')!
    expect(topic.bodies).toEqual(['m0', 'm1'])
    expect(topic.at(1)).toMatchObject({ exchange: '', routingKey: 'q', isDeadLetter: true })
    expect(source(topic.at(1))).toEqual([
      { name: 'x-source-topic', value: { type: 'text', value: Buffer.from('q') } },
      { name: 'x-source-partition', value: { type: 'int32', value: 0 } },
      { name: 'x-source-offset', value: { type: 'int64', value: offsets[1] } },
    ])
    expect([...queue.closed.values()]).toEqual(['deliveryLimit', 'deliveryLimit'])
  })

  test('waits until there may be one', async () => {
    const { stage, source: queue, deadLetters } = staged(toTopic)
    stage.noTopics = refuse('unknownTopic', 'told to')
    deadLetters.deadLetter(queue, dying(stage, queue, 1), 'rejected')
    await turns()
    expect([stage.appends.length, queue.acquired.size]).toEqual([0, 1])
    expect(counted(stage, 'deadletters.waiting.noTopic')).toBe(1)
    stage.noTopics = undefined
    stage.world.clock.advance(100)
    await turns()
    expect(stage.queues.get('dead.topic')!.bodies).toEqual(['m0'])
  })

  test('waits while the topic takes no more', async () => {
    const { stage, source: queue, deadLetters } = staged(toTopic)
    const topic = stage.queue('dead.topic', { overflow: 'reject-publish' })
    topic.isFull = true
    deadLetters.deadLetter(queue, dying(stage, queue, 1), 'rejected')
    await turns()
    expect([topic.messages, queue.acquired.size]).toEqual([0, 1])
    topic.isFull = false
    stage.world.clock.advance(100)
    await turns()
    expect(topic.bodies).toEqual(['m0'])
  })

  test('those it does not take wait, and the others pass them by', async () => {
    const { stage, source: queue, deadLetters } = staged(toTopic)
    const topic = stage.queue('dead.topic')
    topic.bodyBytesMax = 10
    deadLetters.deadLetter(queue, dying(stage, queue, 1, 'far too large for it'), 'rejected')
    deadLetters.deadLetter(queue, dying(stage, queue, 600, 'm'), 'rejected')
    await turns(20)
    expect([topic.messages, queue.acquired.size]).toEqual([600, 1])
    expect(topic.bodies.slice(0, 3)).toEqual(['m0', 'm1', 'm2'])
    expect(counted(stage, 'deadletters.waiting.notTaken')).toBeGreaterThan(0)
    topic.bodyBytesMax = Infinity
    stage.world.clock.advance(5000)
    await turns()
    expect([topic.messages, queue.acquired.size]).toEqual([601, 0])
  })

  test('waits when the topic is deleted meanwhile, and is in the next one', async () => {
    const { stage, source: queue, deadLetters } = staged(toTopic)
    const topic = stage.queue('dead.topic')
    const readEach = queue.readEach.bind(queue)
    queue.readEach = (offsets, see) => {
      topic.isDeleted = true
      return readEach(offsets, see)
    }
    deadLetters.deadLetter(queue, dying(stage, queue, 1), 'rejected')
    await turns()
    expect([queue.acquired.size, queue.closed.size]).toEqual([1, 0])
    queue.readEach = readEach
    stage.world.clock.advance(100)
    await turns()
    expect(stage.queues.get('dead.topic')?.bodies).toEqual(['m0'])
  })

  test('as many wait as it has no room for', async () => {
    const { stage, source: queue, deadLetters } = staged(toTopic)
    const topic = stage.queue('dead.topic', { overflow: 'reject-publish', lengthMax: 2 })
    deadLetters.deadLetter(queue, dying(stage, queue, 5), 'rejected')
    await turns()
    expect([topic.messages, queue.acquired.size]).toEqual([2, 3])
  })

  test('however many publishes are refused, one try to make it is under way, and not at once the next', async () => {
    const { stage, source: queue, deadLetters } = staged({ ...toTopic, overflow: 'reject-publish-dlx' })
    stage.noTopics = refuse('unknownTopic', 'told to')
    const body = Buffer.from('late')
    const message = {
      exchange: '',
      routingKey: 'q',
      properties: Buffer.alloc(2),
      body: [body],
      bodyBytes: body.length,
      isDeadLetter: false,
    }
    for (let at = 0; at < 10; at++) {
      deadLetters.deadLetterRefused(queue, message)
      await turns()
    }
    expect(counted(stage, 'deadletters.waiting.noTopic')).toBe(1)
    stage.noTopics = undefined
    stage.world.clock.advance(5000)
    await turns()
    deadLetters.deadLetterRefused(queue, message)
    await turns()
    expect(stage.queues.has('dead.topic')).toBe(true)
  })

  test('a refused publish goes there too, once it is there', async () => {
    const { stage, source: queue, deadLetters } = staged({ ...toTopic, overflow: 'reject-publish-dlx' })
    const body = Buffer.from('late')
    const message = {
      exchange: '',
      routingKey: 'q',
      properties: Buffer.alloc(2),
      body: [body],
      bodyBytes: body.length,
      isDeadLetter: false,
    }
    deadLetters.deadLetterRefused(queue, message)
    expect(counted(stage, 'deadletters.dropped.noTopic')).toBe(1)
    await turns()
    deadLetters.deadLetterRefused(queue, message)
    await turns()
    expect(stage.queues.get('dead.topic')!.bodies).toEqual(['late'])
  })
})
