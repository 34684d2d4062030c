// kafkajs groups end to end: members come and go, positions stay.
// Promises: the same on both stores; no sleeps.
// Does not know: the protocols inside a group.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { assignments, KafkajsClients, type Received } from './kafkajs-clients.ts'
import { Arrivals, openPlace, stores, type Place } from './place.ts'

const numbers = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${from + index}`)
const valuesOf = (received: readonly Received[]): number[] => received.map(({ value }) => Number(value?.toString()))

describe.each(stores)('groups on %s', (store) => {
  let place: Place
  let clients: KafkajsClients
  beforeEach(async () => {
    place = await openPlace(store)
    clients = new KafkajsClients(place.address)
    const admin = await clients.admin()
    await admin.createTopics({ topics: [{ topic: 'work', numPartitions: 4 }] })
  })
  afterEach(async () => {
    await clients.close()
    await place.close()
  })

  const send = async (values: readonly string[]): Promise<void> => {
    const producer = await clients.producer()
    const messages = values.map((value, index) => ({ value, partition: index % 4 }))
    await producer.send({ topic: 'work', messages })
  }

  test('from one member to two and back; every record is seen, committed ones once', async () => {
    const arrivals = new Arrivals<Received>()
    const first = await clients.consumer('team')
    const joinsOfFirst = assignments(first, 'work')
    await clients.receive(first, 'work', arrivals, 'first')
    await joinsOfFirst.until('the first has all', (joins) => joins.at(-1)?.length === 4)
    await send(numbers(0, 40))
    await arrivals.until('forty', (received) => received.length >= 40)

    const second = await clients.consumer('team')
    const joinsOfSecond = assignments(second, 'work')
    await clients.receive(second, 'work', arrivals, 'second')
    await joinsOfSecond.until('the second has half', (joins) => joins.at(-1)?.length === 2)
    await joinsOfFirst.until('the first has half', (joins) => joins.at(-1)?.length === 2)
    const halves = [...(joinsOfFirst.all.at(-1) ?? []), ...(joinsOfSecond.all.at(-1) ?? [])]
    expect([...halves].sort()).toEqual([0, 1, 2, 3])
    await send(numbers(40, 40))
    const both = await arrivals.until('eighty', (received) => new Set(valuesOf(received)).size >= 80)
    expect(new Set(both.filter((one) => valuesOf([one])[0] >= 40).map(({ by }) => by))).toEqual(
      new Set(['first', 'second']),
    )

    await second.disconnect()
    await joinsOfFirst.until('the first has all again', (joins) => joins.length >= 3 && joins.at(-1)?.length === 4)
    await send(numbers(80, 40))
    const all = await arrivals.until('a hundred and twenty', (received) => new Set(valuesOf(received)).size >= 120)
    expect(valuesOf(all.filter(({ by }) => by === 'second')).every((value) => value < 80)).toBe(true)
    expect(valuesOf(all).sort((a, b) => a - b)).toEqual(numbers(0, 120).map(Number))
  })

  test('a group goes on where it stopped, and another one starts from the beginning', async () => {
    await send(numbers(0, 8))
    const before = await clients.consumer('resumed')
    await (await clients.receive(before, 'work')).until('eight', (received) => received.length >= 8)
    await before.disconnect()
    await send(numbers(8, 8))
    const resumed = await clients.receive(await clients.consumer('resumed'), 'work')
    const rest = await resumed.until('eight more', (received) => received.length >= 8)
    expect(valuesOf(rest).sort((a, b) => a - b)).toEqual(numbers(8, 8).map(Number))
    const replayed = await clients.receive(await clients.consumer('replayed'), 'work')
    await replayed.until('all sixteen', (received) => received.length >= 16)
  })

  // kafkajs sets offsets by waiting five seconds for an empty fetch: once is enough.
  test.runIf(store === 'memory:')('offsets are read, set, and deleted with their group', async () => {
    await send(numbers(0, 8))
    const admin = await clients.admin()
    const consumer = await clients.consumer('positions')
    await (await clients.receive(consumer, 'work')).until('eight', (received) => received.length >= 8)
    await consumer.stop()
    await consumer.disconnect()
    const offsets = async () => {
      const [{ partitions }] = await admin.fetchOffsets({ groupId: 'positions', topics: ['work'] })
      return [...partitions].sort((a, b) => a.partition - b.partition).map(({ offset }) => offset)
    }
    expect(await offsets()).toEqual(['2', '2', '2', '2'])
    const partitions = [
      { partition: 0, offset: '1' },
      { partition: 3, offset: '0' },
    ]
    await admin.setOffsets({ groupId: 'positions', topic: 'work', partitions })
    expect(await offsets()).toEqual(['1', '2', '2', '0'])
    const again = await clients.receive(await clients.consumer('positions'), 'work')
    expect(
      (await again.until('three', (received) => received.length >= 3)).map(({ partition }) => partition).sort(),
    ).toEqual([0, 3, 3])
    await clients.close()
    clients = new KafkajsClients(place.address)
    const later = await clients.admin()
    await later.deleteGroups(['positions'])
    expect((await later.listGroups()).groups.map(({ groupId }) => groupId)).not.toContain('positions')
  })

  test('groups are listed and described with their members', async () => {
    const admin = await clients.admin()
    const consumer = await clients.consumer('seen')
    const joins = assignments(consumer, 'work')
    await clients.receive(consumer, 'work')
    await joins.until('joined', (all) => all.length > 0)
    expect((await admin.listGroups()).groups).toEqual([{ groupId: 'seen', protocolType: 'consumer' }])
    const { groups } = await admin.describeGroups(['seen', 'missing'])
    expect(groups.map(({ groupId, state }) => [groupId, state])).toEqual([
      ['seen', 'Stable'],
      ['missing', 'Dead'],
    ])
    expect(groups[0].members).toHaveLength(1)
    await expect(admin.deleteGroups(['seen'])).rejects.toThrow()
  })
})
