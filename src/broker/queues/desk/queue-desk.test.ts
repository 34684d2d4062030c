// Queues through the door: declared, owned, leased, deleted; together with topics, over crashes and refused writes.
// Promises: every refusal in RabbitMQ's words; one atomic append where several things change.
// Does not know: protocols; what a queue does with messages beyond counting them.

import { expect, test } from 'vitest'
import type { FieldTable } from '../../../base/fields.ts'
import { partitionOfKey } from '../../../base/murmur2.ts'
import { noProperties, writeProperties } from '../../../base/properties.ts'
import { openBroker, type Broker } from '../../broker.ts'
import { testBatch, testIdentity, testWorld, turns, type TestWorld } from '../../broker-world.contract.ts'
import type { Session } from '../../door.ts'
import { isRefusal } from '../../errors.ts'
import type { Channel, ChannelSink, Consumer, DeclareQueueCall } from '../../queue-door.ts'
import { StubStore } from '../../stub-store.contract.ts'

interface Bench {
  readonly world: TestWorld
  readonly store: StubStore
  broker: Broker
  one: Session
  other: Session
  again(): Promise<void>
}

async function bench(store = new StubStore()): Promise<Bench> {
  const world = testWorld()
  const open = async (): Promise<Pick<Bench, 'broker' | 'one' | 'other'>> => {
    const broker = await openBroker(world, store, {})
    return { broker, one: broker.session(testIdentity), other: broker.session(testIdentity) }
  }
  const made: Bench = {
    world,
    store,
    ...(await open()),
    again: async () => void Object.assign(made, await open()),
  }
  return made
}

const text = (value: string): FieldTable[number]['value'] => ({ type: 'text', value: Buffer.from(value) })
const number = (value: number): FieldTable[number]['value'] => ({ type: 'int32', value })
const args = (said: Readonly<Record<string, string | number>>): FieldTable =>
  Object.entries(said).map(([name, value]) => ({
    name,
    value: typeof value === 'string' ? text(value) : number(value),
  }))
const queue = (name: string, over: Partial<DeclareQueueCall> = {}): DeclareQueueCall => ({
  name,
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: [],
  ...over,
})
const always = { ifUnused: false, ifEmpty: false }

const sink = (): ChannelSink & { readonly ended: string[] } => {
  const ended: string[] = []
  return { hasRoom: true, ended, deliver: () => undefined, cancelled: (_tag, reason) => void ended.push(reason) }
}

async function publish(channel: Channel, name: string, body = 'x'): Promise<void> {
  const bytes = Buffer.from(body)
  channel.publish({ exchange: '', routingKey: name, properties: noProperties, body: [bytes], bodyBytes: bytes.length })
  await turns(8)
}

async function consume(channel: Channel, name: string, exclusive = false): Promise<Consumer> {
  const consumer = await channel.consume({ queue: name, consumerTag: 'c', noAck: false, exclusive, arguments: [] })
  if (consumer === undefined || isRefusal(consumer)) throw new Error('not consumed')
  consumer.start()
  return consumer
}

const locked =
  "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."
const missing = { refused: 'queueMissing', why: "no queue 'q' in vhost '/'" }

// --- declaring ----------------------------------------------------------------------------------------------------

test('a queue is declared once, and counted when declared again or passively', async () => {
  const { one, other } = await bench()
  expect(await one.queues.declareQueue(queue('q'))).toEqual({ name: 'q', messages: 0, consumers: 0 })
  const channel = one.queues.openChannel(sink())
  await publish(channel, 'q')
  await publish(channel, 'q')
  expect(await other.queues.declareQueue(queue('q'))).toEqual({ name: 'q', messages: 2, consumers: 0 })
  await consume(channel, 'q')
  await turns()
  // What was handed out is not ready.
  expect(await other.queues.checkQueue('q')).toEqual({ name: 'q', messages: 0, consumers: 1 })
})

