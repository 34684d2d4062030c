// kafkajs administration end to end: topics made, changed, described, emptied and removed; and what a restart keeps.
// Promises: the same on both stores where it says so; no sleeps.
// Does not know: how settings are stored.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import kafkajs, { type Admin } from 'kafkajs'
import { KafkajsClients } from './kafkajs-clients.ts'
import { openPlace, stores, type Place } from './place.ts'

const topicResource = 2

describe.each(stores)('administration on %s', (store) => {
  let place: Place
  let clients: KafkajsClients
  let admin: Admin
  beforeEach(async () => {
    place = await openPlace(store)
    clients = new KafkajsClients(place.address)
    admin = await clients.admin()
  })
  afterEach(async () => {
    await clients.close()
    await place.close()
  })

  const settingOf = async (topic: string, name: string): Promise<string | undefined> => {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: topicResource as never, name: topic }],
    })
    return resources[0].configEntries.find((entry) => entry.configName === name)?.configValue
  }

  test('a topic is created, described, altered, enlarged and deleted', async () => {
    const configEntries = [{ name: 'retention.ms', value: '60000' }]
    expect(await admin.createTopics({ topics: [{ topic: 'made', numPartitions: 2, configEntries }] })).toBe(true)
    expect(await admin.createTopics({ topics: [{ topic: 'made' }] })).toBe(false)
    expect(await admin.listTopics()).toEqual(['made'])
    expect(await settingOf('made', 'retention.ms')).toBe('60000')
    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        { type: topicResource as never, name: 'made', configEntries: [{ name: 'retention.ms', value: '90000' }] },
      ],
    })
    expect(await settingOf('made', 'retention.ms')).toBe('90000')
    await admin.createPartitions({ topicPartitions: [{ topic: 'made', count: 5 }] })
    const { topics } = await admin.fetchTopicMetadata({ topics: ['made'] })
    expect(topics[0].partitions.map(({ partitionId, leader }) => [partitionId, leader])).toHaveLength(5)
    expect(await admin.fetchTopicOffsets('made')).toHaveLength(5)
    await admin.deleteTopics({ topics: ['made'] })
    expect(await admin.listTopics()).toEqual([])
    await expect(admin.deleteTopics({ topics: ['made'] })).rejects.toThrow()
  })

  test('what cannot be is refused with its reason', async () => {
    const create = (topic: string, more: object = {}) =>
      admin
        .createTopics({ topics: [{ topic, ...more }] })
        .catch((error: { errors?: { type: string }[]; type?: string }) => error.errors?.[0]?.type ?? error.type)
    expect(await create('no spaces')).toBe('INVALID_TOPIC_EXCEPTION')
    expect(await create('none', { numPartitions: 0 })).toBe('INVALID_PARTITIONS')
    expect(await create('three', { replicationFactor: 3 })).toBe('INVALID_REPLICATION_FACTOR')
    expect(await create('odd', { configEntries: [{ name: 'no.such.setting', value: '1' }] })).toBe('INVALID_CONFIG')
    expect(await admin.listTopics()).toEqual([])
  })

  test('records below an offset are deleted', async () => {
    const producer = await clients.producer()
    const messages = Array.from({ length: 10 }, (_, index) => ({ value: `${index}` }))
    await producer.send({ topic: 'emptied', messages })
    // kafkajs finds the leader only in metadata it has loaded before.
    expect(await admin.fetchTopicOffsets('emptied')).toMatchObject([{ high: '10', low: '0' }])
    await admin.deleteTopicRecords({ topic: 'emptied', partitions: [{ partition: 0, offset: '6' }] })
    expect(await admin.fetchTopicOffsets('emptied')).toEqual([{ partition: 0, offset: '10', high: '10', low: '6' }])
    const arrived = await clients.receive(await clients.consumer('emptied'), 'emptied')
    const rest = await arrived.until('the rest', (received) => received.length >= 4)
    expect(rest.map(({ value }) => value?.toString())).toEqual(['6', '7', '8', '9'])
    await admin.deleteTopicRecords({ topic: 'emptied', partitions: [{ partition: 0, offset: '-1' }] })
    expect(await admin.fetchTopicOffsets('emptied')).toMatchObject([{ high: '10', low: '10' }])
    const [{ baseOffset }] = await producer.send({ topic: 'emptied', messages: [{ value: 'next' }] })
    expect(baseOffset).toBe('10')
  })

  test('the cluster is one broker, where it was found', async () => {
    const { brokers, controller, clusterId } = await admin.describeCluster()
    expect(brokers.map(({ host, port }) => `${host}:${port}`)).toEqual([place.address])
    expect(controller).toBe(brokers[0].nodeId)
    expect(clusterId).toHaveLength(22)
  })
})

