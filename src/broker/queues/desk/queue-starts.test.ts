// Where queues over topics begin, through the door: over partitions, crashes and refused writes.
// Promises: what a start asks for is found when the queue is declared, and is the same for ever after.
// Does not know: protocols, engines.

import { expect, test } from 'vitest'
import type { Field, FieldTable } from '../../../base/fields.ts'
import { openBroker } from '../../broker.ts'
import { testBatch, testIdentity, testWorld, turns } from '../../broker-world.contract.ts'
import { StubStore } from '../../stub-store.contract.ts'

const begin = (value: Field | undefined): FieldTable => (value === undefined ? [] : [{ name: 'x-start', value }])
const word = (said: string): Field => ({ type: 'text', value: Buffer.from(said) })
const at = (offset: number | bigint): Field => ({ type: 'int64', value: offset })
const since = (seconds: number | bigint): Field => ({ type: 'timestamp', value: seconds })

/** A topic of two partitions with three records in the first and one in the second, a second apart from the beginning on. */
async function bench() {
  let world = testWorld()
  const store = new StubStore()
  const open = async () => (await openBroker(world, store, {})).session(testIdentity)
  let session = await open()
  const produce = async (partition: number, name = 't') => {
    await session.produce({ topic: { name }, partition, batch: testBatch(world.clock), acks: -1 })
    world.clock.advance(1000)
  }
  await session.createTopics([{ name: 't', partitions: 2, replicationFactor: 1, settings: new Map() }], false)
  const startedAtSeconds = world.clock.nowMs() / 1000
  for (const partition of [0, 0, 0, 1]) await produce(partition)
  return {
    store,
    startedAtSeconds,
    produce,
    declare: (start: Field | undefined) =>
      session.queues.declareQueue({
        name: 't',
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: begin(start),
      }),
    /** In another process. */
    again: async () => {
      world = testWorld(world.clock.nowMs())
      session = await open()
    },
    counted: (name: string) => world.trace.counters().get(name),
    session: () => session,
  }
}

test.each([
  ['nothing said', () => undefined, 4],
  ['first', () => word('first'), 4],
  ['next', () => word('next'), 0],
  ['an offset, in each partition', () => at(1), 2],
  ['an offset beyond all ends', () => at(100), 0],
  ['the time of the first', (seconds: number) => since(seconds), 4],
  ['a time within the first partition', (seconds: number) => since(seconds + 2), 2],
  ['a time that nothing is as young as', (seconds: number) => since(seconds + 60), 0],
  ['the last offset there is', () => at(2n ** 63n - 1n), 0],
  ['the last time there is', () => since(2n ** 64n - 1n), 0],
])('a queue begins at %s', async (_, start, messages) => {
  const { declare, startedAtSeconds, produce, again, store } = await bench()
  expect(await declare(start(startedAtSeconds))).toMatchObject({ messages })
  // Whatever comes after the declaration is in the queue, though nobody opened it before the crash.
  await produce(0)
  await produce(1)
  store.crash()
  await again()
  expect(await declare(start(startedAtSeconds))).toMatchObject({ messages: messages + 2 })
})

test('a start is one append with the declaration: refused, nothing of it is there', async () => {
  const { store, declare, again } = await bench()
  store.manual = true
  const declared = declare(word('next'))
  await turns()
  store.fail('full')
  store.manual = false
  expect(await declared).toMatchObject({ refused: 'storageFull' })
  await turns()
  expect(await declare(undefined)).toMatchObject({ messages: 4 })
  await again()
  expect(await declare(undefined)).toMatchObject({ messages: 4 })
})

test('a queue that begins again after it was deleted begins where it says then', async () => {
  const { declare, session } = await bench()
  expect(await declare(word('next'))).toMatchObject({ messages: 0 })
  await session().queues.deleteQueue('t', { ifUnused: false, ifEmpty: false })
  expect(await declare(at(1))).toMatchObject({ messages: 2 })
})

test('what the log lost between the declaration and the first look was in the queue, and is counted', async () => {
  const { counted, declare, session, again } = await bench()
  await declare(at(1))
  await again()
  await session().deleteRecords('t', 0, 3)
  expect(await declare(at(1))).toMatchObject({ messages: 0 })
  expect(counted('ledger.closed.retention')).toBe(2)
})

test.each([
  ['x-retention', word('99999999999999Y'), []],
  ['x-retention', { type: 'int64', value: 2n ** 63n - 1n } as Field, []],
  ['x-max-age', word('99999999999999Y'), [{ name: 'x-queue-type', value: word('stream') }]],
] as const)('%s of for ever is a setting that may be changed like any other', async (name, value, more) => {
  const session = (await openBroker(testWorld(), new StubStore(), {})).session(testIdentity)
  const made = { name: 'q', durable: true, exclusive: false, autoDelete: false, arguments: [{ name, value }, ...more] }
  expect(await session.queues.declareQueue(made)).toMatchObject({ messages: 0 })
  const change = { name: 'retention.bytes', operation: 'set', value: '5' } as const
  expect(await session.alterSettings({ kind: 'topic', name: 'q' }, [change], 'incremental', false)).toBe(true)
})