test('a count waits for what was published before', async () => {
  const { one, store } = await bench()
  await one.queues.declareQueue(queue('q'))
  await publish(one.queues.openChannel(sink()), 'q')
  store.manual = true
  void publish(one.queues.openChannel(sink()), 'q')
  await turns()
  const counted = one.queues.checkQueue('q')
  let isCounted = false
  void counted.then(() => (isCounted = true))
  await turns()
  expect(isCounted).toBe(false)
  store.manual = false
  store.commit()
  expect(await counted).toMatchObject({ messages: 2 })
})

test('a queue without a name gets one of the broker’s that nobody guesses', async () => {
  const { one } = await bench()
  const declared = await one.queues.declareQueue(queue('', { exclusive: true }))
  expect(declared).toMatchObject({ name: expect.stringMatching(/^amq\.gen-[A-Za-z0-9_-]{22}$/) })
  const name = isRefusal(declared) ? '' : declared.name
  expect(await one.queues.checkQueue(name)).toMatchObject({ name })
  expect(await one.queues.declareQueue(queue(name, { exclusive: true }))).toEqual({
    refused: 'reservedName',
    why: `queue name '${name}' contains reserved prefix 'amq.*'`,
  })
  expect(await one.queues.declareQueue(queue('', { arguments: args({ 'x-queue-type': 'quorum' }) }))).toEqual({
    refused: 'invalidArgument',
    why: 'Cannot declare a server-named queue for type rabbit_quorum_queue',
  })
})

test('line ends are taken out of names; other names may be what they like', async () => {
  const { one } = await bench()
  expect(await one.queues.declareQueue(queue('a\r\nb'))).toMatchObject({ name: 'ab' })
  expect(await one.queues.declareQueue(queue('søknader/λ\0'))).toMatchObject({ name: 'søknader/λ\0' })
  expect(await one.queues.declareQueue(queue('λ'.repeat(128)))).toMatchObject({ refused: 'invalidArgument' })
})

test('what was declared otherwise is said in RabbitMQ’s words, and changes nothing', async () => {
  const { one } = await bench()
  await one.queues.declareQueue(queue('q'))
  expect(await one.queues.declareQueue(queue('q', { durable: false }))).toEqual({
    refused: 'inequivalentDeclaration',
    why: "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
  })
  expect(await one.queues.declareQueue(queue('q', { exclusive: true }))).toEqual({
    refused: 'queueLocked',
    why: locked,
  })
  // What a queue is declared with is judged when it is made; later it is compared.
  expect(await one.queues.declareQueue(queue('q', { arguments: args({ 'x-expires': 0 }) }))).toMatchObject({
    refused: 'inequivalentDeclaration',
  })
  expect(await one.queues.declareQueue(queue('r', { arguments: args({ 'x-expires': 0 }) }))).toMatchObject({
    refused: 'invalidArgument',
  })
})

test('one name declared by many at once is one queue', async () => {
  const { one, other, store } = await bench()
  const before = store.list().length
  const outcomes = await Promise.all([one, other, one].map((session) => session.queues.declareQueue(queue('q'))))
  expect(outcomes.every((outcome) => !isRefusal(outcome))).toBe(true)
  expect(store.list().length).toBe(before + 1)
})

// --- exclusive queues ---------------------------------------------------------------------------------------------