describe('topics made by being written to', () => {
  test.each([true, false])('auto.create.topics.enable=%s', async (allowed) => {
    const place = await openPlace('memory:', { 'auto.create.topics.enable': allowed, 'num.partitions': 3 })
    const clients = new KafkajsClients(place.address)
    try {
      const producer = await clients.producer({ retry: { retries: 1 } })
      const sent = producer.send({ topic: 'found', messages: [{ value: 'v' }] })
      if (allowed) await sent
      else await expect(sent).rejects.toThrow(kafkajs.KafkaJSError)
      const admin = await clients.admin()
      expect(await admin.listTopics()).toEqual(allowed ? ['found'] : [])
      if (allowed) expect(await admin.fetchTopicOffsets('found')).toHaveLength(3)
    } finally {
      await clients.close()
      await place.close()
    }
  })
})

describe('a restart on the same folder', () => {
  test('keeps topics, settings, records, positions and producers', async () => {
    const place = await openPlace('file:')
    let clients = new KafkajsClients(place.address)
    try {
      const admin = await clients.admin()
      const configEntries = [{ name: 'max.message.bytes', value: '2000' }]
      await admin.createTopics({ topics: [{ topic: 'kept', numPartitions: 2, configEntries }, { topic: 'gone' }] })
      await admin.deleteTopics({ topics: ['gone'] })
      const producer = await clients.producer({ idempotent: true, maxInFlightRequests: 1 })
      const send = (value: string) => producer.send({ topic: 'kept', messages: [{ value, partition: 0 }] })
      for (const value of ['0', '1']) await send(value)
      const before = await clients.consumer('kept')
      await (await clients.receive(before, 'kept')).until('two', (received) => received.length === 2)
      await before.disconnect()
      for (const value of ['2', '3']) await send(value)
      await admin.fetchTopicOffsets('kept')
      await admin.deleteTopicRecords({ topic: 'kept', partitions: [{ partition: 0, offset: '1' }] })
      const { clusterId } = await admin.describeCluster()

      await place.restart()
      expect(await send('4')).toMatchObject([{ baseOffset: '4' }])
      await clients.close()
      clients = new KafkajsClients(place.address)
      const later = await clients.admin()
      expect((await later.describeCluster()).clusterId).toBe(clusterId)
      expect(await later.listTopics()).toEqual(['kept'])
      expect(await later.fetchTopicOffsets('kept')).toEqual([
        { partition: 0, offset: '5', high: '5', low: '1' },
        { partition: 1, offset: '0', high: '0', low: '0' },
      ])
      const arrived = await clients.receive(await clients.consumer('kept'), 'kept')
      const all = await arrived.until('from the kept position', (received) => received.length >= 3)
      expect(all.map(({ value }) => value?.toString())).toEqual(['2', '3', '4'])
      const large = await clients.producer({ retry: { retries: 0 } })
      const refused = large.send({ topic: 'kept', messages: [{ value: 'x'.repeat(4000) }] })
      await expect(refused).rejects.toMatchObject({ type: 'MESSAGE_TOO_LARGE' })
    } finally {
      await clients.close()
      await place.close()
    }
  })
})
