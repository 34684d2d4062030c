// Tests of a queue at run time: order, turns, redelivery, limits, times to live, and what a crash leaves.
// Promises: commits, failures and time happen when a test says so.
// Does not know: channels, exchanges; random walks are queue-model.test.ts.

import { describe, expect, test } from 'vitest'
import { readProperties } from '../../base/properties.ts'
import { encodeBatch } from '../../log/records.ts'
import { turns } from '../broker-world.contract.ts'
import { isRefusal } from '../errors.ts'
import { consume, publish, QueueStage, testMessage, TestConsumer } from './queue-stage.contract.ts'

const numbered = (count: number, from = 0): string[] => Array.from({ length: count }, (_, index) => `m${from + index}`)

describe('storing and giving out', () => {
  test('in order, once, and gone when acknowledged', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const consumer = consume(queue)
    expect(await publish(queue, ...numbered(5))).toBe('stored')
    await turns()
    expect(consumer.bodies).toEqual(numbered(5))
    expect(consumer.got.map(({ redelivered }) => redelivered)).toEqual(Array(5).fill(false))
    expect([queue.messages, queue.unacknowledged]).toEqual([0, 5])
    for (const { offset } of consumer.got) queue.lanes[0].acknowledge(offset)
    expect([queue.messages, queue.unacknowledged]).toEqual([0, 0])
    await stage.settle()
    await stage.crash()
    const again = await stage.queue('q')
    expect(again.messages).toBe(0)
  })

  test('a turn is one batch and one append; nothing is given out before its commit', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const consumer = consume(queue)
    stage.store.manual = true
    const first = queue.add(testMessage('a'))
    expect(queue.add(testMessage('b'))).toBe(first)
    await turns()
    expect(stage.store.pending).toBe(1)
    expect([isRefusal(first) ? undefined : first.state, consumer.got.length, queue.messages]).toEqual(['pending', 0, 0])
    stage.store.commit()
    await turns()
    expect(isRefusal(first) ? undefined : first.state).toBe('stored')
    expect(consumer.bodies).toEqual(['a', 'b'])
    expect([...stage.store.logs.values()].at(-1)!.batches).toHaveLength(1)
  })

  test('large messages: batches are split, and one larger than a batch stands alone', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const consumer = consume(queue)
    const bodies = [100_000, 100_000, 100_000, 600_000, 10].map((bytes, index) => Buffer.alloc(bytes, index))
    await publish(queue, ...bodies.map((body) => testMessage(body)))
    await turns()
    expect(consumer.got.map(({ body }) => body.length)).toEqual(bodies.map((body) => body.length))
    expect([...stage.store.logs.values()].at(-1)!.batches).toHaveLength(4)
  })

  test('a refused append refuses its receipts, and what comes after is stored', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    stage.store.manual = true
    const first = queue.add(testMessage('lost'))
    await turns()
    const second = queue.add(testMessage('lost too'))
    await turns()
    stage.store.fail('full')
    await turns()
    stage.store.manual = false
    expect([first, second].map((receipt) => (isRefusal(receipt) ? '' : receipt.state))).toEqual(['refused', 'refused'])
    expect(await publish(queue, 'kept')).toBe('stored')
    const consumer = consume(queue)
    await turns()
    expect(consumer.bodies).toEqual(['kept'])
  })

  test('what is added while the queue opens is stored in order', async () => {
    const stage = await QueueStage.open()
    await stage.queue('q')
    await stage.crash()
    const queue = stage.queues.find('/', 'q')!
    expect(queue.isReady).toBe(false)
    queue.add(testMessage('a'))
    const opening = queue.ready()
    await turns(1)
    queue.add(testMessage('b'))
    await opening
    expect(await publish(queue, 'c')).toBe('stored')
    const consumer = consume(queue)
    await turns()
    expect(consumer.bodies).toEqual(['a', 'b', 'c'])
  })

  test('entries of somebody else’s append stand behind what was added before', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    queue.add(testMessage('a'))
    const outcome = stage.ledgers.append(queue.entriesFor([testMessage('b'), testMessage('c')]))
    queue.appended(outcome)
    queue.add(testMessage('d'))
    await queue.settled()
    expect(queue.messages).toBe(4)
    const consumer = consume(queue)
    await turns()
    expect(consumer.bodies).toEqual(['a', 'b', 'c', 'd'])
  })

  test('records that Kafka’s clients wrote are messages; a batch that lies is passed over', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const partition = stage.partitions.of(queue.topic, 0)!
    const timestampMs = stage.world.clock.nowMs()
    const batch = (value: string): Buffer =>
      encodeBatch([{ key: Buffer.from('k'), value: Buffer.from(value), timestampMs }])
    await partition.produce(queue.topic.policy, batch('from kafka'), -1)
    const lying = batch('lies')
    lying[65] = 0x7f
    const { sealBatch } = await import('../../log/batch.ts')
    sealBatch(lying)
    await partition.produce(queue.topic.policy, lying, -1)
    await publish(queue, 'ours')
    const consumer = consume(queue)
    await turns()
    expect(consumer.bodies).toEqual(['from kafka', 'ours'])
    expect(readProperties(consumer.got[0].properties).timestamp).toBe(Math.floor(timestampMs / 1000))
    expect(stage.world.trace.counters().get('ledger.closed.malformed')).toBe(1)
  })
})

