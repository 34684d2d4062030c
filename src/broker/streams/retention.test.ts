// Retention with a clock that is told the time, on a store whose segments the test rolls.
// Promises: whole segments, by age, size and budget, never above the high watermark, each drop counted with its reason.
// Does not know: engines' own segments.

import { expect, test } from 'vitest'
import { logId } from '../../log/store.ts'
import { openBroker } from '../broker.ts'
import { testBatch, testIdentity, testWorld, turns, type TestWorld } from '../broker-world.contract.ts'
import type { Session } from '../door.ts'
import { isRefusal } from '../errors.ts'
import { StubStore } from '../stub-store.contract.ts'

async function bench(topics: Record<string, Record<string, string>>, settings: Record<string, string> = {}) {
  const world = testWorld()
  const store = new StubStore()
  const broker = await openBroker(world, store, { settings })
  const session = broker.session(testIdentity)
  const wanted = Object.entries(topics).map(([name, own]) => ({
    name,
    partitions: 1,
    replicationFactor: 1,
    settings: new Map(Object.entries(own)),
  }))
  for (const made of await session.createTopics(wanted, false)) if (isRefusal(made)) throw new Error(made.why)
  const logOf = (name: string) => {
    const view = session.describeTopic({ name })
    const log = isRefusal(view) ? undefined : store.logs.get(logId(view.id, 0))
    if (log === undefined) throw new Error(`no log of ${name}`)
    return log
  }
  return { world, store, broker, session, logOf }
}

/** One batch a segment: `segments` closed ones of about `bytes` each, a minute apart, then an empty one. */
async function fill(session: Session, world: TestWorld, log: { roll(): void }, name: string, segments: number) {
  for (let index = 0; index < segments; index++) {
    const batch = testBatch(world.clock, { values: ['x'.repeat(1000)] })
    await session.produce({ topic: { name }, partition: 0, batch, acks: 1 })
    log.roll()
    world.clock.advance(60_000)
    await turns()
  }
}

async function round(world: TestWorld): Promise<void> {
  world.clock.advance(30_000)
  await turns(20)
}

test('segments go when the greatest timestamp in them is older than retention.ms', async () => {
  const { world, session, logOf } = await bench({ t: { 'retention.ms': '140000' }, forever: { 'retention.ms': '-1' } })
  const log = logOf('t')
  await fill(session, world, log, 't', 3)
  // By then the first is 210 s old, the second 150 s, the third 90 s.
  await round(world)
  expect(log.start).toBe(2)
  await fill(session, world, logOf('forever'), 'forever', 1)
  world.clock.advance(10 * 60_000)
  await round(world)
  expect(log.start).toBe(3)
  expect(logOf('forever').start).toBe(0)
  expect(await session.findOffset({ name: 't' }, 0, 'earliest', -1)).toMatchObject({ offset: 3 })
  expect(world.trace.counters().get('retention.age.segments')).toBe(3)
})

test('an active segment that is all expired is closed and goes too; an empty log stays as it is', async () => {
  const { world, session, logOf } = await bench({ t: { 'retention.ms': '1000' } })
  const log = logOf('t')
  await session.produce({ topic: { name: 't' }, partition: 0, batch: testBatch(world.clock, { count: 5 }), acks: 1 })
  await round(world)
  expect([log.start, log.end, log.bytes]).toEqual([5, 5, 0])
  await round(world)
  expect(log.segments().length).toBe(1)
  const batch = testBatch(world.clock)
  expect(await session.produce({ topic: { name: 't' }, partition: 0, batch, acks: 1 })).toMatchObject({ baseOffset: 5 })
})

test('a segment with one young record, or none with a time, stays', async () => {
  const { world, session, logOf } = await bench({ t: { 'retention.ms': '1000' }, timeless: { 'retention.ms': '1000' } })
  const young = testBatch(world.clock, { count: 2, timestampsMs: [1, world.clock.nowMs() + 60_000] })
  await session.produce({ topic: { name: 't' }, partition: 0, batch: young, acks: 1 })
  const timeless = testBatch(world.clock, { timestampsMs: [-1] })
  await session.produce({ topic: { name: 'timeless' }, partition: 0, batch: timeless, acks: 1 })
  await round(world)
  expect([logOf('t').start, logOf('timeless').start]).toEqual([0, 0])
})

