// Queues that have to let go of messages by themselves, fed by Kafka's clients alone: nobody consumes, asks or publishes.
// Promises: through the door; time passes when it is told to.
// Does not know: what expiry and limits do in a queue that is at work (lanes, channels).

import { expect, test } from 'vitest'
import type { Field } from '../../../base/fields.ts'
import { openBroker } from '../../broker.ts'
import { testBatch, testIdentity, testWorld, turns } from '../../broker-world.contract.ts'
import { isRefusal } from '../../errors.ts'
import { StubStore } from '../../stub-store.contract.ts'

const text = (value: string): Field => ({ type: 'text', value: Buffer.from(value) })
const number = (value: number): Field => ({ type: 'int32', value })
const toDead = { 'x-dead-letter-exchange': text(''), 'x-dead-letter-routing-key': text('dead') }
type Said = Readonly<Record<string, Field>>

async function bench(store = new StubStore()) {
  const world = testWorld()
  const session = (await openBroker(world, store, {})).session(testIdentity)
  const declare = (name: string, said: Said = {}) =>
    session.queues.declareQueue({
      name,
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: Object.entries(said).map(([key, value]) => ({ name: key, value })),
    })
  await declare('dead')
  return {
    session,
    declare,
    make: (name: string) =>
      session.createTopics([{ name, partitions: 1, replicationFactor: 1, settings: new Map() }], false),
    produce: async (values: readonly string[], partition = 0) => {
      const batch = testBatch(world.clock, { values })
      await session.produce({ topic: { name: 'wait' }, partition, batch, acks: -1 })
      for (let at = 0; at < 4; at++) {
        await turns(10)
        world.clock.advance(500)
      }
      await turns(10)
    },
    dead: async () => {
      const counted = await session.queues.checkQueue('dead')
      return isRefusal(counted) ? counted.refused : counted.messages
    },
  }
}

const expiring = { 'x-message-ttl': number(1000), ...toDead }
const short = { 'x-max-length': number(1), ...toDead }

test.each([
  ['expires', expiring, 2],
  ['is too much', short, 1],
] as const)('what %s is dead-lettered, of a topic and of a queue', async (_, said, dead) => {
  const topic = await bench()
  await topic.make('wait')
  await topic.declare('wait', said)
  await topic.produce(['a', 'b'])
  expect(await topic.dead()).toBe(dead)
  const queue = await bench()
  await queue.declare('wait', said)
  await queue.produce(['a', 'b'])
  expect(await queue.dead()).toBe(dead)
})

test('partitions that come later are no exception, nor is a further ledger over them', async () => {
  const { session, make, declare, produce, dead } = await bench()
  await make('wait')
  await declare('own', { 'x-log': text('wait'), ...short })
  await session.createPartitions('wait', 2, false)
  await produce(['a', 'b', 'c'], 1)
  expect(await dead()).toBe(2)
})

test('a policy that comes later holds for those that are fed already', async () => {
  const { session, declare, produce, dead } = await bench()
  await declare('wait')
  await produce(['a', 'b', 'c'])
  await session.queues.setPolicy(
    {
      name: 'p',
      pattern: '^wait$',
      appliesTo: 'queues',
      priority: 0,
      definition: { 'max-length': 1, 'dead-letter-exchange': '', 'dead-letter-routing-key': 'dead' },
    },
    false,
  )
  await produce(['d'])
  expect(await dead()).toBe(3)
})
