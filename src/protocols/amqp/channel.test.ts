// A channel's methods before a door whose answers the test gives: what is asked, answered, awaited, delivered, told.
// Promises: order is checked by what the client reads.
// Does not know: sockets, the broker.

import { describe, expect, test } from 'vitest'
import type { Delivery, Got } from '../../broker/queue-door.ts'
import { methodFrame, publishFrames, RawClient, StubReceipt, stored } from './stub-queues.contract.ts'

const delivery = (tag: number, body: string, consumerTag = 'c'): Delivery => ({
  tag,
  consumerTag,
  redelivered: tag > 1,
  exchange: Buffer.from('e'),
  routingKey: Buffer.from('k'),
  properties: Buffer.from('100002', 'hex'),
  body: Buffer.from(body),
})

describe('topology', () => {
  test('each method reaches the door as said, and is answered', async () => {
    const client = await RawClient.open()
    client.say(1, 'exchangeDeclare', { exchange: 'e\r\n', type: 'topic', durable: true })
    client.say(1, 'exchangeDeclare', { exchange: 'e', passive: true })
    client.say(1, 'exchangeBind', { source: 'e', destination: 'f', routingKey: '#' })
    client.say(1, 'exchangeUnbind', { source: 'e', destination: 'f', routingKey: '#' })
    client.say(1, 'exchangeDelete', { exchange: 'e', ifUnused: true })
    client.say(1, 'queueDeclare', { queue: 'q\n', durable: true, exclusive: true, autoDelete: true })
    client.say(1, 'queueDeclare', { queue: 'p', passive: true })
    client.say(1, 'queueBind', { queue: 'q', exchange: 'e', routingKey: 'k' })
    client.say(1, 'queueUnbind', { queue: 'q', exchange: 'e', routingKey: 'k' })
    client.say(1, 'queuePurge', { queue: 'q' })
    client.say(1, 'queueDelete', { queue: 'q', ifEmpty: true })
    expect(await client.names()).toEqual([
      '1 exchangeDeclareOk',
      '1 exchangeDeclareOk',
      '1 exchangeBindOk',
      '1 exchangeUnbindOk',
      '1 exchangeDeleteOk',
      '1 queueDeclareOk',
      '1 queueDeclareOk',
      '1 queueBindOk',
      '1 queueUnbindOk',
      '1 queuePurgeOk',
      '1 queueDeleteOk',
    ])
    const binding = { source: 'e', routingKey: '#', destination: 'f', destinationKind: 'exchange', arguments: [] }
    const queueBinding = { ...binding, routingKey: 'k', destination: 'q', destinationKind: 'queue' }
    const flags = { durable: true, autoDelete: false, internal: false, arguments: [] }
    expect(client.queues.calls).toEqual([
      ['declareExchange', { name: 'e', type: 'topic', ...flags }],
      ['checkExchange', 'e'],
      ['bind', binding],
      ['unbind', binding],
      ['deleteExchange', 'e', true],
      ['declareQueue', { name: 'q', durable: true, exclusive: true, autoDelete: true, arguments: [] }],
      ['checkQueue', 'p'],
      ['bind', queueBinding],
      ['unbind', queueBinding],
      ['purgeQueue', 'q'],
      ['deleteQueue', 'q', { ifUnused: false, ifEmpty: true }],
    ])
  })

  test('with nowait nothing is answered', async () => {
    const client = await RawClient.open()
    client.say(1, 'exchangeDeclare', { exchange: 'e', nowait: true })
    client.say(1, 'exchangeBind', { source: 'e', destination: 'f', nowait: true })
    client.say(1, 'exchangeUnbind', { source: 'e', destination: 'f', nowait: true })
    client.say(1, 'exchangeDelete', { exchange: 'e', nowait: true })
    client.say(1, 'queueDeclare', { queue: 'q', nowait: true })
    client.say(1, 'queueBind', { queue: 'q', exchange: 'e', nowait: true })
    client.say(1, 'queuePurge', { queue: 'q', nowait: true })
    client.say(1, 'queueDelete', { queue: 'q', nowait: true })
    client.say(1, 'basicConsume', { queue: 'q', consumerTag: 'c', nowait: true })
    client.say(1, 'basicCancel', { consumerTag: 'c', nowait: true })
    client.say(1, 'confirmSelect', { nowait: true })
    expect(await client.names()).toEqual([])
    expect(client.queues.calls.length).toBe(8)
  })

  test('an empty name is the queue declared last, and then an empty key is its name', async () => {
    const client = await RawClient.open()
    client.say(1, 'queueDeclare')
    client.say(1, 'queueBind', { exchange: 'e' })
    client.say(1, 'queueBind', { exchange: 'e', routingKey: 'k' })
    client.say(1, 'queueBind', { queue: 'q', exchange: 'e' })
    client.say(1, 'queueDeclare', { queue: 'p', passive: true })
    client.say(1, 'queuePurge')
    client.say(1, 'basicConsume')
    const said = await client.heard()
    expect(said[0]).toMatchObject({ method: { arguments: { queue: 'amq.gen-1', messageCount: 2, consumerCount: 1 } } })
    const bound = client.queues.calls.flatMap(([name, call]) => (name === 'bind' ? [call] : []))
    expect(bound).toMatchObject([
      { destination: 'amq.gen-1', routingKey: 'amq.gen-1' },
      { destination: 'amq.gen-1', routingKey: 'k' },
      { destination: 'q', routingKey: '' },
    ])
    expect(client.queues.calls.at(-1)).toEqual(['purgeQueue', 'p'])
    expect(client.channel.calls[0]).toMatchObject(['consume', { queue: 'p' }])
  })

  test('declaring a reply queue only asks whether somebody waits there', async () => {
    const client = await RawClient.open()
    client.say(1, 'queueDeclare', { queue: 'amq.rabbitmq.reply-to.abc' })
    await client.heard()
    expect(client.queues.calls).toEqual([['checkQueue', 'amq.rabbitmq.reply-to.abc']])
  })

  test('access.request is answered', async () => {
    const client = await RawClient.open()
    client.say(1, 'accessRequest')
    expect(await client.heard()).toMatchObject([{ method: { name: 'accessRequestOk', arguments: { ticket: 1 } } }])
  })
})