describe('consumers', () => {
  test('of one priority take turns; one that cannot take holds up nobody', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const consumers = [consume(queue), consume(queue, { credit: 1 }), consume(queue)]
    await publish(queue, ...numbered(7))
    await turns()
    expect(consumers.map(({ bodies }) => bodies)).toEqual([['m0', 'm3', 'm5'], ['m1'], ['m2', 'm4', 'm6']])
  })

  test('one message at a time they take turns too', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const consumers = [consume(queue), consume(queue)]
    for (const body of numbered(4)) {
      await publish(queue, body)
      await turns()
    }
    expect(consumers.map(({ bodies }) => bodies)).toEqual([
      ['m0', 'm2'],
      ['m1', 'm3'],
    ])
  })

  test('of higher priority come first while they can take', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const low = consume(queue, { priority: 1 })
    const high = consume(queue, { priority: 5, credit: 2 })
    await publish(queue, ...numbered(3))
    await turns()
    expect([high.bodies, low.bodies]).toEqual([['m0', 'm1'], ['m2']])
  })

  test('an exclusive one is alone', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const first = consume(queue, { isExclusive: true })
    const why = "queue 'q' in vhost '/' in exclusive use"
    expect(queue.consume(new TestConsumer())).toEqual({ refused: 'exclusiveUse', why })
    queue.cancel(first)
    consume(queue)
    expect(queue.consume(new TestConsumer({ isExclusive: true }))).toEqual({ refused: 'exclusiveUse', why })
  })

  test('single active: one has everything until it goes, then the next', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { singleActiveConsumer: true })
    const first = consume(queue, { credit: 1 })
    const second = consume(queue)
    await publish(queue, ...numbered(3))
    await turns()
    expect([first.bodies, second.bodies]).toEqual([['m0'], []])
    queue.cancel(first)
    await turns()
    expect(second.bodies).toEqual(['m1', 'm2'])
    expect(queue.consume(new TestConsumer({ isExclusive: true }))).toMatchObject({ refused: 'exclusiveUse' })
  })

  test('no-ack: closed before anyone sees it', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const consumer = consume(queue, { noAck: true })
    await publish(queue, 'a')
    await turns()
    expect([consumer.bodies, queue.messages, queue.unacknowledged]).toEqual([['a'], 0, 0])
  })

  test('a deleted queue tells its consumers, and what waits counts as stored', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const consumer = consume(queue)
    stage.store.manual = true
    const receipt = queue.add(testMessage('a'))
    stage.queues.drop(queue.topic)
    await turns()
    expect(consumer.cancels).toEqual(['queueDeleted'])
    expect(isRefusal(receipt) ? '' : receipt.state).toBe('stored')
    expect(stage.queues.find('/', 'q')).not.toBe(queue)
  })
})

