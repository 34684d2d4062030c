// A connection's life: handshake, heartbeats, back-pressure, blocked, and every way to end.
// Promises: time is turned by hand; what the client reads is compared whole.
// Does not know: sockets, the broker.

import { describe, expect, test } from 'vitest'
import { publishInflightBytesMax } from '../../base/limits.ts'
import { InvariantError } from '../../base/assert.ts'
import { boolField, fieldText, findField } from '../../base/fields.ts'
import { methodFrame, no, publishFrames, RawClient, rawFrame, startOk, StubReceipt } from './stub-queues.contract.ts'

describe('the handshake', () => {
  test('start, tune, open, and a session for the user', async () => {
    const client = new RawClient()
    client.send(Buffer.from('AMQP\0\0\x09\x01', 'latin1'))
    const [start] = await client.heard()
    if (!('method' in start) || start.method.name !== 'connectionStart')
      throw new Error('connection.start was expected')
    const { serverProperties, mechanisms, locales } = start.method.arguments
    expect([String(mechanisms), String(locales)]).toEqual(['PLAIN AMQPLAIN', 'en_US'])
    expect(fieldText(findField(serverProperties, 'product'))).toBe('RabbitMQ')
    expect(fieldText(findField(serverProperties, 'version'))).toMatch(/^4\.3\./)
    expect(fieldText(findField(serverProperties, 'platform'))).toBe('Odradek')
    const capabilities = findField(serverProperties, 'capabilities')
    if (capabilities?.type !== 'table') throw new Error('capabilities are a table')
    expect(capabilities.value.length).toBe(9)
    for (const { value } of capabilities.value) expect(value).toEqual(boolField(true))
    client.say(0, 'connectionStartOk', startOk([]))
    const [tune] = await client.heard()
    expect(tune).toMatchObject({
      method: { name: 'connectionTune', arguments: { channelMax: 2047, frameMax: 131_072, heartbeat: 60 } },
    })
    client.say(0, 'connectionTuneOk', { channelMax: 10, frameMax: 4096, heartbeat: 0 })
    client.say(0, 'connectionOpen', {})
    expect(await client.names()).toEqual(['0 connectionOpenOk'])
    expect(client.identities).toEqual([{ vhost: '/', principal: 'guest', clientId: 'test', address: '127.0.0.1' }])
    await client.world.pass(1_000_000)
    expect(client.connection.state).toBe('open')
  })

  test('AMQPLAIN, and the header of 0-9', async () => {
    const client = new RawClient()
    const login = '\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest'
    client.send(
      Buffer.from('AMQP\x01\x01\0\x09', 'latin1'),
      methodFrame(0, 'connectionStartOk', startOk([], login, 'AMQPLAIN')),
    )
    expect(await client.names()).toEqual(['0 connectionStart', '0 connectionTune'])
  })

  test('a frame may be as large as was negotiated, and ours are no larger', async () => {
    const client = await RawClient.open([], { frameMax: 4096 })
    client.channel.sink.deliver({
      tag: 1,
      consumerTag: 'c',
      redelivered: false,
      exchange: Buffer.alloc(0),
      routingKey: Buffer.from('k'),
      properties: Buffer.alloc(2),
      body: Buffer.alloc(10_000, 'x'),
    })
    const bodies = (await client.heard()).flatMap((said) => ('body' in said ? [said.body.length] : []))
    expect(bodies).toEqual([4088, 4088, 1824])
    client.send(rawFrame(1, 1, Buffer.alloc(4097)))
    expect(await client.names()).toEqual(['0 connectionClose'])
  })

  test('channels up to the number that was negotiated', async () => {
    const client = await RawClient.open([], { channelMax: 2 })
    client.say(60_000, 'channelOpen')
    client.say(3, 'channelOpen')
    const [ok, close] = await client.heard()
    expect(ok).toMatchObject({ channel: 60_000, method: { name: 'channelOpenOk' } })
    expect(close).toMatchObject({
      method: {
        arguments: {
          replyText: 'NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)',
        },
      },
    })
  })
})