describe('order', () => {
  test('later methods of the channel wait for an answer, those of another do not', async () => {
    const client = await RawClient.open()
    client.say(2, 'channelOpen')
    let answer: (value: unknown) => void = () => {}
    client.queues.answers = { purgeQueue: new Promise((resolve) => (answer = resolve)) }
    client.say(1, 'queuePurge', { queue: 'q' })
    client.say(1, 'basicQos', { prefetchCount: 5 })
    client.send(publishFrames(1, { routingKey: 'k' }, 'waits', 2))
    client.say(1, 'queueDelete', { queue: 'q' })
    client.say(2, 'basicQos', { prefetchCount: 6, global: true })
    expect(await client.names()).toEqual(['2 channelOpenOk', '2 basicQosOk'])
    const [first, second] = client.queues.channels
    expect([first.calls, first.published]).toEqual([[], []])
    expect(second.calls).toEqual([['setPrefetch', 6, 'channel']])
    answer(9)
    expect(await client.names()).toEqual(['1 queuePurgeOk', '1 basicQosOk', '1 queueDeleteOk'])
    expect(first.calls).toEqual([['setPrefetch', 5, 'consumer']])
    expect(first.published).toEqual([{ exchange: '', routingKey: 'k', properties: '0000', body: 'waits' }])
  })

  test('after a fault nothing is heard until close-ok, also of what waited', async () => {
    const client = await RawClient.open()
    client.say(1, 'queueDeclare', { queue: 'q' })
    client.say(1, 'basicGet', { queue: 'q' })
    client.say(1, 'txCommit')
    client.say(1, 'queueDeclare', { queue: 'r' })
    client.send(publishFrames(1, {}, 'lost'))
    expect(await client.names()).toEqual(['1 queueDeclareOk', '1 basicGetEmpty', '1 channelClose'])
    expect(client.queues.calls.length).toBe(1)
    expect([client.channel.published, client.channel.isClosed]).toEqual([[], true])
    client.say(1, 'channelClose')
    client.say(1, 'channelCloseOk')
    expect(await client.names()).toEqual(['1 channelCloseOk'])
    client.say(1, 'basicQos')
    expect(await client.names()).toEqual(['0 connectionClose'])
  })

  test('a fault in the middle of a content is over with it', async () => {
    const client = await RawClient.open()
    client.queues.answers = { acknowledge: { refused: 'unknownDelivery', why: 'unknown delivery tag 7' } }
    const frames = Buffer.concat([methodFrame(1, 'basicAck', { deliveryTag: 7 }), publishFrames(1, {}, 'abc', 1)])
    client.send(frames.subarray(0, frames.length - 5))
    client.send(frames.subarray(frames.length - 5))
    client.say(1, 'channelCloseOk')
    client.say(1, 'channelOpen')
    expect(await client.names()).toEqual(['1 channelClose', '1 channelOpenOk'])
  })

  test('a channel closed by its client may be opened again at once', async () => {
    const client = await RawClient.open()
    client.say(1, 'channelClose')
    client.say(1, 'channelOpen')
    expect(await client.names()).toEqual(['1 channelCloseOk', '1 channelOpenOk'])
    expect(client.queues.channels.map(({ isClosed }) => isClosed)).toEqual([true, false])
  })
})

