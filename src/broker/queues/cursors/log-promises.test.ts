// When calls about exchanges of type x-log are answered: after what they promise is committed, whoever else asked before.
// Promises: a stub store that commits when it is told to.
// Does not know: protocols; what such exchanges do (log-desk.test.ts).

import { expect, test } from 'vitest'
import { openBroker } from '../../broker.ts'
import { testIdentity, testWorld, turns } from '../../broker-world.contract.ts'
import { StubStore } from '../../stub-store.contract.ts'

const exchange = { name: 'e', type: 'x-log', durable: true, autoDelete: false, internal: false, arguments: [] }

async function stage() {
  const store = new StubStore()
  const broker = await openBroker(testWorld(), store, {})
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