test('an exclusive queue is nobody else’s, and gone when its client is', async () => {
  const { one, other, store } = await bench()
  await one.queues.declareQueue(queue('q', { exclusive: true }))
  const refused = { refused: 'queueLocked', why: locked }
  const bind = {
    source: 'amq.direct',
    destination: 'q',
    destinationKind: 'queue',
    routingKey: 'k',
    arguments: [],
  } as const
  expect(await other.queues.declareQueue(queue('q', { exclusive: true }))).toEqual(refused)
  expect(await other.queues.declareQueue(queue('q'))).toEqual(refused)
  expect(await other.queues.checkQueue('q')).toEqual(refused)
  expect(await other.queues.purgeQueue('q')).toEqual(refused)
  expect(await other.queues.deleteQueue('q', always)).toEqual(refused)
  expect(await other.queues.bind(bind)).toEqual(refused)
  expect(await other.queues.unbind(bind)).toBe(true)
  expect(await other.queues.openChannel(sink()).get('q', true)).toEqual(refused)
  expect(await one.queues.bind(bind)).toBe(true)
  expect(await other.queues.unbind(bind)).toEqual(refused)
  // Durable or not says nothing of an exclusive queue.
  expect(await one.queues.declareQueue(queue('q', { exclusive: true, durable: false }))).toMatchObject({ name: 'q' })
  const logs = store.list().length
  await one.queues.close()
  expect(await other.queues.checkQueue('q')).toEqual(missing)
  await turns()
  expect(store.list().length).toBe(logs - 1)
  expect(other.queues.listBindings()).toEqual([])
  expect(await other.queues.declareQueue(queue('q', { exclusive: true }))).toMatchObject({ name: 'q' })
})

test('an exclusive queue that is being made when its client leaves does not stay', async () => {
  const { one, other, store } = await bench()
  const before = store.list().length
  const declared = one.queues.declareQueue(queue('q', { exclusive: true }))
  await one.queues.close()
  await declared
  await turns()
  expect(await other.queues.checkQueue('q')).toEqual(missing)
  expect(store.list().length).toBe(before)
})

// --- deleting -----------------------------------------------------------------------------------------------------

test('deleting says how many messages went, is refused where asked for, and is no fault twice', async () => {
  const { one } = await bench()
  await one.queues.declareQueue(queue('q'))
  const told = sink()
  const channel = one.queues.openChannel(told)
  await publish(channel, 'q')
  expect(await one.queues.deleteQueue('q', { ifUnused: true, ifEmpty: true })).toEqual({
    refused: 'queueNotEmpty',
    why: "queue 'q' in vhost '/' not empty",
  })
  await consume(channel, 'q')
  expect(await one.queues.deleteQueue('q', { ifUnused: true, ifEmpty: true })).toEqual({
    refused: 'queueInUse',
    why: "queue 'q' in vhost '/' in use",
  })
  await publish(channel, 'q')
  await channel.cancel('c')
  expect(await one.queues.deleteQueue('q', always)).toBe(0)
  expect(await one.queues.deleteQueue('q', always)).toBe(0)
  expect(await one.queues.checkQueue('q')).toEqual(missing)
  expect(await one.queues.purgeQueue('q')).toEqual(missing)
})

test('a queue with a message that waits for its next try is not taken for empty', async () => {
  const { one } = await bench()
  await one.queues.declareQueue(
    queue('q', { arguments: args({ 'x-delayed-retry-type': 'all', 'x-delayed-retry-min': 1000 }) }),
  )
  const channel = one.queues.openChannel(sink())
  await publish(channel, 'q')
  await channel.get('q', false)
  channel.reject(1, false, true, true)
  expect(await one.queues.deleteQueue('q', { ifUnused: false, ifEmpty: true })).toMatchObject({
    refused: 'queueNotEmpty',
  })
  expect(await one.queues.deleteQueue('q', always)).toBe(0)
})

test('a queue with a partition that cannot be opened is not taken for empty', async () => {
  const made = await bench()
  await made.one.queues.declareQueue(queue('q', { arguments: args({ 'x-partitions': 2 }) }))
  const channel = made.one.queues.openChannel(sink())
  for (let count = 0; count < 2; count++) {
    await publish(channel, 'q')
    await turns()
  }
  await made.broker.close()
  const { store } = made
  const openLog = store.open.bind(store)
  store.open = (id, ...rest) => (id.endsWith('-1') ? Promise.reject(new Error('a bad disk')) : openLog(id, ...rest))
  await made.again()
  const only = { ifUnused: false, ifEmpty: true }
  const other = made.one.queues.openChannel(sink())
  await other.get('q', true)
  expect(await made.one.queues.deleteQueue('q', only)).toMatchObject({ refused: 'storageFailed' })
  store.open = openLog
  expect(await made.one.queues.deleteQueue('q', only)).toMatchObject({ refused: 'queueNotEmpty' })
})