describe('what comes back', () => {
  test('stands at its place again, and says that it was handed out', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const first = consume(queue, { credit: 3 })
    await publish(queue, ...numbered(5))
    await turns()
    queue.lanes[0].acknowledge(first.got[1].offset)
    queue.lanes[0].giveBack(first.got[2].offset, false)
    queue.lanes[0].giveBack(first.got[0].offset, false)
    queue.cancel(first)
    const second = consume(queue)
    await turns()
    expect(second.bodies).toEqual(['m0', 'm2', 'm3', 'm4'])
    expect(second.got.map(({ redelivered }) => redelivered)).toEqual([true, true, false, false])
  })

  test('after a crash: the unacknowledged again, marked; the acknowledged not', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const consumer = consume(queue, { credit: 3 })
    await publish(queue, ...numbered(5))
    await turns()
    queue.lanes[0].acknowledge(consumer.got[1].offset)
    await stage.settle()
    await stage.crash()
    const again = await stage.queue('q')
    const next = consume(again)
    await turns()
    expect(next.bodies).toEqual(['m0', 'm2', 'm3', 'm4'])
    expect(next.got.slice(0, 2).map(({ redelivered }) => redelivered)).toEqual([true, true])
  })

  test('a log that lost its end gives no offset twice: what was acknowledged stays so, what comes is new', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const consumer = consume(queue, { credit: 2 })
    await publish(queue, ...numbered(3))
    await turns()
    for (const { offset } of consumer.got) queue.lanes[0].acknowledge(offset)
    await stage.settle()
    // The power went: the machine log was synced, this log not.
    const log = stage.store.logs.get(stage.partitions.of(queue.topic, 0)!.id)!
    log.committed = log.end = 0 as never
    log.batches = []
    await stage.crash()
    const again = await stage.queue('q')
    await publish(again, 'new')
    const next = consume(again)
    await turns()
    expect(next.got).toMatchObject([{ body: 'new', offset: 2, redelivered: false }])
  })

  test('a log that cannot be read now is read later: by consumers, expirations and limits', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { messageTtlMs: 60_000, lengthBytesMax: 100 })
    const log = stage.partitions.of(queue.topic, 0)!.log!
    const { read, findTime } = log
    log.read = () => Promise.reject(new Error('not now'))
    log.findTime = () => Promise.reject(new Error('not now'))
    await publish(queue, 'a')
    const consumer = consume(queue)
    await turns()
    stage.world.clock.advance(1000)
    await turns()
    expect(await queue.take(true)).toMatchObject({ refused: 'storageFailed' })
    expect(consumer.bodies).toEqual([])
    Object.assign(log, { read, findTime })
    stage.world.clock.advance(1000)
    await turns()
    expect(consumer.bodies).toEqual(['a'])
  })

  test('get: the next one, whatever the consumers; undefined when there is none', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    await publish(queue, ...numbered(2))
    const first = await queue.take(false)
    const second = await queue.take(true)
    expect([first, second].map((message) => (isRefusal(message) ? '' : message?.body.toString()))).toEqual(['m0', 'm1'])
    expect(await queue.take(false)).toBeUndefined()
    expect([queue.messages, queue.unacknowledged]).toEqual([0, 1])
    expect(queue.add(testMessage('m2'))).toBeDefined()
    // What was published before is waited for.
    expect(await queue.take(true)).toMatchObject({ body: Buffer.from('m2') })
  })

  test('quorum: counts on what comes again, and the limit of deliveries', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { type: 'quorum', deliveryLimit: 1 })
    await publish(queue, testMessage('a', { headers: [{ name: 'h', value: { type: 'int32', value: 1 } }] }))
    const headersOf = async () => {
      const message = await queue.take(false)
      if (message === undefined || isRefusal(message)) return undefined
      const headers = readProperties(message.properties).headers ?? []
      return [
        message.offset,
        headers.map(({ name, value }) => `${name}=${'value' in value ? String(value.value) : ''}`),
      ]
    }
    expect(await headersOf()).toEqual([0, ['h=1']])
    queue.lanes[0].giveBack(0, false)
    expect(await headersOf()).toEqual([0, ['h=1', 'x-acquired-count=1']])
    queue.lanes[0].giveBack(0, true)
    expect(await headersOf()).toEqual([0, ['h=1', 'x-acquired-count=2', 'x-delivery-count=1']])
    queue.lanes[0].giveBack(0, true)
    expect(await headersOf()).toBeUndefined()
    expect(stage.world.trace.counters().get('ledger.closed.deliveryLimit')).toBe(1)
  })

  test('a consumer that is too slow is ended, and the next has its messages', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { consumerTimeoutMs: 1000 })
    const slow = consume(queue, { credit: 2 })
    await publish(queue, ...numbered(2))
    await turns()
    queue.lanes[0].acknowledge(slow.got[0].offset)
    stage.world.clock.advance(999)
    expect(slow.cancels).toEqual([])
    stage.world.clock.advance(1)
    expect(slow.cancels).toEqual(['consumerTimeout'])
    const next = consume(queue)
    await turns()
    expect(next.got).toMatchObject([{ body: 'm1', redelivered: true }])
  })

  test('purge: what is ready goes, what is acquired stays', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const consumer = consume(queue, { credit: 1 })
    await publish(queue, ...numbered(4))
    await turns()
    queue.add(testMessage('published before'))
    expect(await queue.purge()).toBe(4)
    expect([queue.messages, queue.unacknowledged]).toEqual([0, 1])
    queue.lanes[0].giveBack(consumer.got[0].offset, false)
    expect(queue.messages).toBe(1)
  })
})

