// Access: each call of the door denied once.
// Promises: what is denied is neither done nor told, and its refusal is notAllowed; a list leaves out what is denied.
// Does not know: how principals are proven.

import { expect, test } from 'vitest'
import { notAllowed, type Access, type Operation, type Resource } from './access.ts'
import { noProperties } from '../base/properties.ts'
import { openBroker } from './broker.ts'
import { testBatch, testIdentity, testWorld, turns } from './broker-world.contract.ts'
import type { Session } from './door.ts'
import { isRefusal } from './errors.ts'
import { StubStore } from './stub-store.contract.ts'

const topic = { name: 't' }
const wanted = { name: 'new', partitions: 1, replicationFactor: 1, settings: new Map() }
const member = { group: 'g', memberId: 'm', instanceId: null, generation: 1 }
const commit = { topic, partition: 0, offset: 1, leaderEpoch: -1, metadata: '' }
const join = {
  group: 'g',
  memberId: '',
  instanceId: null,
  clientId: 'c',
  clientHost: 'h',
  sessionTimeoutMs: 10_000,
  rebalanceTimeoutMs: 10_000,
  protocolType: 'consumer',
  protocols: [{ name: 'range', metadata: Buffer.alloc(0) }],
  requireKnownMemberId: false,
  canSkipAssignment: false,
  reason: null,
}

type Denied = `${Operation} ${Resource['kind']}`
type Asked = (session: Session) => unknown

const read = { topic, partition: 0, offset: 0, bytesMax: 1, leaderEpoch: -1, committedTransactionsOnly: false }
const quota = { user: 'u', clientId: undefined, ip: undefined }
const fetchOffsets = { group: 'g', memberId: '', memberEpoch: -1 }

const argument = (name: string) => [{ name, value: { type: 'text', value: Buffer.from('amq.fanout') } }] as const
const exchange = { name: 'e', type: 'direct', durable: true, autoDelete: false, internal: false, arguments: [] }
const binding = {
  source: 'amq.direct',
  destination: 'there',
  destinationKind: 'queue',
  routingKey: 'k',
  arguments: [],
} as const
const queue = { name: 'q', durable: true, exclusive: false, autoDelete: false, arguments: [] }
const sink = { hasRoom: true, deliver: () => undefined, cancelled: () => undefined }
const publication = { exchange: '', routingKey: 'there', properties: noProperties, body: [], bodyBytes: 0 }
const consume = { queue: 'there', consumerTag: 'c', noAck: true, exclusive: false, arguments: [] }
const redrive = {
  source: 'there',
  target: 't',
  filters: [],
  isDryRun: true,
  from: 0,
  messagesMax: 1,
  place: undefined,
}
const policy = { name: 'p', pattern: '.', appliesTo: 'queues', priority: 0, definition: { expires: 9 } } as const