describe('heartbeats', () => {
  test('one each half interval, whatever else left', async () => {
    const client = await RawClient.open([], { heartbeat: 10 })
    await client.world.pass(4000)
    await client.heard()
    for (let half = 0; half < 6; half++) {
      client.send(rawFrame(8, 0, Buffer.alloc(0)))
      if (half % 2 === 1) client.say(1, 'basicQos', {})
      await client.world.pass(5000)
      expect(await client.names()).toContain('0 heartbeat')
    }
  })

  test('silence of more than two intervals ends the connection; any byte counts', async () => {
    const client = await RawClient.open([], { heartbeat: 10 })
    for (let at = 0; at < 10; at++) {
      await client.world.pass(15_000)
      client.send(Buffer.from([1]).subarray(0, 1))
      if (at === 0) client.send(Buffer.from([0, 1, 0, 0, 0, 50]))
    }
    expect(client.connection.state).toBe('open')
    await client.world.pass(30_000)
    expect(client.connection.state).toBe('destroyed')
    expect(client.world.trace.counters().get('amqp.connections.silent')).toBe(1)
    expect(client.queues.isClosed).toBe(true)
    expect(client.world.timers).toBe(0)
  })

  test('a peer that is not read is not silent', async () => {
    const client = await RawClient.open([], { heartbeat: 10 })
    const receipt = new StubReceipt()
    client.queues.publish = () => receipt
    client.send(
      publishFrames(1, {}, 'x'.repeat(9_000_000), 100_000),
      publishFrames(1, {}, 'x'.repeat(9_000_000), 100_000),
    )
    expect(client.connection.isReading).toBe(false)
    await client.world.pass(1_000_000)
    expect(client.connection.state).toBe('open')
    receipt.settle('stored')
    await client.world.settle()
    expect(client.connection.isReading).toBe(true)
    await client.world.pass(30_000)
    expect(client.connection.state).toBe('destroyed')
  })
})

describe('back-pressure', () => {
  test('reading stops above the limit of uncommitted bytes, of all channels, and goes on below it', async () => {
    const client = await RawClient.open()
    client.say(2, 'channelOpen')
    const receipts = [new StubReceipt(), new StubReceipt()]
    client.queues.publish = (count) => receipts[count - 1]
    const half = publishInflightBytesMax / 2
    client.queues.publish = () => receipts[0]
    client.send(publishFrames(1, {}, 'x'.repeat(half), 100_000))
    expect(client.connection.isReading).toBe(true)
    client.queues.publish = () => receipts[1]
    client.send(publishFrames(2, {}, 'x'.repeat(half + 1), 100_000))
    expect(client.connection.isReading).toBe(false)
    receipts[1].settle('stored')
    await client.world.settle()
    expect(client.connection.isReading).toBe(true)
  })

  test('a closed channel does not make its bytes forgotten', async () => {
    const client = await RawClient.open()
    const receipt = new StubReceipt()
    client.queues.publish = () => receipt
    client.send(publishFrames(1, {}, 'x'.repeat(publishInflightBytesMax), 100_000))
    expect(client.connection.isReading).toBe(false)
    client.say(1, 'channelClose')
    expect(client.connection.isReading).toBe(false)
    receipt.settle('stored')
    await client.world.settle()
    expect(client.connection.isReading).toBe(true)
  })

  test('frames that wait for an answer count too', async () => {
    const client = await RawClient.open()
    let answer: (value: unknown) => void = () => {}
    client.queues.answers = { purgeQueue: new Promise((resolve) => (answer = resolve)) }
    client.say(1, 'queuePurge', { queue: 'q' })
    for (let at = 0; at < 17; at++) client.send(publishFrames(1, {}, 'x'.repeat(1_000_000), 100_000))
    expect(client.channel.published.length).toBe(0)
    expect(client.connection.isReading).toBe(false)
    answer(1)
    await client.world.settle()
    expect(client.channel.published.length).toBe(17)
    expect(client.connection.isReading).toBe(true)
  })

  test('blocked at the first refused publish, once; nacked on a channel that confirms; unblocked when it ends', async () => {
    const client = await RawClient.open()
    client.queues.pressure = 'the disk is full'
    client.queues.publish = () => no('storageFull', 'the disk is full')
    expect(await client.names()).toEqual([])
    client.say(1, 'confirmSelect', { nowait: true })
    client.send(publishFrames(1, {}, 'a'), publishFrames(1, {}, 'b'))
    expect(await client.heard()).toMatchObject([
      { channel: 0, method: { name: 'connectionBlocked', arguments: { reason: 'the disk is full' } } },
      { channel: 1, method: { name: 'basicNack', arguments: { deliveryTag: 2, multiple: true } } },
    ])
    client.queues.setPressure('still')
    expect(await client.names()).toEqual([])
    client.queues.setPressure(undefined)
    expect(await client.names()).toEqual(['0 connectionUnblocked'])
    client.queues.setPressure(undefined)
    expect(await client.names()).toEqual([])
    client.queues.pressure = 'again'
    client.send(publishFrames(1, {}, 'c'))
    expect(await client.names()).toEqual(['0 connectionBlocked', '1 basicNack'])
  })

  test('without confirms the channel ends, naming the limit; who cannot take blocked is not told', async () => {
    const client = await RawClient.open([])
    client.queues.pressure = 'the disk is full'
    client.queues.publish = () => no('storageFull', 'the disk is full')
    client.send(publishFrames(1, {}, 'a'), publishFrames(1, {}, 'b'))
    expect(await client.heard()).toMatchObject([
      {
        channel: 1,
        method: {
          name: 'channelClose',
          arguments: { replyCode: 406, replyText: 'PRECONDITION_FAILED - the disk is full' },
        },
      },
    ])
    expect(client.channel.published.length).toBe(1)
  })
})