test('a queue that was to grow, and could not, stores what it did before; it may grow later', async () => {
  const { one, world, store } = await bench()
  await one.queues.declareQueue(queue('q'))
  const channel = one.queues.openChannel(sink())
  // Of two partitions its key says the second.
  const key = [...'abcdef'].find((one) => partitionOfKey(Buffer.from(one), 2) === 1)!
  const properties = writeProperties({ headers: [{ name: 'x-key', value: text(key) }] })
  const publishKeyed = async (): Promise<unknown> => {
    const receipt = channel.publish({ exchange: '', routingKey: 'q', properties, body: [], bodyBytes: 0 })
    await turns(20)
    return typeof receipt === 'string' || isRefusal(receipt) ? receipt : receipt.state
  }
  expect(await publishKeyed()).toBe('stored')
  store.manual = true
  const growing = one.createPartitions('q', 2, false)
  await turns(8)
  // Somebody asks for it meanwhile, and the one who publishes stays with what he has.
  const consumer = one.queues.openChannel(sink())
  await consume(consumer, 'q')
  const meanwhile = channel.publish({ exchange: '', routingKey: 'q', properties, body: [], bodyBytes: 0 })
  await turns(8)
  store.fail('full')
  store.manual = false
  expect(isRefusal(await growing)).toBe(true)
  await turns(20)
  expect(typeof meanwhile === 'string' || isRefusal(meanwhile) || meanwhile.state).toBe('refused')
  expect(await publishKeyed()).toBe('stored')
  expect(await one.createPartitions('q', 2, false)).toMatchObject({ partitions: 2 })
  await world.clock.advance(1000)
  expect(await publishKeyed()).toBe('stored')
  expect(
    store
      .list()
      .filter((id) => id.endsWith('-1'))
      .map((id) => Number(store.logs.get(id)?.end)),
  ).toEqual([1])
})

test('consumers hear that their queue is gone', async () => {
  const { one, other } = await bench()
  await one.queues.declareQueue(queue('q'))
  const told = sink()
  await consume(one.queues.openChannel(told), 'q')
  await other.queues.deleteQueue('q', always)
  expect(told.ended).toEqual(['queueDeleted'])
})

test('what quorum queues and streams are not deleted or purged by', async () => {
  const { one } = await bench()
  await one.queues.declareQueue(queue('q', { arguments: args({ 'x-queue-type': 'quorum' }) }))
  expect(await one.queues.deleteQueue('q', { ifUnused: false, ifEmpty: true })).toEqual({
    refused: 'notForThisQueue',
    why: "cannot delete queue 'q' in vhost '/'. queue.delete operations with if-empty flag set are not supported by quorum queues",
  })
  await one.queues.declareQueue(queue('s', { arguments: args({ 'x-queue-type': 'stream' }) }))
  expect(await one.queues.purgeQueue('s')).toEqual({
    refused: 'notForThisQueue',
    why: "queue.purge not supported by stream queues queue 's' in vhost '/'",
  })
  expect(await one.queues.deleteQueue('s', { ifUnused: true, ifEmpty: true })).toBe(0)
})

test('purging takes what is ready', async () => {
  const { one } = await bench()
  await one.queues.declareQueue(queue('q'))
  const channel = one.queues.openChannel(sink())
  for (let count = 0; count < 3; count++) await publish(channel, 'q')
  await channel.get('q', false)
  expect(await one.queues.purgeQueue('q')).toBe(2)
  expect(await one.queues.checkQueue('q')).toMatchObject({ messages: 0 })
})

// --- ending by themselves -----------------------------------------------------------------------------------------

