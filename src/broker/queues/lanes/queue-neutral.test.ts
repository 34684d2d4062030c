// Quorum queues, whose messages have a priority though none is said: with records of Kafka's clients, and going back.
// Promises: through the door.
// Does not know: how a ledger keeps priorities (ledgers).

import { expect, test } from 'vitest'
import { writeProperties } from '../../../base/properties.ts'
import { openBroker } from '../../broker.ts'
import { testBatch, testIdentity, testWorld, turns } from '../../broker-world.contract.ts'
import { isRefusal } from '../../errors.ts'
import { StubStore } from '../../stub-store.contract.ts'

async function bench() {
  const world = testWorld()
  const store = new StubStore()
  const session = (await openBroker(world, store, {})).session(testIdentity)
  const quorum = { name: 'x-queue-type', value: { type: 'text', value: Buffer.from('quorum') } } as const
  const facts = { name: 'q', durable: true, exclusive: false, autoDelete: false, arguments: [quorum] }
  await session.queues.declareQueue(facts)
  const channel = session.queues.openChannel({ hasRoom: true, deliver: () => {}, cancelled: () => {} })
  return {
    session,
    produce: async (value: string) => {
      const batch = testBatch(world.clock, { values: [value] })
      await session.produce({ topic: { name: 'q' }, partition: 0, batch, acks: -1 })
    },
    publish: async (value: string, priority?: number) => {
      channel.publish({
        exchange: '',
        routingKey: 'q',
        properties: writeProperties(priority === undefined ? {} : { priority }),
        body: [Buffer.from(value)],
        bodyBytes: value.length,
      })
      await turns(10)
    },
    all: async () => {
      const bodies: string[] = []
      for (;;) {
        const got = await channel.get('q', true)
        if (got === undefined || isRefusal(got)) return bodies
        bodies.push(got.body.toString())
      }
    },
  }
}

test('what a Kafka client writes and what is published without a priority come in the order they were stored', async () => {
  const { produce, publish, all } = await bench()
  await produce('k1')
  await publish('a1')
  await publish('low', 0)
  await publish('less', 3)
  await publish('high', 5)
  await publish('higher', 31)
  await publish('just as said', 4)
  await produce('k2')
  await publish('highest', 200)
  await publish('a2')
  expect(await all()).toEqual(['higher', 'highest', 'high', 'k1', 'a1', 'just as said', 'k2', 'a2', 'less', 'low'])
})

test('a quorum queue goes back, to all that is there of it', async () => {
  const { session, produce, publish, all } = await bench()
  await publish('a')
  await produce('b')
  await publish('c')
  expect(await all()).toEqual(['a', 'b', 'c'])
  expect(await session.queues.rewindQueue('q', { kind: 'first' })).toMatchObject([{ offset: 0 }])
  await publish('d')
  expect(await all()).toEqual(['a', 'b', 'c', 'd'])
})
