// Every timer of the broker under a virtual clock, through real clients: nothing before its time, and then it fires.
// Promises: no waiting in real time but for what sockets need; a timer without a row here is found.
// Does not know: timers of sockets, which stay on the real clock.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import amqplib, { type ChannelModel, type ConfirmChannel } from 'amqplib'
import { Kafka, logLevel, type Admin, type Consumer } from 'kafkajs'
import { afterEach, describe, expect, test } from 'vitest'
import { startBroker, type BrokerOptions, type Duration, type VirtualBroker } from '../../src/index.ts'
import type { Session } from '../../src/broker/door.ts'
import type { Store } from '../../src/log/store.ts'
import { embed } from '../../src/server/embedded.ts'
import { projectFiles, textOf } from '../tidy/files.ts'
import { millisecondsOf } from '../../src/server/virtual-clock.ts'
import { Arrivals, stores, within } from './place.ts'

interface Bench {
  readonly broker: VirtualBroker
  readonly session: Session
  readonly channel: ConfirmChannel
  readonly connection: ChannelModel
  readonly kafka: Kafka
  readonly admin: Admin
  readonly watched: Watched
}

/** What a row sets up answers what is seen; it is asked before and after. */
interface Row {
  readonly what: string
  /** The file whose timer it is. */
  readonly timer: string
  readonly settings?: NonNullable<BrokerOptions['settings']>
  /** What has to pass until it fires, and by how little that is missed when nothing may be seen yet. */
  readonly due: Duration
  readonly short?: Duration
  arrange(bench: Bench): Promise<() => Promise<unknown> | unknown>
  readonly before: unknown
  readonly after: unknown
}

const queue = 'work'
const ready =
  (bench: Bench, name = queue) =>
  async (): Promise<number> =>
    (await bench.broker.queues.counts(name)).ready

async function publish(
  { channel }: Bench,
  options: amqplib.Options.Publish = {},
  exchange = '',
  key = queue,
): Promise<void> {
  channel.publish(exchange, key, Buffer.from('spool'), options)
  await channel.waitForConfirms()
}

/** A consumer that joins, takes a record, and is never heard of again: what it does with the record takes for ever. */
async function silentMember(
  { kafka, broker }: Bench,
  sessionTimeout: number,
  rebalanceTimeout = 60_000,
): Promise<Consumer> {
  await broker.topics.produce('group-work', { value: 'one' })
  const consumer = kafka.consumer({ groupId: 'group', sessionTimeout, rebalanceTimeout, retry: { retries: 0 } })
  await consumer.connect()
  await consumer.subscribe({ topic: 'group-work', fromBeginning: true })
  await within(
    'the first record',
    new Promise<void>((taken) => {
      void consumer.run({
        eachMessage: () => {
          taken()
          return new Promise(() => {})
        },
      })
    }),
  )
  return consumer
}

const groupState = (bench: Bench) => async (): Promise<string> => {
  const { groups } = await bench.admin.describeGroups(['group'])
  return `${groups[0].state} ${groups[0].members.length}`
}

