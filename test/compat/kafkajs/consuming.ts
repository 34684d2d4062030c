// kafkajs consumers: groups of one and of two, commits, seeking, pausing, batches, subscriptions.
// Promises: each check uses topics and groups of its own; waits end with an error.
// Does not know: the admin client.

import { expect, expectEqual, until, type Check } from '../suite.ts'
import type { Clients, Gathering } from './clients.ts'

async function filled(clients: Clients, kind: string, count: number, partitions = 1): Promise<string> {
  const topic = await clients.topic(kind, partitions)
  const producer = await clients.producer()
  const messages = Array.from({ length: count }, (_, index) => ({
    key: `user_${index}`,
    value: `${index}`,
    partition: index % partitions,
  }))
  if (count > 0) await producer.send({ topic, messages })
  return topic
}

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => `${from + index}`)
}

function partitionsOf(gathering: Gathering, topic: string): number[] {
  return gathering.assignment[topic] ?? []
}

async function shared(members: readonly Gathering[], topic: string, sizes: readonly number[]): Promise<void> {
  await until(`partitions shared ${sizes.join('/')}`, 25_000, async () => {
    const held = members.map((member) => partitionsOf(member, topic))
    const distinct = new Set(held.flat()).size === held.flat().length
    return distinct && held.every((partitions, index) => partitions.length === sizes[index]) ? true : null
  })
}

function groupChecks(clients: Clients): Check[] {
  return [
    {
      name: 'a group goes on where it committed',
      run: async () => {
        const topic = await filled(clients, 'goes-on', 5)
        const first = await clients.gather(topic, `${topic}-g`)
        await first.reach(5)
        await first.consumer.disconnect()
        const producer = await clients.producer()
        await producer.send({ topic, messages: [{ value: '5' }, { value: '6' }] })
        const second = await clients.gather(topic, `${topic}-g`)
        await second.reach(2)
        expectEqual(second.values(), ['5', '6'], 'values of the second member')
      },
    },
    {
      name: 'two members share the partitions, and one takes over',
      run: async () => {
        const topic = await filled(clients, 'two', 40, 4)
        const first = await clients.gather(topic, `${topic}-g`)
        await shared([first], topic, [4])
        const second = await clients.gather(topic, `${topic}-g`)
        await shared([first, second], topic, [2, 2])
        await first.consumer.disconnect()
        await shared([second], topic, [4])
        const seen = new Set([...first.values(), ...second.values()])
        await until('all values', 15_000, async () => {
          for (const value of second.values()) seen.add(value)
          return seen.size === 40 ? true : null
        })
      },
      limitMs: 90_000,
    },
    {
      name: 'two groups read the same topic independently',
      run: async () => {
        const topic = await filled(clients, 'independent', 6)
        const groups = [await clients.gather(topic, `${topic}-a`), await clients.gather(topic, `${topic}-b`)]
        for (const group of groups) {
          await group.reach(6)
          expectEqual(group.values(), numbers(0, 6), 'values')
        }
      },
    },
    {
      name: 'commitOffsets decides where the next member begins',
      run: async () => {
        const topic = await filled(clients, 'manual', 6)
        const groupId = `${topic}-g`
        const consumer = await clients.consumer({ groupId })
        await consumer.subscribe({ topics: [topic], fromBeginning: true })
        let seen = 0
        await consumer.run({ autoCommit: false, eachMessage: async () => void seen++ })
        await until('six records', 15_000, async () => (seen >= 6 ? true : null))
        await consumer.commitOffsets([{ topic, partition: 0, offset: '4', metadata: 'by hand' }])
        await consumer.disconnect()
        const next = await clients.gather(topic, groupId)
        await next.reach(2)
        expectEqual(next.values(), ['4', '5'], 'values after the commit')
      },
    },
    {
      name: 'an idle member stays in the group by its heartbeats',
      run: async () => {
        const topic = await filled(clients, 'idle', 1)
        const member = await clients.gather(topic, `${topic}-g`, { sessionTimeout: 6_000, heartbeatInterval: 400 })
        await member.reach(1)
        await new Promise((resolve) => setTimeout(resolve, 7_500))
        expectEqual(member.joins, 1, 'joins')
      },
    },
  ]
}