test('an auto-delete queue ends with its last consumer, not before its first', async () => {
  const { one, world } = await bench()
  await one.queues.declareQueue(queue('q', { autoDelete: true }))
  const channel = one.queues.openChannel(sink())
  world.clock.advance(1_000_000)
  await turns()
  expect(await one.queues.checkQueue('q')).toMatchObject({ name: 'q' })
  await consume(channel, 'q')
  await channel.cancel('c')
  await turns()
  expect(await one.queues.checkQueue('q')).toEqual(missing)
})

test('a lease ends when nobody used the queue for as long', async () => {
  const { one, world } = await bench()
  const leased = queue('q', { arguments: args({ 'x-expires': 1000 }) })
  await one.queues.declareQueue(leased)
  const channel = one.queues.openChannel(sink())
  const pass = async (ms: number): Promise<void> => {
    world.clock.advance(ms)
    await turns()
  }
  await pass(900)
  await one.queues.declareQueue(leased)
  await pass(900)
  await channel.get('q', true)
  await pass(900)
  await consume(channel, 'q')
  await pass(5000)
  await pass(900)
  await channel.cancel('c')
  await pass(900)
  expect(await one.queues.checkQueue('q')).toMatchObject({ name: 'q' })
  await pass(1001)
  expect(await one.queues.checkQueue('q')).toEqual(missing)
})

test('a lease goes on after a start, from the start', async () => {
  const made = await bench()
  await made.one.queues.declareQueue(queue('q', { arguments: args({ 'x-expires': 1000 }) }))
  await made.broker.close()
  made.world.clock.advance(5000)
  await made.again()
  made.world.clock.advance(900)
  await turns()
  expect(await made.one.queues.checkQueue('q')).toMatchObject({ name: 'q' })
  made.world.clock.advance(1000)
  await turns()
  expect(await made.one.queues.checkQueue('q')).toEqual(missing)
})

test('a policy gives and takes a lease', async () => {
  const { one, world } = await bench()
  await one.queues.declareQueue(queue('q'))
  const policy = { name: 'p', pattern: '^q$', appliesTo: 'queues', priority: 0, definition: { expires: 1000 } } as const
  expect(await one.queues.setPolicy(policy, false)).toBe(true)
  expect(await one.queues.describeQueue('q')).toMatchObject({ policy: 'p' })
  expect(await one.queues.deletePolicy('p', false)).toBe(true)
  world.clock.advance(5000)
  await turns()
  expect(await one.queues.checkQueue('q')).toMatchObject({ name: 'q' })
  await one.queues.setPolicy(policy, false)
  world.clock.advance(5000)
  await turns()
  expect(await one.queues.checkQueue('q')).toEqual(missing)
})

// --- one namespace ------------------------------------------------------------------------------------------------

test('clients of Kafka see queues that have names for them and are nobody’s own', async () => {
  const { one, other } = await bench()
  for (const call of [
    queue('durable'),
    queue('transient', { durable: false }),
    queue('mine', { exclusive: true }),
    queue('with/slash'),
    queue('', { durable: false }),
  ])
    await one.queues.declareQueue(call)
  expect(other.listTopics().map((topic) => topic.name)).toEqual(['durable', 'transient'])
  expect(other.describeTopic({ name: 'mine' })).toMatchObject({ refused: 'unknownTopic' })
  expect(await other.findOrCreateTopic('mine')).toMatchObject({ refused: 'unknownTopic' })
  const create = (name: string) =>
    other.createTopics([{ name, partitions: 1, replicationFactor: 1, settings: new Map() }], false)
  expect(await create('mine')).toMatchObject([{ refused: 'topicExists' }])
  expect(await create('transient')).toMatchObject([{ refused: 'topicExists' }])
  expect((await one.queues.listQueues()).map((view) => view.name)).toHaveLength(5)
})