const rows: readonly Row[] = [
  {
    what: 'a message has its own time to live',
    timer: 'src/broker/queues/lanes/queue-expiry.ts',
    due: '1m',
    arrange: async (bench) => {
      await bench.channel.assertQueue(queue)
      await publish(bench, { expiration: '60000' })
      return ready(bench)
    },
    before: 1,
    after: 0,
  },
  {
    what: 'a queue has a time to live for its messages, and a place for the dead',
    timer: 'src/broker/queues/lanes/queue-expiry.ts',
    due: '30m',
    arrange: async (bench) => {
      await bench.channel.assertQueue('dead')
      await bench.channel.assertQueue(queue, {
        arguments: { 'x-message-ttl': 1_800_000, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' },
      })
      await publish(bench)
      return async () => [await ready(bench)(), await ready(bench, 'dead')()]
    },
    before: [1, 0],
    after: [0, 1],
  },
  {
    what: 'a queue that nobody uses is deleted',
    timer: 'src/broker/queues/desk/queue-life.ts',
    due: '1h',
    arrange: async (bench) => {
      await bench.channel.assertQueue(queue, { expires: 3_600_000 })
      return async () => (await bench.session.queues.listQueues()).map(({ name }) => name)
    },
    before: [queue],
    after: [],
  },
  {
    what: 'a delayed message goes to its queue',
    timer: 'src/broker/queues/delays/delays.ts',
    due: '1d',
    arrange: async (bench) => {
      await bench.channel.assertExchange('later', 'x-delayed-message', { arguments: { 'x-delayed-type': 'fanout' } })
      await bench.channel.assertQueue(queue)
      await bench.channel.bindQueue(queue, 'later', '')
      await publish(bench, { headers: { 'x-delay': 86_400_000 } }, 'later')
      return ready(bench)
    },
    before: 0,
    after: 1,
  },
  {
    what: 'a consumer that acknowledges nothing loses what it holds',
    timer: 'src/broker/queues/lanes/queue-timeouts.ts',
    due: '10m',
    arrange: async (bench) => {
      await bench.channel.assertQueue(queue, {
        arguments: { 'x-queue-type': 'quorum', 'x-consumer-timeout': 600_000 },
      })
      await publish(bench)
      const consuming = await bench.connection.createChannel()
      consuming.on('error', () => {})
      const given = new Arrivals<unknown>()
      await consuming.consume(queue, (message) => given.add(message))
      await given.until('a delivery', (all) => all.length === 1)
      return async () => (await bench.broker.queues.counts(queue)).unacknowledged
    },
    before: 1,
    after: 0,
  },
  {
    what: 'what is acknowledged is noted, not sooner after the last time than it may',
    timer: 'src/broker/queues/ledgers/ledgers.ts',
    due: '1s',
    short: '1s',
    arrange: async (bench) => {
      await bench.channel.assertQueue(queue)
      await publish(bench)
      await publish(bench)
      await bench.channel.get(queue, { noAck: true })
      await bench.broker.clock.advance(0)
      const { appends } = bench.watched
      await bench.channel.get(queue, { noAck: true })
      return () => bench.watched.appends - appends
    },
    before: 0,
    after: 1,
  },
  {
    what: 'a publisher that was told to stop is told when there is room again',
    timer: 'src/broker/streams/room-left.ts',
    settings: { 'retention.budget.bytes': 1024 * 1024 },
    due: '6m',
    short: '6m',
    arrange: async (bench) => {
      const told: string[] = []
      bench.connection.on('blocked', () => told.push('blocked'))
      bench.connection.on('unblocked', () => told.push('unblocked'))
      await bench.channel.assertQueue(queue)
      bench.channel.sendToQueue(queue, Buffer.alloc(2 * 1024 * 1024))
      await bench.channel.waitForConfirms()
      await bench.broker.clock.advance('5m')
      await publish(bench).catch(() => {})
      await bench.channel.deleteQueue(queue)
      return () => told
    },
    before: ['blocked'],
    after: ['blocked', 'unblocked'],
  },
  {
    what: 'the room of what is worked off is given back',
    timer: 'src/broker/queues/keeping/queue-trimming.ts',
    due: '2s',
    short: '2s',
    arrange: async (bench) => {
      await bench.channel.assertQueue(queue)
      for (let count = 0; count < 5; count++) bench.channel.sendToQueue(queue, Buffer.alloc(1024 * 1024))
      await bench.channel.waitForConfirms()
      for (let count = 0; count < 5; count++) await bench.channel.get(queue, { noAck: true })
      return async () => (await bench.broker.topics.records(queue, { as: 'bytes' })).length
    },
    before: 5,
    after: 0,
  },
  {
    what: 'a message that was given back waits before its next try',
    timer: 'src/broker/queues/lanes/queue-retries.ts',
    due: '10m',
    arrange: async (bench) => {
      await bench.channel.assertQueue(queue, {
        arguments: { 'x-queue-type': 'quorum', 'x-delayed-retry-type': 'all', 'x-delayed-retry-min': 600_000 },
      })
      await publish(bench)
      const got = await bench.channel.get(queue)
      if (got === false) throw new Error('a message was expected')
      bench.channel.nack(got)
      return async () => (await bench.channel.get(queue)) !== false
    },
    before: false,
    after: true,
  },
  {
    what: 'a member that is silent for its session leaves the group',
    timer: 'src/broker/groups/group-desk.ts',
    due: '30s',
    arrange: async (bench) => {
      await silentMember(bench, 30_000)
      return groupState(bench)
    },
    before: 'Stable 1',
    after: 'Empty 0',
  },
  {
    what: 'a group waits for further members before its first rebalance, if it is told to',
    timer: 'src/broker/groups/group-desk.ts',
    settings: { 'group.initial.rebalance.delay.ms': 3000 },
    due: '3s',
    arrange: async (bench) => {
      await bench.broker.topics.create('group-work')
      const consumer = bench.kafka.consumer({ groupId: 'group' })
      await consumer.connect()
      await consumer.subscribe({ topic: 'group-work' })
      void consumer.run({ eachMessage: () => Promise.resolve() })
      await until(async () => (await groupState(bench)()).endsWith(' 1'))
      return async () => (await groupState(bench)()).startsWith('PreparingRebalance')
    },
    before: true,
    after: false,
  },
  {
    what: 'a member that does not come to a rebalance in time is left out',
    timer: 'src/broker/groups/group-desk.ts',
    due: '60s',
    arrange: async (bench) => {
      await silentMember(bench, 300_000, 60_000)
      const other = bench.kafka.consumer({ groupId: 'group', sessionTimeout: 300_000 })
      await other.connect()
      await other.subscribe({ topic: 'group-work' })
      void other.run({ eachMessage: () => Promise.resolve() })
      await until(async () => (await groupState(bench)()) === 'PreparingRebalance 2')
      return async () => (await groupState(bench)()).endsWith(' 2')
    },
    before: true,
    after: false,
  },
  {
    what: 'committed offsets of an empty group are forgotten',
    timer: 'src/broker/groups/coordinator.ts',
    settings: { 'offsets.retention.minutes': 1440 },
    due: '25h',
    short: '2h',
    arrange: async ({ broker, session: { groups } }) => {
      await broker.topics.produce('read', { value: 'one' })
      const of = { topic: { name: 'read' }, partition: 0 }
      const offsets = [{ ...of, offset: 1, leaderEpoch: -1, metadata: '' }]
      await groups.commit({ group: 'group', memberId: '', instanceId: null, generation: -1, offsets })
      return async () => {
        const found = await groups.fetch({ group: 'group', memberId: '', memberEpoch: -1, partitions: [of] })
        return 'refused' in found || 'refused' in found[0] ? found : found[0].offset
      }
    },
    before: 1,
    after: -1,
  },
  {
    what: 'records older than the topic keeps them are dropped',
    timer: 'src/broker/streams/retention.ts',
    due: '8d',
    short: '2d',
    arrange: async (bench) => {
      await bench.broker.topics.create('kept', { settings: { 'retention.ms': 7 * 86_400_000 } })
      await bench.broker.topics.produce('kept', { value: 'old' })
      return async () => (await bench.broker.topics.records('kept')).length
    },
    before: 1,
    after: 0,
  },
  {
    what: 'messages of a stream older than x-max-age are dropped',
    timer: 'src/broker/streams/retention.ts',
    due: '3d',
    short: '2d',
    arrange: async (bench) => {
      await bench.channel.assertQueue(queue, { arguments: { 'x-queue-type': 'stream', 'x-max-age': '2D' } })
      await publish(bench)
      return async () => (await bench.broker.topics.records(queue)).length
    },
    before: 1,
    after: 0,
  },
  {
    what: 'a producer id that is not used is forgotten',
    timer: 'src/broker/streams/retention.ts',
    settings: { 'producer.id.expiration.ms': 86_400_000 },
    due: '26h',
    short: '3h',
    arrange: async (bench) => {
      const producer = bench.kafka.producer({ idempotent: true })
      await producer.connect()
      await producer.send({ topic: 'by-id', messages: [{ value: 'one' }] })
      await producer.disconnect()
      return async () => {
        const active = await bench.session.listProducers('by-id', 0)
        return Array.isArray(active) ? active.length : active
      }
    },
    before: 1,
    after: 0,
  },
]

/** Asked again after each turn of the event loop: what another client of this process did needs no time, only turns. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  await within(
    'a state',
    (async () => {
      while (!(await holds())) await new Promise((resolve) => setImmediate(resolve))
    })(),
  )
}

/** What the tables want to know of the store, and to do to it. */
interface Watched {
  appends: number
  failsReads: boolean
}

function watching(store: Store, watched: Watched): Store {
  const append = store.append.bind(store)
  const open = store.open.bind(store)
  store.append = (entries) => {
    watched.appends++
    return append(entries)
  }
  store.open = async (...args) => {
    const log = await open(...args)
    const read = log.read.bind(log)
    log.read = (...range) => (watched.failsReads ? Promise.reject(new Error('the disk is not read')) : read(...range))
    return log
  }
  return store
}

const closing: (() => Promise<unknown>)[] = []

async function openBench(settings: Row['settings'] = {}): Promise<Bench> {
  const watched: Watched = { appends: 0, failsReads: false }
  const options: BrokerOptions = { clock: 'virtual', logLevel: 'silent', settings }
  const { broker, server } = await embed(options, (store) => watching(store, watched))
  const kafka = new Kafka({ brokers: [broker.kafka], logLevel: logLevel.NOTHING, retry: { retries: 1 } })
  const connection = await amqplib.connect(broker.amqp)
  connection.on('error', () => {})
  const channel = await connection.createConfirmChannel()
  channel.on('error', () => {})
  const admin = kafka.admin()
  await admin.connect()
  closing.push(() => broker.close())
  const session = server.session({ vhost: '/', principal: 'guest', clientId: 'test', address: 'test' })
  return { broker: broker as VirtualBroker, session, kafka, connection, channel, admin, watched }
}

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()))
})