describe('limits', () => {
  test('drop-head pushes out the oldest that nobody took', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { lengthMax: 2 })
    const consumer = consume(queue, { credit: 1 })
    await publish(queue, ...numbered(5))
    await turns()
    expect(consumer.bodies).toEqual(['m0'])
    expect([queue.messages, queue.unacknowledged]).toEqual([2, 1])
    expect(await queue.take(true)).toMatchObject({ body: Buffer.from('m3') })
    expect(stage.world.trace.counters().get('ledger.closed.maxlen')).toBe(2)
  })

  test('a limit that comes late pushes out a bounded number in a turn', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    await publish(queue, ...numbered(10_000))
    queue.setPolicy({ ...queue.policy, lengthMax: 10 })
    await turns(1)
    expect(queue.messages).toBe(10_000 - 4096)
    await turns(3)
    expect(queue.messages).toBe(10)
    expect(await queue.take(true)).toMatchObject({ offset: 9990 })
  })

  test('drop-head with a dead letter exchange hands them over, acquired', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { lengthMax: 1, deadLetterExchange: 'dlx' })
    await publish(queue, ...numbered(3))
    await turns()
    expect(stage.letters).toEqual([{ queue: 'q', offsets: [0, 1], reason: 'maxlen' }])
    expect([queue.messages, queue.unacknowledged]).toEqual([1, 2])
  })

  test('reject-publish refuses what would be too much, and only that', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { lengthMax: 2, overflow: 'reject-publish' })
    expect(await publish(queue, 'a')).toBe('stored')
    expect(await publish(queue, 'b')).toBe('stored')
    expect(await publish(queue, 'c')).toBe('refused')
    expect(queue.accepts(1)).toBe(false)
    await queue.take(true)
    expect(await publish(queue, 'd')).toBe('stored')
    expect(queue.messages).toBe(2)
  })

  test('reject-publish-dlx passes on what it refuses', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { lengthMax: 1, overflow: 'reject-publish-dlx', deadLetterExchange: 'dlx' })
    expect(await publish(queue, 'a')).toBe('stored')
    expect(await publish(queue, 'b')).toBe('refused')
    expect(stage.refusedLetters).toEqual(['b'])
  })

  test('bytes are those of ready bodies, through deliveries, returns and a crash', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { lengthBytesMax: 10, overflow: 'reject-publish' })
    expect(await publish(queue, '12345', '678')).toBe('stored')
    await turns()
    expect([queue.accepts(2), queue.accepts(3)]).toEqual([true, false])
    const message = await queue.take(false)
    expect([queue.accepts(7), queue.accepts(8)]).toEqual([true, false])
    if (message === undefined || isRefusal(message)) throw new Error('nothing to take')
    queue.lanes[0].giveBack(message.offset, false)
    expect([queue.accepts(2), queue.accepts(3)]).toEqual([true, false])
    await stage.crash()
    const again = await stage.queue('q')
    await turns()
    expect([again.accepts(2), again.accepts(3)]).toEqual([true, false])
    await again.purge()
    expect([again.accepts(10), again.accepts(11)]).toEqual([true, false])
  })

  test('bytes with drop-head', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { lengthBytesMax: 6 })
    await publish(queue, 'abc', 'def', 'ghij', 'k')
    await turns(8)
    expect(await queue.take(true)).toMatchObject({ body: Buffer.from('ghij') })
    expect(queue.messages).toBe(1)
  })
})