test('a queue is a topic with settings of its own; a transient one says that it promises nothing', async () => {
  const { one, store } = await bench()
  await one.queues.declareQueue(queue('q'))
  await one.queues.declareQueue(queue('t', { durable: false }))
  await one.queues.declareQueue(
    queue('s', { arguments: args({ 'x-queue-type': 'stream', 'x-max-age': '1h', 'x-max-length-bytes': 5000 }) }),
  )
  const settings = (name: string): Record<string, string | null> => {
    const views = one.describeSettings({ kind: 'topic', name })
    if (isRefusal(views)) throw new Error(views.why)
    return Object.fromEntries(views.map((view) => [view.name, view.value]))
  }
  expect(settings('q')).toMatchObject({
    'cleanup.policy': 'consumed',
    'max.message.bytes': '17825792',
    durability: 'commit',
  })
  expect(settings('t')).toMatchObject({ 'cleanup.policy': 'consumed', durability: 'scratch' })
  expect(settings('s')).toMatchObject({
    'cleanup.policy': 'delete',
    'retention.ms': '3600000',
    'retention.bytes': '5000',
  })
  const durabilities = [...store.logs.values()].map((log) => log.settings.durability)
  expect(durabilities.filter((one) => one === 'scratch')).toHaveLength(1)
  const change = (name: string, value: string) =>
    one.alterSettings({ kind: 'topic', name: 't' }, [{ name, operation: 'set', value }], 'incremental', false)
  expect(await change('durability', 'commit')).toMatchObject({ refused: 'invalidSetting' })
  expect(await change('segment.bytes', '5000')).toBe(true)
  expect(settings('t')).toMatchObject({ 'segment.bytes': '5000', durability: 'scratch' })
})

test('what a client of Kafka produces to a queue is in the queue', async () => {
  const { one, world } = await bench()
  await one.queues.declareQueue(queue('q'))
  const produced = await one.produce({
    topic: { name: 'q' },
    partition: 0,
    batch: testBatch(world.clock, { count: 3 }),
    acks: -1,
  })
  expect(produced).toMatchObject({ baseOffset: 0 })
  await turns()
  expect(await one.queues.checkQueue('q')).toMatchObject({ messages: 3 })
})

test('a queue declared over a topic of Kafka’s begins at its start; deleted, the topic stays', async () => {
  const { one, world } = await bench()
  await one.findOrCreateTopic('q')
  await one.produce({ topic: { name: 'q' }, partition: 0, batch: testBatch(world.clock, { count: 3 }), acks: -1 })
  expect(await one.queues.checkQueue('q')).toEqual(missing)
  expect(await one.queues.declareQueue(queue('q', { exclusive: true }))).toEqual({
    refused: 'queueLocked',
    why: locked,
  })
  // As durable as the topic, whatever the declaration says; the first says the rest.
  const said = queue('q', { durable: false, arguments: args({ 'x-max-length': 100 }) })
  expect(await one.queues.declareQueue(said)).toEqual({ name: 'q', messages: 3, consumers: 0 })
  expect(await one.queues.declareQueue({ ...said, durable: true })).toMatchObject({ messages: 3 })
  expect(await one.queues.declareQueue(queue('q'))).toMatchObject({ refused: 'inequivalentDeclaration' })
  const told = sink()
  await consume(one.queues.openChannel(told), 'q')
  await one.queues.deleteQueue('q', always)
  expect(told.ended).toEqual(['queueDeleted'])
  expect(one.describeTopic({ name: 'q' })).toMatchObject({ name: 'q', partitions: 1 })
  expect(await one.queues.checkQueue('q')).toEqual(missing)
  // Another queue over it knows nothing of the first.
  expect(await one.queues.declareQueue(queue('q'))).toMatchObject({ messages: 3 })
})