/** What is denied, and the call that then answers notAllowed. */
const calls: readonly (readonly [string, readonly Denied[], Asked])[] = [
  ['describeTopic', ['describe topic'], (session) => session.describeTopic(topic)],
  ['findOrCreateTopic of one there', ['describe topic'], (session) => session.findOrCreateTopic('t')],
  ['findOrCreateTopic', ['create cluster', 'create topic'], (session) => session.findOrCreateTopic('new')],
  ['createTopics', ['create cluster', 'create topic'], (session) => session.createTopics([wanted], false)],
  ['deleteTopics', ['delete topic'], (session) => session.deleteTopics([topic])],
  ['createPartitions', ['alter topic'], (session) => session.createPartitions('t', 2, false)],
  ['describeSettings', ['describeConfigs topic'], (session) => session.describeSettings({ kind: 'topic', name: 't' })],
  [
    'describeSettings of the broker',
    ['describeConfigs cluster'],
    (session) => session.describeSettings({ kind: 'broker', name: '1' }),
  ],
  [
    'alterSettings',
    ['alterConfigs topic'],
    (session) => session.alterSettings({ kind: 'topic', name: 't' }, [], 'replace', false),
  ],
  [
    'alterSettings of a group',
    ['alterConfigs group'],
    (session) => session.alterSettings({ kind: 'group', name: 'g' }, [], 'replace', false),
  ],
  [
    'produce',
    ['write topic'],
    (session) => session.produce({ topic, partition: 0, batch: testBatch({ nowMs: () => 1 }), acks: 1 }),
  ],
  ['read', ['read topic'], (session) => session.read(read)],
  ['findOffset', ['describe topic'], (session) => session.findOffset(topic, 0, 'latest', -1)],
  ['epochEnd', ['describe topic'], (session) => session.epochEnd(topic, 0, 0, -1)],
  ['deleteRecords', ['delete topic'], (session) => session.deleteRecords('t', 0, -1)],
  ['describePartition', ['describe topic'], (session) => session.describePartition(topic, 0)],
  ['initProducer', ['idempotentWrite cluster'], (session) => session.initProducer(undefined)],
  ['listProducers', ['read topic'], (session) => session.listProducers('t', 0)],
  ['alterQuotas', ['alterConfigs cluster'], (session) => session.alterQuotas(quota, new Map(), false)],
  ['join', ['read group'], (session) => session.groups.join(join)],
  [
    'sync',
    ['read group'],
    (session) => session.groups.sync({ ...member, protocolType: null, protocolName: null, assignments: [] }),
  ],
  ['heartbeat', ['read group'], (session) => session.groups.heartbeat(member)],
  ['leave', ['read group'], (session) => session.groups.leave({ group: 'g', members: [] })],
  ['commit', ['read group'], (session) => session.groups.commit({ ...member, offsets: [commit] })],
  ['commit to a topic', ['read topic'], (session) => session.groups.commit({ ...member, offsets: [commit] })],
  ['fetch', ['describe group'], (session) => session.groups.fetch({ ...fetchOffsets, partitions: undefined })],
  [
    'fetch of a topic',
    ['describe topic'],
    (session) => session.groups.fetch({ ...fetchOffsets, partitions: [{ topic, partition: 0 }] }),
  ],
  ['describe', ['describe group'], (session) => session.groups.describe('g')],
  ['delete', ['delete group'], (session) => session.groups.delete('g')],
  ['declareExchange', ['configure exchange'], (session) => session.queues.declareExchange(exchange)],
  [
    'declareExchange with an alternate: read',
    ['read exchange'],
    (session) => session.queues.declareExchange({ ...exchange, arguments: argument('alternate-exchange') }),
  ],
  [
    'declareExchange with an alternate: write',
    ['write exchange'],
    (session) => session.queues.declareExchange({ ...exchange, arguments: argument('alternate-exchange') }),
  ],
  [
    'checkExchange',
    ['configure exchange', 'read exchange', 'write exchange'],
    (session) => session.queues.checkExchange('amq.direct'),
  ],
  ['deleteExchange', ['configure exchange'], (session) => session.queues.deleteExchange('e', false)],
  ['bind: the queue', ['write queue'], (session) => session.queues.bind(binding)],
  ['bind: the exchange', ['read exchange'], (session) => session.queues.bind(binding)],
  [
    'bind exchanges',
    ['write exchange'],
    (session) => session.queues.bind({ ...binding, destination: 'amq.topic', destinationKind: 'exchange' }),
  ],
  ['unbind: the queue', ['write queue'], (session) => session.queues.unbind(binding)],
  ['unbind: the exchange', ['read exchange'], (session) => session.queues.unbind(binding)],
  ['declareQueue', ['configure queue'], (session) => session.queues.declareQueue(queue)],
  [
    'declareQueue with dead letters: read',
    ['read queue'],
    (session) => session.queues.declareQueue({ ...queue, arguments: argument('x-dead-letter-exchange') }),
  ],
  [
    'declareQueue with dead letters: write',
    ['write exchange'],
    (session) => session.queues.declareQueue({ ...queue, arguments: argument('x-dead-letter-exchange') }),
  ],
  [
    'declareQueue with a dead letter topic: read',
    ['read queue'],
    (session) => session.queues.declareQueue({ ...queue, arguments: argument('x-dead-letter-topic') }),
  ],
  [
    'declareQueue with a dead letter topic: write',
    ['write queue'],
    (session) => session.queues.declareQueue({ ...queue, arguments: argument('x-dead-letter-topic') }),
  ],
  [
    'declareQueue over the log of another',
    ['read queue'],
    (session) => session.queues.declareQueue({ ...queue, arguments: argument('x-log') }),
  ],
  ['redrive: out of', ['read queue'], (session) => session.queues.redrive(redrive)],
  ['redrive: into', ['write queue'], (session) => session.queues.redrive(redrive)],
  ['checkQueue', ['configure queue', 'read queue', 'write queue'], (session) => session.queues.checkQueue('there')],
  [
    'deleteQueue',
    ['configure queue'],
    (session) => session.queues.deleteQueue('there', { ifUnused: false, ifEmpty: false }),
  ],
  ['rewindQueue', ['configure queue'], (session) => session.queues.rewindQueue('there', { kind: 'first' })],
  ['purgeQueue', ['read queue'], (session) => session.queues.purgeQueue('there')],
  ['publish', ['write exchange'], (session) => session.queues.openChannel(sink).publish(publication)],
  ['consume', ['read queue'], (session) => session.queues.openChannel(sink).consume(consume)],
  ['get', ['read queue'], (session) => session.queues.openChannel(sink).get('there', true)],
  ['describeQueue', ['describe queue'], (session) => session.queues.describeQueue('there')],
  ['listExchanges', ['describe cluster'], (session) => session.queues.listExchanges()],
  ['listBindings', ['describe cluster'], (session) => session.queues.listBindings()],
  ['listPolicies', ['describe cluster'], (session) => session.queues.listPolicies()],
  ['setPolicy', ['alter cluster'], (session) => session.queues.setPolicy(policy, false)],
  ['deletePolicy', ['alter cluster'], (session) => session.queues.deletePolicy('p', true)],
  ['deleteOffsets', ['delete group'], (session) => session.groups.deleteOffsets('g', [{ topic: 't', partition: 0 }])],
]