describe('times to live', () => {
  test('of the queue: what is older goes by itself, wherever it stands', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { messageTtlMs: 1000 })
    await publish(queue, ...numbered(2))
    stage.world.clock.advance(600)
    await publish(queue, 'later')
    await turns()
    const held = await queue.take(false)
    stage.world.clock.advance(500)
    await turns()
    expect([queue.messages, queue.unacknowledged]).toEqual([1, 1])
    if (held === undefined || isRefusal(held)) throw new Error('nothing to take')
    queue.lanes[0].giveBack(held.offset, false)
    stage.world.clock.advance(1)
    await turns()
    expect(await queue.take(true)).toMatchObject({ body: Buffer.from('later') })
    expect(stage.world.trace.counters().get('ledger.closed.expired')).toBe(2)
  })

  test('0: nobody who asks gets it', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { messageTtlMs: 0 })
    void publish(queue, 'x')
    expect(await queue.take(true)).toBeUndefined()
    const other = await stage.queue('other')
    void publish(other, testMessage('own', { expiration: '0' }))
    expect(await other.take(true)).toBeUndefined()
  })

  test('of the queue, 0: at once or not at all', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { messageTtlMs: 0 })
    const consumer = consume(queue, { credit: 1 })
    await publish(queue, ...numbered(3))
    await turns()
    expect(consumer.bodies).toEqual(['m0'])
    expect(queue.messages).toBe(0)
  })

  test('of a message: the earlier of both counts, behind others too', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { messageTtlMs: 5000, deadLetterExchange: 'dlx' })
    await publish(queue, testMessage('long', { expiration: '9000' }))
    await publish(queue, testMessage('short', { expiration: '100' }))
    await publish(queue, testMessage('none'))
    await turns()
    stage.world.clock.advance(100)
    await turns()
    expect(stage.letters).toEqual([{ queue: 'q', offsets: [1], reason: 'expired' }])
    expect(queue.messages).toBe(2)
    stage.world.clock.advance(4900)
    await turns()
    expect(stage.letters.slice(1)).toEqual([{ queue: 'q', offsets: [0, 2], reason: 'expired' }])
  })

  test('of a message: not given out when due, though no timer ran', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    await publish(queue, testMessage('a', { expiration: '100' }), testMessage('b'))
    const clock = stage.world.clock
    const { nowMs } = clock
    clock.nowMs = () => nowMs() + 200
    expect(await queue.take(true)).toMatchObject({ body: Buffer.from('b') })
  })

  test('go on after a crash, though nobody asks for the queue', async () => {
    const stage = await QueueStage.open()
    await publish(await stage.queue('own', { deadLetterExchange: 'dlx' }), testMessage('a', { expiration: '100' }))
    await publish(await stage.queue('all', { deadLetterExchange: 'dlx', messageTtlMs: 100 }), 'a')
    await publish(await stage.queue('none'), 'a')
    await stage.crash()
    await stage.queues.start(['own', 'all', 'none'].map((name) => stage.topic('/', name)))
    expect([...stage.queues.all()].map((queue) => queue.topic.name)).toEqual(['own', 'all'])
    await turns()
    stage.world.clock.advance(101)
    await turns()
    expect(stage.letters.map(({ queue, reason }) => [queue, reason])).toEqual([
      ['own', 'expired'],
      ['all', 'expired'],
    ])
  })

  test('of a message: kept over a crash', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    await publish(queue, testMessage('a', { expiration: '100' }), testMessage('b'))
    await stage.crash()
    const again = await stage.queue('q')
    await turns()
    stage.world.clock.advance(101)
    await turns()
    expect(again.messages).toBe(1)
  })
})

describe('priorities', () => {
  test('higher first, clamped to the highest; the order of each is kept', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { priorityMax: 5 })
    const all = [1, 9, undefined, 5, 1].map((priority, index) =>
      testMessage(`m${index}`, priority === undefined ? {} : { priority }),
    )
    await publish(queue, ...all)
    const consumer = consume(queue)
    await turns()
    expect(consumer.bodies).toEqual(['m1', 'm3', 'm0', 'm4', 'm2'])
  })

  test('are kept over a crash', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { priorityMax: 5 })
    await publish(queue, testMessage('low'), testMessage('high', { priority: 3 }))
    await stage.crash()
    const consumer = consume(await stage.queue('q'))
    await turns()
    expect(consumer.bodies).toEqual(['high', 'low'])
  })
})
