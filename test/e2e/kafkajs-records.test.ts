// kafkajs end to end: what is produced, in every form that it can, is what is consumed.
// Promises: the same on both stores; no sleeps.
// Does not know: groups of several members and administration (files of their own).

import { CompressionTypes } from 'kafkajs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KafkajsClients } from './kafkajs-clients.ts'
import { openPlace, stores, type Place } from './place.ts'

describe.each(stores)('records on %s', (store) => {
  let place: Place
  let clients: KafkajsClients
  beforeEach(async () => {
    place = await openPlace(store)
    clients = new KafkajsClients(place.address)
  })
  afterEach(async () => {
    await clients.close()
    await place.close()
  })

  const receive = async (topic: string, groupId = `group of ${topic}`) =>
    clients.receive(await clients.consumer(groupId), topic)

  test('keys, values, headers, nulls and timestamps come back as they were', async () => {
    const producer = await clients.producer()
    const headers = { one: 'text', bytes: Buffer.from([0, 255]), many: ['a', 'b'], empty: '' }
    await producer.send({
      topic: 'records',
      messages: [
        { key: 'key', value: 'value', headers, timestamp: '1700000000000' },
        { key: null, value: null, timestamp: '1700000000001' },
        { key: '', value: '', timestamp: '1700000000002' },
        { value: Buffer.from([0, 1, 2, 254, 255]), timestamp: '1' },
        { key: 'ключ', value: '値 🧵', timestamp: '1700000000003' },
      ],
    })
    const arrived = await receive('records')
    const all = await arrived.until('five records', (received) => received.length >= 5)
    expect(
      all.map(({ key, value, timestamp, offset }) => [offset, key?.toString(), value?.toString('latin1'), timestamp]),
    ).toEqual([
      ['0', 'key', 'value', '1700000000000'],
      ['1', undefined, undefined, '1700000000001'],
      ['2', '', '', '1700000000002'],
      ['3', undefined, '\0\x01\x02\xfe\xff', '1'],
      ['4', 'ключ', Buffer.from('値 🧵').toString('latin1'), '1700000000003'],
    ])
    expect(all[0].headers).toEqual({
      one: Buffer.from('text'),
      bytes: Buffer.from([0, 255]),
      many: [Buffer.from('a'), Buffer.from('b')],
      empty: Buffer.alloc(0),
    })
    expect([all[1].key, all[1].value]).toEqual([null, null])
  })

  test('acks 0, 1 and all; offsets are answered in order', async () => {
    const producer = await clients.producer()
    const send = (acks: number, value: string) => producer.send({ topic: 'acks', acks, messages: [{ value }] })
    expect(await send(-1, 'all')).toMatchObject([{ partition: 0, errorCode: 0, baseOffset: '0' }])
    expect(await send(1, 'one')).toMatchObject([{ partition: 0, errorCode: 0, baseOffset: '1' }])
    await send(0, 'none')
    expect(await send(-1, 'last')).toMatchObject([{ baseOffset: '3' }])
    const all = await (await receive('acks')).until('four records', (received) => received.length >= 4)
    expect(all.map(({ value }) => value?.toString())).toEqual(['all', 'one', 'none', 'last'])
  })

  test.each(Object.entries(CompressionTypes).filter(([, type]) => typeof type === 'number'))(
    'compressed: %s',
    async (name, type) => {
      const producer = await clients.producer()
      const messages = Array.from({ length: 500 }, (_, index) => ({ key: `${index}`, value: `${name} `.repeat(30) }))
      for (let sent = 0; sent < 3; sent++) {
        await producer.send({ topic: 'compressed', compression: type as CompressionTypes, messages })
      }
      const all = await (await receive('compressed')).until('1500 records', (received) => received.length >= 1500)
      expect(all.map(({ key }) => Number(key?.toString()))).toEqual(
        Array.from({ length: 1500 }, (_, index) => index % 500),
      )
      expect(new Set(all.map(({ value }) => value?.toString()))).toEqual(new Set([`${name} `.repeat(30)]))
    },
  )

  test('an idempotent producer', async () => {
    const producer = await clients.producer({ idempotent: true, maxInFlightRequests: 1 })
    for (let index = 0; index < 20; index++) {
      const [sent] = await producer.send({ topic: 'once', messages: [{ value: `${index}` }] })
      expect(sent.baseOffset).toBe(`${index}`)
    }
    const all = await (await receive('once')).until('twenty records', (received) => received.length >= 20)
    expect(all.map(({ value }) => Number(value?.toString()))).toEqual(Array.from({ length: 20 }, (_, index) => index))
  })

  test('a record as large as is allowed passes, a larger one is refused and the connection lives', async () => {
    const producer = await clients.producer({ retry: { retries: 0 } })
    const send = (bytes: number) => producer.send({ topic: 'large', messages: [{ value: Buffer.alloc(bytes, 'x') }] })
    await send(1_000_000)
    await expect(send(1_100_000)).rejects.toMatchObject({ type: 'MESSAGE_TOO_LARGE' })
    expect(await send(10)).toMatchObject([{ baseOffset: '1' }])
    const all = await (await receive('large')).until('two records', (received) => received.length >= 2)
    expect(all.map(({ value }) => value?.length)).toEqual([1_000_000, 10])
  })

  test('a consumer that waits is told of a record at once', async () => {
    const producer = await clients.producer()
    await producer.send({ topic: 'tail', messages: [{ value: 'first' }] })
    const consumer = await clients.consumer('tail', { maxWaitTimeInMs: 10_000 })
    const arrived = await clients.receive(consumer, 'tail')
    await arrived.until('the first', (received) => received.length === 1)
    const sentAtMs = performance.now()
    await producer.send({ topic: 'tail', messages: [{ value: 'second' }] })
    await arrived.until('the second', (received) => received.length === 2)
    expect(performance.now() - sentAtMs).toBeLessThan(2000)
  })

  test('from an offset and from a time', async () => {
    const producer = await clients.producer()
    const admin = await clients.admin()
    const messages = Array.from({ length: 10 }, (_, index) => ({
      value: `${index}`,
      timestamp: `${1000 + index * 10}`,
    }))
    for (const message of messages) await producer.send({ topic: 'seek', messages: [message] })
    expect(await admin.fetchTopicOffsetsByTimestamp('seek', 1045)).toEqual([{ partition: 0, offset: '5' }])
    expect(await admin.fetchTopicOffsetsByTimestamp('seek', 99_999)).toEqual([{ partition: 0, offset: '10' }])
    const consumer = await clients.consumer('seek')
    const arrived = await clients.receive(consumer, 'seek')
    await arrived.until('all', (received) => received.length === 10)
    consumer.seek({ topic: 'seek', partition: 0, offset: '7' })
    const all = await arrived.until('three again', (received) => received.length >= 13)
    expect(all.slice(10).map(({ offset }) => offset)).toEqual(['7', '8', '9'])
  })
})
