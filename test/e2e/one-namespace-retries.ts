// Rows of docs/one-namespace.md: what comes back to a queue over a topic, and what dies there.
// Promises: each row stands alone, on names of its own.
// Does not know: in which broker it runs; shapes of delays, what is sent back (retry.test.ts, redrive.test.ts).

import type { ConsumeMessage } from 'amqplib'
import { expect } from 'vitest'
import type { Row, Sides } from './one-namespace.ts'
import { Arrivals } from './place.ts'

const retries = { 'x-delayed-retry-type': 'all', 'x-delayed-retry-min': 150 }

/** A consumer that sends back what is `bad` and acknowledges the rest. */
async function tries(sides: Sides, queue: string): Promise<Arrivals<ConsumeMessage & { readonly atMs: number }>> {
  const channel = await sides.channel()
  const all = new Arrivals<ConsumeMessage & { readonly atMs: number }>()
  await channel.consume(queue, (message) => {
    if (message === null) return
    all.add({ ...message, atMs: performance.now() })
    if (message.content.toString() === 'bad') channel.reject(message, true)
    else channel.ack(message)
  })
  return all
}

const bodiesOf = (all: readonly ConsumeMessage[]): string[] => all.map(({ content }) => content.toString())

export const retryRows: readonly Row[] = [
  {
    name: 'Delayed retry',
    steps: async (sides) => {
      await sides.createTopic('retried', {}, 2)
      await sides.produceOne('retried', { key: 'a', value: 'bad', partition: 1 })
      await sides.produceOne('retried', { key: 'b', value: 'good', partition: 1 })
      await sides.declare('retried', { arguments: { ...retries, 'x-delivery-limit': 1 } })
      expect(await sides.settings('retried')).toMatchObject({
        'queue.delayed.retry.type': 'all',
        'queue.delayed.retry.min.ms': '150',
        'queue.delayed.retry.backoff': 'linear',
      })
      const all = await (await tries(sides, 'retried')).until('three tries', ({ length }) => length === 3)
      expect(bodiesOf(all)).toEqual(['bad', 'good', 'bad'])
      expect(all[2].atMs - all[0].atMs).toBeGreaterThanOrEqual(149)
      expect(all[2].properties.headers).toMatchObject({ 'x-delivery-count': 1, 'x-partition': 1 })
      expect(await sides.read('retried', 2)).toHaveLength(2)
    },
  },
  {
    name: 'Dead letters to a topic',
    steps: async (sides) => {
      await sides.createTopic('dying', {}, 3)
      await sides.produceOne('dying', { key: 'k', value: 'bad', partition: 2, headers: { trace: 't' } })
      await sides.declare('dying', { arguments: { 'x-delivery-limit': 0, 'x-dead-letter-topic': 'dying.dead' } })
      expect(await sides.settings('dying')).toMatchObject({ 'queue.dead.letter.topic': 'dying.dead' })
      await (await tries(sides, 'dying')).until('a try', ({ length }) => length === 1)
      const [record] = await sides.read('dying.dead', 1)
      expect([String(record.key), String(record.value)]).toEqual(['k', 'bad'])
      expect(
        Object.fromEntries(Object.entries(record.headers ?? {}).map(([name, value]) => [name, String(value)])),
      ).toMatchObject({
        trace: 't',
        'x-source-topic': 'dying',
        'x-source-partition': '2',
        'x-source-offset': '0',
        'x-last-death-reason': 'delivery_limit',
      })
      expect(await sides.declare('dying.dead')).toBe(1)
      expect(await sides.workOff('dying.dead')).toEqual(['bad'])
    },
  },
]