test('the oldest segments go while the log keeps at least retention.bytes', async () => {
  const { world, session, logOf } = await bench({ t: { 'retention.bytes': '2500' } })
  const log = logOf('t')
  await fill(session, world, log, 't', 5)
  await round(world)
  expect(log.bytes).toBeGreaterThanOrEqual(2500)
  expect(log.start).toBe(2)
  expect(world.trace.counters().get('retention.size.segments')).toBe(2)
})

test('nothing above the high watermark goes', async () => {
  const { world, session, store, logOf } = await bench({ t: { 'retention.ms': '1000' } })
  const log = logOf('t')
  await session.produce({ topic: { name: 't' }, partition: 0, batch: testBatch(world.clock), acks: 1 })
  store.manual = true
  void session.produce({ topic: { name: 't' }, partition: 0, batch: testBatch(world.clock), acks: 1 })
  await round(world)
  expect(log.start).toBe(0)
  store.manual = false
  store.commit()
  await round(world)
  expect(log.start).toBe(2)
})

test('past the budget the oldest segments of all topics go, whatever their own retention', async () => {
  const { world, session, logOf } = await bench(
    { old: { 'retention.ms': '-1' }, young: { 'retention.ms': '-1' } },
    { 'retention.budget.bytes': '5000' },
  )
  await fill(session, world, logOf('old'), 'old', 3)
  await fill(session, world, logOf('young'), 'young', 3)
  await round(world)
  expect([logOf('old').start, logOf('young').start]).toEqual([2, 0])
  expect(logOf('old').bytes + logOf('young').bytes).toBeLessThanOrEqual(5000)
  expect(world.trace.counters().get('retention.budget.segments')).toBe(2)
})

test('after a restart logs are opened for retention without anybody asking for them', async () => {
  const { world, session, store, broker, logOf } = await bench({ t: { 'retention.ms': '1000' }, empty: {} })
  await session.produce({ topic: { name: 't' }, partition: 0, batch: testBatch(world.clock), acks: 1 })
  await broker.close()
  const log = logOf('t')
  const opened: string[] = []
  const open = store.open.bind(store)
  store.open = (id, settings, end) => {
    opened.push(id)
    return open(id, settings, end)
  }
  const next = await openBroker(world, store, {})
  opened.length = 0
  await round(world)
  expect(log.start).toBe(1)
  // The empty one was left alone.
  expect(opened).toEqual([log.id])
  await next.close()
  world.clock.advance(1_000_000)
  await turns()
})

test('what waits to be consumed goes for no budget; when it passes it alone, producing is refused', async () => {
  const { world, session, logOf, broker } = await bench(
    { q: { 'cleanup.policy': 'consumed', 'retention.ms': '1' }, t: {} },
    { 'retention.budget.bytes': '3500' },
  )
  await fill(session, world, logOf('t'), 't', 2)
  await fill(session, world, logOf('q'), 'q', 3)
  await round(world)
  expect(logOf('t').start).toBe(2)
  expect(logOf('q').start).toBe(0)
  const produce = () => session.produce({ topic: { name: 't' }, partition: 0, batch: testBatch(world.clock), acks: 1 })
  expect(await produce()).toMatchObject({ baseOffset: 2 })
  await fill(session, world, logOf('q'), 'q', 1)
  await round(world)
  world.clock.advance(1001)
  expect(await produce()).toMatchObject({ refused: 'storageFull', why: expect.stringContaining('wait to be consumed') })
  expect(session.queues.storagePressure()).toContain('retention.budget.bytes=3500')
  await session.deleteTopics([{ name: 'q' }])
  await round(world)
  world.clock.advance(1001)
  expect(await produce()).toMatchObject({ baseOffset: 3 })
  await broker.close()
})

test('a policy may have a stream keep less than its settings say', async () => {
  const { world, session, store } = await bench({})
  const stream = [{ name: 'x-queue-type', value: { type: 'text', value: Buffer.from('stream') } }] as const
  const facts = { durable: true, exclusive: false, autoDelete: false, arguments: stream }
  await session.queues.declareQueue({ name: 's', ...facts })
  const log = [...store.logs.values()].at(-1)
  if (log === undefined) throw new Error('no log')
  await fill(session, world, log, 's', 3)
  await round(world)
  expect(log.start).toBe(0)
  const policy = {
    name: 'p',
    pattern: '.',
    appliesTo: 'streams',
    priority: 0,
    definition: { 'max-age': '3m' },
  } as const
  expect(await session.queues.setPolicy(policy, false)).toBe(true)
  await round(world)
  expect(log.start).toBe(1)
})
