// Rows of docs/one-namespace.md: retention against what is not acknowledged, and settings seen from the other side.
// Promises: each row stands alone, on names of its own.
// Does not know: in which broker it runs.

import type { GetMessage } from 'amqplib'
import { expect } from 'vitest'
import { eventually, type Row, type Sides } from './one-namespace.ts'

const small = { 'segment.bytes': '1024' }
/** As much as keeps a few of the messages. */
const tight = { ...small, 'retention.bytes': '1500' }
const bodies = Array.from({ length: 10 }, (_, at) => `${at} `.padEnd(300, '.'))

/** A topic of Kafka's with ten records, each in a batch of its own. */
async function filled(sides: Sides, topic: string): Promise<void> {
  await sides.createTopic(topic, small)
  for (const body of bodies) await sides.produce(topic, body)
}

const trimmed = (sides: Sides, topic: string): Promise<void> =>
  eventually(`a trim of ${topic}`, async () => (await sides.bounds(topic)).low > 0)

/** Everything in a queue of dead letters, with the reason and queue of each death. */
async function graves(sides: Sides, queue: string): Promise<readonly string[]> {
  const channel = await sides.channel()
  const all: string[] = []
  for (let got = await channel.get(queue); got !== false; got = await channel.get(queue)) {
    const [death] = got.properties.headers?.['x-death'] ?? []
    all.push(`${got.content.toString().split(' ')[0]} ${String(death?.reason)} ${String(death?.queue)}`)
    channel.ack(got)
  }
  return all
}

const deadLetters = (key: string) => ({ 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': key })

export const retentionRows: readonly Row[] = [
  {
    name: 'Retention against unacknowledged',
    steps: async (sides) => {
      await filled(sides, 'aged')
      expect(await sides.declare('aged')).toBe(10)
      const channel = await sides.channel()
      const first = (await channel.get('aged')) as GetMessage
      await sides.alter('aged', tight)
      await trimmed(sides, 'aged')
      const { low, high } = await sides.bounds('aged')
      const left = (await channel.checkQueue('aged')).messageCount
      expect([left, high]).toEqual([high - low, 10])
      // The acknowledgement of one that is gone is none the worse.
      channel.ack(first)
      expect(await sides.workOff('aged')).toEqual(bodies.slice(low))
      expect((await channel.checkQueue('aged')).messageCount).toBe(0)
    },
  },
  {
    name: 'Dead letters of retention',
    steps: async (sides) => {
      await sides.declare('graves')
      await filled(sides, 'buried')
      await sides.declare('buried', { arguments: deadLetters('graves') })
      const channel = await sides.channel()
      const first = (await channel.get('buried')) as GetMessage
      // An admin of Kafka's deletes records: retention too.
      expect(await sides.deleteRecords('buried', 3)).toBe('deleted')
      expect(await sides.bounds('buried')).toEqual({ low: 3, high: 10 })
      const dead = [0, 1, 2].map((at) => `${at} retention buried`)
      expect(await graves(sides, 'graves')).toEqual(dead)
      channel.ack(first)
      expect((await channel.checkQueue('buried')).messageCount).toBe(7)
      // Also where nobody opened the queue since the start.
      await sides.restart()
      await sides.alter('buried', tight)
      await eventually('a trim', async () => (await sides.bounds('buried')).low > 3)
      const { low } = await sides.bounds('buried')
      const more = Array.from({ length: low - 3 }, (_, at) => `${at + 3} retention buried`)
      expect(await graves(sides, 'graves')).toEqual(more)
      expect(await sides.workOff('buried')).toEqual(bodies.slice(low))
    },
  },
  {
    name: 'Holding what is unacknowledged',
    steps: async (sides) => {
      await filled(sides, 'holding')
      await sides.declare('holding', { arguments: { 'x-hold': true } })
      await sides.alter('holding', tight)
      // What comes later in the same round of retention is trimmed.
      await filled(sides, 'holding-not')
      await sides.alter('holding-not', tight)
      await trimmed(sides, 'holding-not')
      expect(await sides.bounds('holding')).toEqual({ low: 0, high: 10 })
      expect(await sides.deleteRecords('holding', 3)).toBe('POLICY_VIOLATION')
      await sides.restart()
      expect(await sides.workOff('holding')).toEqual(bodies)
      await trimmed(sides, 'holding')
    },
  },
  {
    name: 'Settings of either side',
    steps: async (sides) => {
      const declaration = { 'x-message-ttl': 60_000, 'x-max-length': 1000, 'x-overflow': 'reject-publish' }
      await sides.declare('told', { arguments: { ...declaration, ...deadLetters('told-dead'), 'x-expires': 600_000 } })
      expect(await sides.settings('told')).toMatchObject({
        'queue.type': 'classic',
        'queue.message.ttl.ms': '60000',
        'queue.max.length': '1000',
        'queue.overflow': 'reject-publish',
        'queue.expires.ms': '600000',
        'queue.dead.letter.exchange': '',
        'queue.dead.letter.routing.key': 'told-dead',
      })
      // They are told there, not set.
      await expect(sides.alter('told', { 'queue.max.length': '5' })).rejects.toThrow()
      await sides.createTopic('told-of-kafka', { 'retention.ms': '86400000' })
      expect(await sides.settings('told-of-kafka')).not.toHaveProperty('queue.type')
      await sides.declare('told-of-kafka', { arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 3 } })
      expect(await sides.settings('told-of-kafka')).toMatchObject({
        'retention.ms': '86400000',
        'queue.type': 'quorum',
        'queue.delivery.limit': '3',
      })
    },
  },
]