describe('publishing', () => {
  test('confirmed at the end of the turn, in one frame', async () => {
    const client = await RawClient.open()
    client.say(1, 'confirmSelect')
    const receipt = new StubReceipt()
    client.queues.publish = () => receipt
    for (let at = 0; at < 10; at++) client.send(publishFrames(1, {}, 'x'))
    expect(await client.names()).toEqual(['1 confirmSelectOk'])
    receipt.settle('stored')
    client.queues.publish = () => stored
    client.send(publishFrames(1, {}, 'x'))
    expect(await client.heard()).toMatchObject([
      { method: { name: 'basicAck', arguments: { deliveryTag: 11, multiple: true } } },
    ])
  })

  test('a mandatory message that no queue took is returned whole, before it is confirmed', async () => {
    const client = await RawClient.open()
    client.say(1, 'confirmSelect', { nowait: true })
    client.queues.publish = () => 'unroutable'
    client.send(publishFrames(1, { exchange: 'e', routingKey: 'k', mandatory: true }, 'back', 2, '100002'))
    client.send(publishFrames(1, { exchange: 'e', routingKey: 'k' }, 'lost'))
    expect(await client.heard()).toMatchObject([
      {
        method: {
          name: 'basicReturn',
          arguments: { replyCode: 312, replyText: 'NO_ROUTE', exchange: 'e', routingKey: 'k' },
        },
      },
      { header: '100002', bodyBytes: 4 },
      { body: 'ba' },
      { body: 'ck' },
      { method: { name: 'basicAck', arguments: { deliveryTag: 2, multiple: true } } },
    ])
  })

  test('in a transaction returns wait for the commit, and are forgotten by a rollback', async () => {
    const client = await RawClient.open()
    client.queues.publish = () => 'unroutable'
    client.say(1, 'txSelect')
    client.send(publishFrames(1, { mandatory: true }, 'a'))
    client.say(1, 'txRollback')
    client.send(publishFrames(1, { mandatory: true }, 'b'))
    expect(await client.names()).toEqual(['1 txSelectOk', '1 txRollbackOk'])
    client.say(1, 'txCommit')
    expect(await client.heard()).toMatchObject([
      { method: { name: 'basicReturn' } },
      { bodyBytes: 1 },
      { body: 'b' },
      { method: { name: 'txCommitOk' } },
    ])
    expect(client.channel.calls).toEqual([['beginTransactions'], ['rollback'], ['commit']])
  })

  test('returns that wait for the commit are no more than a transaction may hold', async () => {
    const client = await RawClient.open()
    client.queues.publish = () => 'unroutable'
    client.say(1, 'txSelect')
    const some = Buffer.concat(Array.from({ length: 1024 }, () => publishFrames(1, { mandatory: true }, '')))
    for (let times = 0; times < 63; times++) client.send(some)
    expect(await client.names()).toEqual(['1 txSelectOk'])
    client.send(some)
    expect((await client.heard()).at(-1)).toMatchObject({
      method: {
        name: 'channelClose',
        arguments: { replyText: 'PRECONDITION_FAILED - the transaction holds more than 67108864 bytes' },
      },
    })
  })

  test('a commit that fails ends the channel', async () => {
    const client = await RawClient.open()
    client.queues.answers = { commit: { refused: 'storageFull', why: 'no room' } }
    client.say(1, 'txSelect')
    client.say(1, 'txCommit')
    expect((await client.heard()).at(-1)).toMatchObject({
      method: {
        name: 'channelClose',
        arguments: { replyCode: 406, replyText: 'PRECONDITION_FAILED - no room', methodId: 20 },
      },
    })
  })
})