test('a queue has the partitions it was declared with, or those of its topic, and may be given more', async () => {
  const { one } = await bench()
  const declared = (name: string, count: number) =>
    one.queues.declareQueue(queue(name, { arguments: args({ 'x-partitions': count }) }))
  await one.queues.declareQueue(queue('q'))
  expect(await one.createPartitions('q', 2, false)).toMatchObject({ partitions: 2 })
  expect(one.describeTopic({ name: 'q' })).toMatchObject({ partitions: 2 })
  expect(await one.queues.declareQueue(queue('q'))).toMatchObject({ messages: 0 })
  await one.createTopics([{ name: 'three', partitions: 3, replicationFactor: 1, settings: new Map() }], false)
  expect(await declared('three', 2)).toEqual({
    refused: 'inequivalentDeclaration',
    why: "inequivalent arg 'x-partitions' for queue 'three' in vhost '/': received '2' but current is '3'",
  })
  expect(await declared('three', 3)).toMatchObject({ messages: 0 })
  expect(await declared('four', 4)).toMatchObject({ messages: 0 })
  expect(one.describeTopic({ name: 'four' })).toMatchObject({ partitions: 4 })
  expect(await declared('four', 4)).toMatchObject({ messages: 0 })
  expect(await one.queues.declareQueue(queue('four'))).toMatchObject({ refused: 'inequivalentDeclaration' })
  // What it is given later is no argument of it.
  expect(await one.createPartitions('four', 5, false)).toMatchObject({ partitions: 5 })
  expect(await declared('four', 4)).toMatchObject({ messages: 0 })
})

test('DeleteTopics takes the queue with its bindings, and its consumers hear of it', async () => {
  const { one } = await bench()
  await one.queues.declareQueue(queue('q'))
  await one.queues.bind({
    source: 'amq.topic',
    destination: 'q',
    destinationKind: 'queue',
    routingKey: '#',
    arguments: [],
  })
  const told = sink()
  await consume(one.queues.openChannel(told), 'q')
  expect(await one.deleteTopics([{ name: 'q' }])).toMatchObject([{ name: 'q' }])
  expect(told.ended).toEqual(['queueDeleted'])
  expect(await one.queues.checkQueue('q')).toEqual(missing)
  expect(one.queues.listBindings()).toEqual([])
})

// --- crashes and refused writes -----------------------------------------------------------------------------------

test('declared is kept, with what was said; transient is not', async () => {
  const made = await bench()
  const said = queue('q', { autoDelete: true, arguments: args({ 'x-message-ttl': 5, 'x-foo': 'bar' }) })
  await made.one.queues.declareQueue(said)
  await made.one.queues.declareQueue(queue('t', { durable: false }))
  await made.broker.close()
  await made.again()
  expect(await made.one.queues.declareQueue(said)).toMatchObject({ name: 'q' })
  expect(await made.one.queues.describeQueue('q')).toMatchObject({ ...said, type: 'classic' })
  expect(await made.one.queues.checkQueue('t')).toMatchObject({ refused: 'queueMissing' })
})

test('a crash before the commit of a declaration leaves nothing, after it everything', async () => {
  const made = await bench()
  const before = made.store.list().length
  made.store.manual = true
  void made.one.queues.declareQueue(queue('q'))
  await turns()
  expect(made.store.list().length).toBe(before + 1)
  made.store.crash()
  made.store.manual = false
  await made.again()
  expect(await made.one.queues.checkQueue('q')).toEqual(missing)
  expect(made.store.list().length).toBe(before)
})

test('a deletion is queue, ledger and bindings in one append: all of it or nothing', async () => {
  const made = await bench()
  await made.one.queues.declareQueue(queue('q'))
  const bind = {
    source: 'amq.topic',
    destination: 'q',
    destinationKind: 'queue',
    routingKey: '#',
    arguments: [],
  } as const
  await made.one.queues.bind(bind)
  const channel = made.one.queues.openChannel(sink())
  await publish(channel, 'q')
  await publish(channel, 'q')
  await channel.get('q', true)
  await turns()
  made.store.manual = true
  const deleted = made.one.queues.deleteQueue('q', always)
  await turns()
  // Decided, not promised.
  expect(made.store.pending).toBe(1)
  made.store.fail('full')
  expect(await deleted).toMatchObject({ refused: 'storageFull' })
  made.store.manual = false
  await turns()
  expect(await made.one.queues.checkQueue('q')).toMatchObject({ messages: 1 })
  expect(made.one.queues.listBindings()).toHaveLength(1)

  made.store.manual = true
  void made.one.queues.deleteQueue('q', always)
  await turns()
  made.store.crash()
  made.store.manual = false
  await made.again()
  expect(await made.one.queues.checkQueue('q')).toMatchObject({ messages: 1 })
  expect(made.one.queues.listBindings()).toHaveLength(1)

  // The record is written, its files stay: the next start removes them.
  made.store.failing = { delete: new Error('the process ends here') }
  const logs = made.store.list().length
  await made.one.queues.deleteQueue('q', always)
  await turns()
  await made.again()
  expect(await made.one.queues.checkQueue('q')).toEqual(missing)
  expect(made.one.queues.listBindings()).toEqual([])
  expect(made.store.list().length).toBe(logs - 1)
})