describe('the end', () => {
  test('asked for: exclusive queues are gone before close-ok', async () => {
    const client = await RawClient.open()
    let done: (value: unknown) => void = () => {}
    client.queues.answers = { close: new Promise((resolve) => (done = resolve)) }
    client.say(0, 'connectionClose')
    expect(await client.names()).toEqual([])
    expect(client.channel.isClosed).toBe(true)
    done(undefined)
    expect(await client.names()).toEqual(['0 connectionCloseOk'])
    expect(client.connection.state).toBe('ended')
    client.connection.leave()
    expect(client.world.timers).toBe(0)
  })

  test('asked for while something is awaited: it is done and answered first', async () => {
    const client = await RawClient.open()
    let answer: (value: unknown) => void = () => {}
    client.queues.answers = { declareQueue: new Promise((resolve) => (answer = resolve)) }
    client.say(1, 'queueDeclare', { queue: 'q' })
    client.send(publishFrames(1, { routingKey: 'q' }, 'kept'))
    client.say(0, 'connectionClose')
    expect(await client.names()).toEqual([])
    answer({ name: 'q', messages: 0, consumers: 0 })
    expect(await client.names()).toEqual(['1 queueDeclareOk', '0 connectionCloseOk'])
    expect(client.channel.published.map(({ body }) => body)).toEqual(['kept'])
  })

  test('a peer that just goes: what it sent before is done, then its queues go', async () => {
    const client = await RawClient.open()
    let answer: (value: unknown) => void = () => {}
    client.queues.answers = { declareQueue: new Promise((resolve) => (answer = resolve)) }
    client.say(1, 'queueDeclare', { queue: 'q' })
    client.send(publishFrames(1, { routingKey: 'q' }, 'kept'))
    client.connection.leave()
    expect(client.queues.isClosed).toBe(false)
    answer({ name: 'q', messages: 0, consumers: 0 })
    await client.world.settle()
    expect(client.channel.published.map(({ body }) => body)).toEqual(['kept'])
    expect([client.channel.isClosed, client.queues.isClosed]).toEqual([true, true])
    expect(client.world.timers).toBe(0)
  })

  test('both at once: close is answered while we wait for close-ok', async () => {
    const client = await RawClient.open()
    client.say(1, 'channelOpen')
    expect(await client.names()).toEqual(['0 connectionClose'])
    client.say(0, 'connectionClose')
    expect(await client.names()).toEqual(['0 connectionCloseOk'])
    client.say(0, 'connectionCloseOk')
    await client.world.settle()
    expect(client.connection.state).toBe('ended')
  })

  test('shutdown: what is under way is told, then the connection is closed with 320', async () => {
    const client = await RawClient.open()
    client.say(1, 'confirmSelect', { nowait: true })
    const receipt = new StubReceipt()
    client.queues.publish = () => receipt
    client.send(publishFrames(1, {}, 'a'))
    let isGone = false
    void client.conversation.drain(1000).then(() => (isGone = true))
    client.send(publishFrames(1, {}, 'too late'))
    expect(await client.names()).toEqual([])
    receipt.settle('stored')
    expect(await client.heard()).toMatchObject([
      { method: { name: 'basicAck' } },
      {
        method: {
          name: 'connectionClose',
          arguments: {
            replyCode: 320,
            replyText: "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
          },
        },
      },
    ])
    client.say(0, 'connectionCloseOk')
    client.connection.leave()
    await client.world.settle()
    expect(isGone).toBe(true)
    expect(client.channel.published.length).toBe(1)
  })

  test.each([
    ['a client that never answers', true],
    ['one that said nothing yet', false],
  ] as const)('shutdown ends in its time: %s', async (_name, isOpen) => {
    const client = isOpen ? await RawClient.open() : new RawClient()
    void client.conversation.drain(1000)
    await client.world.pass(1000)
    expect(client.connection.state).toBe('destroyed')
  })

  test('a broken invariant is told to who can stop the process', async () => {
    const client = await RawClient.open()
    client.queues.publish = () => {
      throw new InvariantError('broken')
    }
    client.send(publishFrames(1, {}, 'a'))
    expect(await client.names()).toEqual(['0 connectionClose'])
    expect(client.broken).toEqual([new InvariantError('broken')])
  })

  test('a secret is updated', async () => {
    const client = await RawClient.open()
    client.say(0, 'connectionUpdateSecret', { newSecret: Buffer.from('s'), reason: 'r' })
    expect(await client.names()).toEqual(['0 connectionUpdateSecretOk'])
  })
})