describe('consuming', () => {
  test('consume-ok is written before the first delivery', async () => {
    const client = await RawClient.open()
    client.queues.answers = {
      consume: { tag: 'c', start: () => client.channel.sink.deliver(delivery(1, 'first')) },
    }
    client.say(1, 'basicConsume', { queue: 'q', noAck: true, exclusive: true })
    expect(await client.heard()).toMatchObject([
      { method: { name: 'basicConsumeOk', arguments: { consumerTag: 'c' } } },
      {
        method: {
          name: 'basicDeliver',
          arguments: { consumerTag: 'c', deliveryTag: 1, redelivered: false, exchange: 'e', routingKey: 'k' },
        },
      },
      { header: '100002', bodyBytes: 5 },
      { body: 'first' },
    ])
    const call = { queue: 'q', consumerTag: '', noAck: true, exclusive: true, arguments: [] }
    expect(client.channel.calls).toEqual([['consume', call]])
  })

  test('get, empty or not; settlements; recover; cancel', async () => {
    const client = await RawClient.open()
    client.say(1, 'basicGet', { queue: 'q', noAck: true })
    expect(await client.names()).toEqual(['1 basicGetEmpty'])
    const { consumerTag: _, ...message } = delivery(2, 'got')
    client.queues.answers = { get: { ...message, messages: 4 } satisfies Got }
    client.say(1, 'basicGet', { queue: 'q' })
    expect(await client.heard()).toMatchObject([
      { method: { name: 'basicGetOk', arguments: { deliveryTag: 2, redelivered: true, messageCount: 4 } } },
      { bodyBytes: 3 },
      { body: 'got' },
    ])
    client.say(1, 'basicAck', { deliveryTag: 2, multiple: true })
    client.say(1, 'basicNack', { deliveryTag: 3, multiple: true, requeue: true })
    client.say(1, 'basicReject', { deliveryTag: 4, requeue: true })
    client.say(1, 'basicRecover', { requeue: true })
    client.say(1, 'basicRecoverAsync', { requeue: true })
    client.say(1, 'basicCancel', { consumerTag: 'c' })
    expect(await client.names()).toEqual(['1 basicRecoverOk', '1 basicCancelOk'])
    expect(client.channel.calls.slice(2)).toEqual([
      ['acknowledge', 2, true],
      ['reject', 3, true, true, false],
      ['reject', 4, false, true, true],
      ['recover'],
      ['recover'],
      ['cancel', 'c'],
    ])
  })

  test('the end of a consumer is told to who can take it', async () => {
    const client = await RawClient.open()
    client.channel.cancelByBroker('c', 'queueDeleted')
    expect(await client.heard()).toMatchObject([
      { method: { name: 'basicCancel', arguments: { consumerTag: 'c', nowait: true } } },
    ])
    const other = await RawClient.open([])
    other.channel.cancelByBroker('c', 'queueDeleted')
    expect(await other.names()).toEqual([])
  })

  test('deliveries of a turn are one write; above the mark there is no room until it left', async () => {
    const client = await RawClient.open()
    const before = client.connection.written.length
    const { sink } = client.channel
    let tag = 0
    while (sink.hasRoom) sink.deliver(delivery(++tag, 'x'.repeat(10_000)))
    expect(tag).toBeGreaterThan(20)
    expect(tag).toBeLessThan(40)
    expect(client.connection.written.length).toBe(before)
    expect(client.channel.calls).toEqual([])
    await client.world.settle()
    expect((await client.heard()).filter((said) => 'body' in said).length).toBe(tag)
    expect([sink.hasRoom, client.channel.calls]).toEqual([true, [['resume']]])
  })

  test('who asks faster than he reads waits for his answers; when he goes nothing waits any more', async () => {
    const client = await RawClient.open()
    const { consumerTag: _, ...message } = delivery(1, 'x'.repeat(300_000))
    client.queues.answers = { get: { ...message, messages: 4 } satisfies Got }
    client.connection.write = () => false
    const gets = (): number => client.channel.calls.filter(([name]) => name === 'get').length
    for (let at = 0; at < 5; at++) client.say(1, 'basicGet', { queue: 'q' })
    await client.world.settle()
    expect(gets()).toBe(1)
    client.connection.drained()
    await client.world.settle()
    expect(gets()).toBe(2)
    client.connection.leave()
    await client.world.settle()
    expect(client.queues.isClosed).toBe(true)
  })

  test('a socket that is full has no room until it is drained', async () => {
    const client = await RawClient.open()
    const { sink } = client.channel
    client.connection.write = () => false
    sink.deliver(delivery(1, 'x'))
    await client.world.settle()
    expect(sink.hasRoom).toBe(false)
    await client.world.settle()
    expect(client.channel.calls).toEqual([])
    client.connection.drained()
    expect([sink.hasRoom, client.channel.calls]).toEqual([true, [['resume']]])
  })
})