describe('every timer', () => {
  test.each(rows.map((row) => [row.what, row] as const))('%s', async (_, row) => {
    const bench = await openBench(row.settings)
    const look = await row.arrange(bench)
    expect(await look()).toEqual(row.before)
    const { clock } = bench.broker
    const shortMs = millisecondsOf(row.short ?? 1000)
    await clock.advance(millisecondsOf(row.due) - shortMs)
    expect(await look()).toEqual(row.before)
    await clock.advance(shortMs)
    expect(await look()).toEqual(row.after)
  })

  test('has a row here, or a reason for none', () => {
    const elsewhere = new Map([
      [
        'src/broker/queues/cursors/cursors.ts',
        'what wakes the giving back of room, now and then: seen by nobody alone',
      ],
      ['src/engines/local/writer.ts', 'a write that the disk took half of: no fault of these makes one'],
      [
        'src/broker/queues/lanes/lane.ts',
        'a log that cannot be opened for waiting consumers: no fault of these keeps one shut',
      ],
    ])
    const withTimers = projectFiles().filter(
      (path) =>
        /^src\/(broker|log|engines)\/.*\.ts$/.test(path) &&
        !/\.(test|contract)\.ts$/.test(path) &&
        /\.after\(/.test(textOf(path)),
    )
    const known = new Set([...rows, ...failures].map(({ timer }) => timer))
    expect(withTimers.filter((path) => !known.has(path) && !elsewhere.has(path))).toEqual([])
    expect([...known, ...elsewhere.keys()].filter((path) => !withTimers.includes(path))).toEqual([])
  })
})

// --- what failed is tried again ---------------------------------------------------------------------------------

/** Something fails while time goes by; once it is healed it takes a moment of the broker's time until it is done. */
interface Failure {
  readonly what: string
  readonly timer: string
  readonly settings?: Row['settings']
  /** How long until it is tried for the first time. */
  readonly due: Duration
  readonly fails: 'appends' | 'reads'
  arrange(bench: Bench): Promise<() => Promise<unknown>>
  readonly before: unknown
  readonly after: unknown
}

const failures: readonly Failure[] = [
  {
    what: 'delayed messages that could not be moved',
    timer: 'src/broker/queues/delays/delays.ts',
    due: '1m',
    fails: 'appends',
    arrange: async (bench) => {
      await bench.channel.assertExchange('later', 'x-delayed-message', { arguments: { 'x-delayed-type': 'fanout' } })
      await bench.channel.assertQueue(queue)
      await bench.channel.bindQueue(queue, 'later', '')
      await publish(bench, { headers: { 'x-delay': 60_000 } }, 'later')
      return ready(bench)
    },
    before: 0,
    after: 1,
  },
  {
    what: 'dead letters that could not be stored',
    timer: 'src/broker/queues/dead-letters/dead-letter.ts',
    due: '1m',
    fails: 'appends',
    arrange: async (bench) => {
      await bench.channel.assertQueue('dead')
      await bench.channel.assertQueue(queue, {
        arguments: { 'x-message-ttl': 60_000, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' },
      })
      await publish(bench)
      return ready(bench, 'dead')
    },
    before: 0,
    after: 1,
  },
  {
    what: 'an expired queue that could not be deleted',
    timer: 'src/broker/queues/desk/queue-life.ts',
    due: '1m',
    fails: 'appends',
    arrange: async (bench) => {
      await bench.channel.assertQueue(queue, { expires: 60_000 })
      return () => bench.broker.queues.list()
    },
    before: [queue],
    after: [],
  },
  {
    what: 'decisions that could not be read again',
    timer: 'src/log/machine.ts',
    due: '1s',
    fails: 'reads',
    arrange: async ({ broker }) => {
      broker.faults.failDisk('io', 1)
      const create = (name: string): Promise<unknown> =>
        broker.topics.create(name).then(
          () => name,
          () => 'refused',
        )
      await create('first')
      return () => create('second')
    },
    before: 'refused',
    after: 'second',
  },
  {
    what: 'a binding of an exchange that remembers, whose log could not be read',
    timer: 'src/broker/queues/cursors/cursor.ts',
    due: '1s',
    fails: 'reads',
    arrange: async (bench) => {
      await bench.broker.topics.create('orders')
      await bench.channel.assertExchange('orders', 'x-log')
      await bench.channel.assertQueue(queue)
      await bench.channel.bindQueue(queue, 'orders', '#')
      await bench.broker.topics.produce('orders', { key: 'a', value: 'one' })
      return ready(bench)
    },
    before: 0,
    after: 1,
  },
  {
    what: 'the epoch of a single active consumer that could not be noted',
    timer: 'src/broker/queues/lanes/epochs.ts',
    due: '1s',
    fails: 'appends',
    arrange: async (bench) => {
      await bench.channel.assertQueue(queue, { arguments: { 'x-single-active-consumer': true } })
      await publish(bench)
      bench.broker.faults.failDisk('io')
      const given = new Arrivals<unknown>()
      await bench.channel.consume(queue, (message) => given.add(message))
      return () => Promise.resolve(given.all.length)
    },
    before: 0,
    after: 1,
  },
  {
    what: 'a message that could not be read for its consumer',
    timer: 'src/broker/queues/lanes/dispatch.ts',
    due: '1s',
    fails: 'reads',
    arrange: async (bench) => {
      await bench.channel.assertQueue(queue)
      await publish(bench)
      const given = new Arrivals<unknown>()
      await bench.channel.consume(queue, (message) => given.add(message))
      return () => Promise.resolve(given.all.length)
    },
    before: 0,
    after: 1,
  },
  {
    what: 'a stream that could not be read',
    timer: 'src/broker/queues/stream/queue-stream.ts',
    due: '1s',
    fails: 'reads',
    arrange: async (bench) => {
      await bench.channel.assertQueue(queue, { arguments: { 'x-queue-type': 'stream' } })
      await publish(bench)
      await bench.channel.prefetch(10)
      const given = new Arrivals<unknown>()
      await bench.channel.consume(queue, (message) => given.add(message), { arguments: { 'x-stream-offset': 'first' } })
      return () => Promise.resolve(given.all.length)
    },
    before: 0,
    after: 1,
  },
]

describe('what failed is tried again', () => {
  test.each(failures.map((row) => [row.what, row] as const))('%s', async (_, row) => {
    const bench = await openBench(row.settings)
    if (row.fails === 'reads') bench.watched.failsReads = true
    const look = await row.arrange(bench)
    if (row.fails === 'appends') bench.broker.faults.failDisk('io')
    await bench.broker.clock.advance(row.due)
    expect(await look()).toEqual(row.before)
    bench.broker.faults.heal()
    bench.watched.failsReads = false
    await bench.broker.clock.advance('1m')
    expect(await look()).toEqual(row.after)
  })
})

describe('advance', () => {
  test.each(stores)('resolves when what it set going is done, at clients of this process too: %s', async (store) => {
    const folder = mkdtempSync(join(tmpdir(), 'odradek-clock-'))
    const place = await startBroker({ store: store === 'file:' ? `file:${folder}` : store, clock: 'virtual' })
    closing.push(async () => {
      await place.close()
      rmSync(folder, { recursive: true })
    })
    const connection = await amqplib.connect(place.amqp, { noDelay: true })
    const channel = await connection.createChannel()
    await channel.assertExchange('later', 'x-delayed-message', {
      durable: true,
      arguments: { 'x-delayed-type': 'fanout' },
    })
    await channel.assertQueue(queue)
    await channel.bindQueue(queue, 'later', '')
    const hops: number[] = []
    const begin = place.clock.now()
    // Each delivery sets the next hour going.
    await channel.consume(queue, (message) => {
      if (message === null) return
      hops.push(place.clock.now() - begin)
      channel.ack(message)
      channel.publish('later', '', Buffer.from('on'), { headers: { 'x-delay': 3_600_000 } })
    })
    channel.publish('later', '', Buffer.from('on'), { headers: { 'x-delay': 3_600_000 } })
    await channel.checkQueue(queue)
    await place.clock.advance('5h')
    expect(hops).toEqual([1, 2, 3, 4, 5].map((hours) => hours * 3_600_000))
    expect(place.clock.now()).toBe(begin + 5 * 3_600_000)
    await connection.close()
  })

  test('ends when the broker closes in the middle of it', async () => {
    const { broker, channel } = await openBench()
    await channel.assertQueue(queue, { messageTtl: 86_400_000 })
    const advanced = broker.clock.advance('7d')
    await broker.close()
    await within('the end of it', advanced)
    await expect(broker.clock.advance('1s')).rejects.toMatchObject({ reason: 'closed' })
  })

  test('refuses what is no duration; a broker on the real clock has no such thing', async () => {
    const { broker } = await openBench()
    await expect(broker.clock.advance('soon' as Duration)).rejects.toThrow('"soon" is no duration')
    const real = await startBroker()
    closing.push(() => real.close())
    expect('clock' in real).toBe(false)
    await expect(startBroker({ clock: 'slow' } as object)).rejects.toThrow('clock: "slow" is not allowed')
  })

  test('what concerns a socket is on real time: a fetch with nothing to give is answered without it', async () => {
    const { broker, kafka } = await openBench()
    await broker.topics.create('empty')
    const consumer = kafka.consumer({ groupId: 'waiting', maxWaitTimeInMs: 20 })
    await consumer.connect()
    await consumer.subscribe({ topic: 'empty' })
    const fetches = new Arrivals<unknown>()
    consumer.on('consumer.fetch', (event) => fetches.add(event))
    await consumer.run({ eachMessage: () => Promise.resolve() })
    await fetches.until('three empty answers', (all) => all.length >= 3)
    await consumer.disconnect()
  })
})
