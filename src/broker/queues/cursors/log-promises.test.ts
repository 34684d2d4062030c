// What is told about exchanges of type x-log: calls are answered after what they promise is committed, whoever else asked
// before; what a binding drops is counted once.
// Promises: a stub store that commits when it is told to.
// Does not know: protocols; what such exchanges do (log-desk.test.ts).

import { expect, test } from 'vitest'
import { fieldTable, int32Field, textField } from '../../../base/fields.ts'
import { noProperties } from '../../../base/properties.ts'
import { openBroker } from '../../broker.ts'
import { testIdentity, testWorld, turns } from '../../broker-world.contract.ts'
import { StubStore } from '../../stub-store.contract.ts'

const exchange = { name: 'e', type: 'x-log', durable: true, autoDelete: false, internal: false, arguments: [] }

async function stage(world = testWorld()) {
  const store = new StubStore()
  const broker = await openBroker(world, store, {})
  const session = broker.session(testIdentity)
  await session.createTopics([{ name: 'e', partitions: 1, replicationFactor: 1, settings: new Map() }], false)
  return { store, calls: session.queues }
}

/** Two ask for the same while nothing is committed, then everything is refused. */
async function twice(store: StubStore, call: () => Promise<unknown>): Promise<readonly unknown[]> {
  store.manual = true
  let told = 0
  const both = [0, 1].map(async () => {
    const answer = await call()
    told++
    return answer
  })
  await turns(10)
  expect(told).toBe(0)
  store.fail('full')
  store.manual = false
  return Promise.all(both)
}

test('one that is declared already is answered when that is stored', async () => {
  const { store, calls } = await stage()
  const answers = await twice(store, () => calls.declareExchange(exchange))
  expect(answers).toMatchObject([{ refused: 'storageFailed' }, { refused: 'storageFailed' }])
})

test('one that is deleted already is answered when that is stored', async () => {
  const { store, calls } = await stage()
  const made = { ...exchange, name: 'made' }
  expect(await calls.declareExchange(made)).toBe(true)
  const answers = await twice(store, () => calls.deleteExchange('made', false))
  const refused = { refused: expect.stringMatching(/^storage/) as string }
  expect(answers).toMatchObject([refused, refused])
})

test('what goes nowhere is counted once, however often what is before it is tried', async () => {
  const world = testWorld()
  const { calls } = await stage(world)
  await calls.declareExchange(exchange)
  await calls.declareExchange({ ...exchange, name: 'x', type: 'direct' })
  const full = fieldTable({ 'x-max-length': int32Field(1), 'x-overflow': textField('reject-publish') })
  await calls.declareQueue({ name: 'full', durable: true, exclusive: false, autoDelete: false, arguments: full })
  const binding = { destination: 'full', destinationKind: 'queue' as const, routingKey: 'full', arguments: [] }
  await calls.bind({ ...binding, source: 'x' })
  await calls.bind({ ...binding, source: 'e', routingKey: '#', destination: 'x', destinationKind: 'exchange' })
  const channel = calls.openChannel({ hasRoom: true, deliver: () => undefined, cancelled: () => undefined })
  for (const routingKey of ['full', 'full', 'nowhere'])
    channel.publish({ exchange: 'e', routingKey, properties: noProperties, body: [], bodyBytes: 0 })
  const unroutable = (): number => world.trace.counters().get('cursors.dropped.unroutable') ?? 0
  for (let round = 0; round < 5; round++) {
    await turns(20)
    world.clock.advance(2500)
  }
  expect(unroutable()).toBe(0)
  for (let taken = 0; taken < 2; taken++) {
    await channel.get('full', true)
    world.clock.advance(2500)
    await turns(20)
  }
  expect(unroutable()).toBe(1)
})