function positionChecks(clients: Clients): Check[] {
  return [
    {
      name: 'a new group that asks for the end sees only what comes after',
      run: async () => {
        const topic = await filled(clients, 'latest', 5)
        const consumer = await clients.consumer({ groupId: `${topic}-g` })
        await consumer.subscribe({ topics: [topic], fromBeginning: false })
        const seen: string[] = []
        await consumer.run({ eachMessage: async ({ message }) => void seen.push(String(message.value)) })
        const producer = await clients.producer()
        let sent = 5
        await until('a later record', 15_000, async () => {
          await producer.send({ topic, messages: [{ value: `${sent++}` }] })
          return seen.length > 0 ? true : null
        })
        expect(!seen.some((value) => Number(value) < 5), `saw ${seen.join(',')}`)
      },
    },
    {
      name: 'seek replays',
      run: async () => {
        const topic = await filled(clients, 'seek', 6)
        const member = await clients.gather(topic, `${topic}-g`)
        await member.reach(6)
        member.consumer.seek({ topic, partition: 0, offset: '3' })
        await member.reach(9)
        expectEqual(member.values(), [...numbers(0, 6), ...numbers(3, 6)], 'values')
      },
    },
    {
      name: 'pause and resume',
      run: async () => {
        const topic = await filled(clients, 'pause', 3)
        const member = await clients.gather(topic, `${topic}-g`)
        await member.reach(3)
        member.consumer.pause([{ topic }])
        const producer = await clients.producer()
        await producer.send({ topic, messages: [{ value: '3' }] })
        await new Promise((resolve) => setTimeout(resolve, 1_000))
        expectEqual(member.values().length, 3, 'records while paused')
        member.consumer.resume([{ topic }])
        await member.reach(4)
      },
    },
    {
      name: 'eachBatch sees offsets, high watermark and lag',
      run: async () => {
        const topic = await filled(clients, 'batch', 50)
        const consumer = await clients.consumer({ groupId: `${topic}-g` })
        await consumer.subscribe({ topics: [topic], fromBeginning: true })
        const seen: number[] = []
        let high = ''
        await consumer.run({
          eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
            high = batch.highWatermark
            for (const message of batch.messages) {
              seen.push(Number(message.offset))
              resolveOffset(message.offset)
            }
            await heartbeat()
          },
        })
        await until('fifty records', 15_000, async () => (seen.length >= 50 ? true : null))
        expectEqual(seen, numbers(0, 50).map(Number), 'offsets')
        expectEqual(high, '50', 'high watermark')
      },
    },
    {
      name: 'a subscription by pattern',
      run: async () => {
        const topic = await filled(clients, 'pattern', 2)
        const consumer = await clients.consumer({ groupId: `${topic}-g` })
        await consumer.subscribe({
          topics: [new RegExp(`^kafkajs-patt.*${clients.context.tag}$`)],
          fromBeginning: true,
        })
        let seen = 0
        await consumer.run({ eachMessage: async () => void seen++ })
        await until('two records', 15_000, async () => (seen === 2 ? true : null))
      },
    },
    {
      name: 'small fetches: maxBytesPerPartition below a batch still makes progress',
      run: async () => {
        const topic = await clients.topic('small-fetch')
        const producer = await clients.producer()
        const value = 'x'.repeat(5_000)
        for (let round = 0; round < 4; round++) await producer.send({ topic, messages: [{ value }, { value }] })
        const reads = await clients.readAll(topic, 8, { maxBytesPerPartition: 1_024 })
        expectEqual(
          reads.map((read) => read.offset),
          numbers(0, 8).map(Number),
          'offsets',
        )
      },
    },
    {
      name: 'a consumer of two topics',
      run: async () => {
        const topics = [await filled(clients, 'both-a', 3), await filled(clients, 'both-b', 3)]
        const consumer = await clients.consumer({ groupId: clients.name('both') })
        await consumer.subscribe({ topics, fromBeginning: true })
        const seen: string[] = []
        await consumer.run({ eachMessage: async ({ topic, message }) => void seen.push(`${topic}/${message.offset}`) })
        await until('six records', 15_000, async () => (new Set(seen).size === 6 ? true : null))
      },
    },
  ]
}

export function consuming(clients: Clients): Check[] {
  return [...groupChecks(clients), ...positionChecks(clients)]
}