test('what is only in memory stays when a refused write has everything read again', async () => {
  const { one, other, store } = await bench()
  await one.queues.declareQueue(queue('t', { durable: false }))
  await one.queues.declareQueue(queue('mine', { exclusive: true }))
  await publish(one.queues.openChannel(sink()), 't')
  store.manual = true
  const refused = one.queues.declareQueue(queue('q'))
  await turns()
  store.fail('full')
  expect(await refused).toMatchObject({ refused: 'storageFull' })
  store.manual = false
  await turns()
  expect(await one.queues.checkQueue('t')).toMatchObject({ messages: 1 })
  expect(await one.queues.checkQueue('mine')).toMatchObject({ name: 'mine' })
  expect(await other.queues.checkQueue('mine')).toMatchObject({ refused: 'queueLocked' })
  expect(await one.queues.declareQueue(queue('q'))).toMatchObject({ name: 'q' })
})

test('who consumes from a queue whose declaration is refused in the end hears that it is gone', async () => {
  const { one, other, store } = await bench()
  for (const name of ['q', 'over']) {
    if (name === 'over') await one.findOrCreateTopic('over')
    store.manual = true
    const declared = one.queues.declareQueue(queue(name))
    await turns()
    const told = sink()
    await consume(other.queues.openChannel(told), name)
    store.fail('full')
    expect(await declared).toMatchObject({ refused: 'storageFull' })
    expect(told.ended).toEqual(['queueDeleted'])
    store.manual = false
    await turns()
    expect(await one.queues.checkQueue(name)).toMatchObject({ refused: 'queueMissing' })
    expect(await one.queues.declareQueue(queue(name))).toMatchObject({ name, consumers: 0 })
  }
})

test('a lease longer than any timer is kept', async () => {
  const { one, world } = await bench()
  const years = 315_360_000_000
  await one.queues.declareQueue(
    queue('q', { arguments: [{ name: 'x-expires', value: { type: 'int64', value: years } }] }),
  )
  world.clock.advance(86_400_000)
  world.clock.advance(86_400_000)
  await turns()
  expect(await one.queues.checkQueue('q')).toMatchObject({ name: 'q' })
  world.clock.advance(years)
  await turns()
  expect(await one.queues.checkQueue('q')).toEqual(missing)
})

test('without room nothing is declared', async () => {
  const { one, store, world } = await bench()
  await one.queues.declareQueue(queue('q'))
  let told = 0
  const stop = one.queues.watchPressure(() => told++)
  store.freeBytes = 1
  world.clock.advance(2000)
  await turns()
  expect(told).toBe(1)
  expect(one.queues.storagePressure()).toContain('disk.low.bytes')
  expect(await one.queues.declareQueue(queue('r'))).toMatchObject({ refused: 'storageFull' })
  expect(await one.queues.declareQueue(queue('q'))).toMatchObject({ name: 'q' })
  store.freeBytes = 1_000_000_000
  world.clock.advance(2000)
  await turns()
  expect(told).toBe(2)
  expect(one.queues.storagePressure()).toBeUndefined()
  stop()
})