async function bench(denied: () => readonly Denied[]) {
  const access: Access = {
    authorise: (principal, operation, resource) =>
      denied().includes(`${operation} ${resource.kind}`) ? notAllowed(principal, operation, resource) : undefined,
  }
  const store = new StubStore()
  const world = testWorld()
  const broker = await openBroker(world, store, { access })
  return { world, store, session: broker.session(testIdentity) }
}

test.each(calls)('%s', async (_, denials, ask) => {
  let denied: readonly Denied[] = []
  const { session, store, world } = await bench(() => denied)
  await session.findOrCreateTopic('t')
  await session.queues.declareQueue({ ...queue, name: 'there' })
  const logs = store.list().length
  denied = denials
  const answer = await ask(session)
  const [outcome] = Array.isArray(answer) ? (answer as unknown[]) : [answer]
  expect(outcome).toMatchObject({ refused: 'notAllowed', why: expect.stringContaining('ANONYMOUS') })
  expect(store.list().length).toBe(logs)
  denied = []
  const asked = ask(session)
  await turns()
  // A join waits for the group's rebalance.
  world.clock.advance(10_000)
  const allowed = await asked
  const [now] = Array.isArray(allowed) ? (allowed as unknown[]) : [allowed]
  if (isRefusal(now)) expect(now.refused).not.toBe('notAllowed')
})

test('lists leave out what is denied', async () => {
  let denied: readonly Denied[] = []
  const { session } = await bench(() => denied)
  await session.findOrCreateTopic('t')
  await session.alterQuotas(quota, new Map([['producer_byte_rate', 1]]), false)
  await session.groups.commit({ ...member, memberId: '', generation: -1, offsets: [commit] })
  expect(session.listTopics().length).toBe(1)
  expect(session.describeQuotas().length).toBe(1)
  expect((await session.groups.list()).length).toBe(1)
  await session.queues.declareQueue(queue)
  const told = async () => (await session.lag(undefined)).rows.map(({ kind }) => kind)
  expect(await told()).toEqual(['queue', 'group'])
  denied = ['describe topic', 'describeConfigs cluster', 'describe cluster', 'describe group']
  expect(session.listTopics()).toEqual([])
  expect(session.describeQuotas()).toEqual([])
  expect(await session.groups.list()).toEqual([])
  expect(await told()).toEqual(['queue'])
  denied = ['describe queue']
  expect(await told()).toEqual(['group'])
  denied = ['describe topic']
  expect(await told()).toEqual(['queue'])
  expect(await session.groups.fetch({ ...fetchOffsets, partitions: undefined })).toEqual([])
})

test('a denial of queues and exchanges is worded as RabbitMQ words it', async () => {
  const { session } = await bench(() => ['configure queue', 'write exchange', 'describe queue'])
  const refused = async (call: Promise<unknown>) => ((await call) as { why: string }).why
  expect(await refused(session.queues.declareQueue(queue))).toBe(
    "configure access to queue 'q' in vhost '/' refused for user 'ANONYMOUS'",
  )
  expect(session.queues.openChannel(sink).publish(publication)).toMatchObject({
    why: "write access to exchange 'amq.default' in vhost '/' refused for user 'ANONYMOUS'",
  })
  expect(await session.queues.listQueues()).toEqual([])
})

test('watching what one may not read hears nothing', async () => {
  const { session } = await bench(() => ['read topic'])
  await session.findOrCreateTopic('t')
  let heard = 0
  const stop = session.watch(topic, 0, () => heard++)
  await session.produce({ topic, partition: 0, batch: testBatch({ nowMs: () => 1 }), acks: 1 })
  stop()
  expect(heard).toBe(0)
})
