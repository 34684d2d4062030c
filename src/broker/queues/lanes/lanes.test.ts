// A queue's lanes: turns, limits and counts over all of them, one that fails, ones that come and go.
// Promises: real ledgers and partitions over the stub store.
// Does not know: channels; walks at random (lanes-model.test.ts).

import { expect, test } from 'vitest'
import { partitionOfKey } from '../../../base/murmur2.ts'
import { logId } from '../../../log/store.ts'
import { turns } from '../../broker-world.contract.ts'
import { isRefusal } from '../../errors.ts'
import type { QueuePolicy } from '../facts.ts'
import type { LanePart, StoredMessage } from '../parts.ts'
import type { Queue } from '../queue.ts'
import { consume, publish, QueueStage, TestConsumer, testMessage } from '../queue-stage.contract.ts'

async function open(partitions: number, policy: Partial<QueuePolicy> = {}): Promise<[QueueStage, Queue]> {
  const stage = await QueueStage.open()
  stage.partitionsOf.set('q', partitions)
  return [stage, await stage.queue('q', policy)]
}

/** Keys whose messages go to partitions 0, 1 and 2 of three. */
const keys = [0, 1, 2].map((partition) =>
  [...'abcdefghijk'].find((key) => partitionOfKey(Buffer.from(key), 3) === partition)!,
)

const keyed = (key: string, body: string) =>
  testMessage(body, { headers: [{ name: 'x-key', value: { type: 'text', value: Buffer.from(key) } }] })

/** So many to each lane: `lane:number`. */
async function fill(queue: Queue, count: number, from = 0): Promise<void> {
  for (const [lane, key] of keys.entries())
    await publish(queue, ...Array.from({ length: count }, (_, at) => keyed(key, `${lane}:${from + at}`)))
}

test('lanes take turns, a few messages each', async () => {
  const [, queue] = await open(3)
  await fill(queue, 40)
  expect(queue.lanes.map(({ log }) => log.ledger.ready)).toEqual([40, 40, 40])
  const consumer = consume(queue, { credit: 30 })
  await turns(4)
  const counts = [0, 1, 2].map((lane) => consumer.bodies.filter((body) => body.startsWith(`${lane}:`)).length)
  expect(Math.min(...counts)).toBeGreaterThan(5)
  // One message at a time: still every lane in turn.
  for (let count = 0; count < 9; count++) {
    consumer.credit = 1
    queue.resume()
    await turns(1)
  }
  const last = consumer.bodies.slice(-9).map((body) => body[0])
  for (let at = 0; at < 9; at += 3) expect(new Set(last.slice(at, at + 3)).size).toBe(3)
})

test('what has no key goes to one lane in a turn, and to another in the next', async () => {
  const [stage, queue] = await open(3)
  const filled: number[] = []
  for (let turn = 0; turn < 6; turn++) {
    await publish(queue, 'a', 'b', 'c')
    const ends = queue.lanes.map(({ log }) => Number(log.log.end))
    filled.push(ends.filter((end) => end % 3 !== 0).length)
    stage.world.clock.advance(1)
  }
  expect(filled).toEqual([0, 0, 0, 0, 0, 0])
  expect(queue.lanes.map(({ log }) => Number(log.log.end))).toEqual([6, 6, 6])
})

test('who asks for one message at a time is given of each lane in turn', async () => {
  const [, queue] = await open(3)
  await fill(queue, 2)
  const lanes: string[] = []
  for (let count = 0; count < 6; count++) {
    const message = await queue.take(true)
    if (message !== undefined && !isRefusal(message)) lanes.push(message.body.toString()[0])
  }
  expect(lanes).toEqual(['0', '1', '2', '0', '1', '2'])
})

test('several messages are part of one append, each in its lane, behind what was added before', async () => {
  const [stage, queue] = await open(3)
  const those = (round: number) =>
    keys.flatMap((key, lane) => [keyed(key, `${lane}:${round}a`), keyed(key, `${lane}:${round}b`)])
  const readyOf = (): number[] => queue.lanes.map(({ log }) => log.ledger.ready)
  const append = (round: number): Promise<void> => {
    const entries = queue.entriesFor(those(round))
    expect(entries.length).toBe(3)
    const outcome = stage.ledgers.appendClosing(entries, [])
    queue.appended(outcome)
    return outcome
  }
  void queue.add(keyed(keys[1], '1:first'))
  await append(0)
  await append(1)
  await turns(4)
  expect(readyOf()).toEqual([4, 5, 4])
  // All or nothing.
  stage.store.manual = true
  const refused = append(2)
  stage.store.fail('full')
  stage.store.manual = false
  await expect(refused).rejects.toThrow('full')
  await turns(8)
  expect(await queue.ready()).toBeUndefined()
  await append(3)
  await turns(4)
  expect(readyOf()).toEqual([6, 7, 6])
  const consumer = consume(queue)
  await turns(8)
  expect(consumer.bodies.filter((body) => body.startsWith('1:'))).toEqual([
    '1:first',
    '1:0a',
    '1:0b',
    '1:1a',
    '1:1b',
    '1:3a',
    '1:3b',
  ])
})

test('what is too much goes from the head of the longest', async () => {
  const [, queue] = await open(3, { lengthMax: 9 })
  for (const [lane, count] of [2, 12, 4].entries())
    await publish(queue, ...Array.from({ length: count }, (_, at) => keyed(keys[lane], `${lane}:${at}`)))
  await turns(4)
  expect(queue.messages).toBe(9)
  const consumer = consume(queue)
  await turns(4)
  expect(consumer.bodies.toSorted()).toEqual(['0:0', '0:1', '1:10', '1:11', '1:9', '2:0', '2:1', '2:2', '2:3'])
})

test('bytes are those of all lanes; over the limit publishers are refused', async () => {
  const [, queue] = await open(3, { lengthBytesMax: 100 })
  for (const key of keys) await publish(queue, ...Array.from({ length: 10 }, () => keyed(key, '0123456789')))
  await turns(20)
  expect(queue.messages).toBe(10)
  const [, strict] = await open(3, { lengthMax: 4, overflow: 'reject-publish' })
  const states: string[] = []
  for (let at = 0; at < 6; at++) states.push(await publish(strict, keyed(keys[at % 3], 'm')))
  expect(states).toEqual(['stored', 'stored', 'stored', 'stored', 'refused', 'refused'])
})

test('after a start a limit counts what lies in lanes that nobody publishes to', async () => {
  const [stage, queue] = await open(3, { lengthMax: 4 })
  for (const key of keys.slice(1)) await publish(queue, keyed(key, 'a'), keyed(key, 'b'))
  await stage.settle()
  await stage.crash()
  const again = stage.queues.find('/', 'q') as Queue
  expect(again.lanes.map((lane) => lane.isOpen)).toEqual([false, false, false])
  for (let at = 0; at < 3; at++) await publish(again, keyed(keys[0], String(at)))
  await turns(6)
  expect(again.messages).toBe(4)
})

test('a limit that comes later counts them too', async () => {
  const [stage, queue] = await open(3)
  for (const key of keys) await publish(queue, keyed(key, 'a'), keyed(key, 'b'))
  await stage.settle()
  await stage.crash()
  const again = stage.queues.find('/', 'q') as Queue
  await publish(again, keyed(keys[0], 'c'))
  expect(again.messages).toBe(3)
  again.setPolicy({ ...again.policy, lengthMax: 4 })
  await turns(8)
  expect(again.lanes.map((lane) => lane.isOpen)).toEqual([true, true, true])
  expect(again.messages).toBe(4)
})

test('what is being read for one who waits is not pushed out meanwhile', async () => {
  const [stage, queue] = await open(3, { lengthMax: 2 })
  await publish(queue, keyed(keys[0], 'a'), keyed(keys[0], 'b'))
  const log = stage.store.logs.get(logId(queue.topic.id, 0))!
  const read = log.read.bind(log)
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  log.read = (...args) => gate.then(() => read(...args)) as never
  const consumer = consume(queue)
  await turns(2)
  await publish(queue, keyed(keys[0], 'c'), keyed(keys[0], 'd'))
  await turns(2)
  letGo()
  await turns(4)
  expect(consumer.bodies).toEqual(['a', 'b', 'c', 'd'])
})

test('a time to live holds in each lane', async () => {
  const [stage, queue] = await open(3, { messageTtlMs: 1000 })
  await fill(queue, 3)
  stage.world.clock.advance(600)
  await fill(queue, 2, 10)
  stage.world.clock.advance(600)
  await turns(10)
  expect(queue.messages).toBe(6)
  stage.world.clock.advance(600)
  await turns(10)
  expect(queue.messages).toBe(0)
})

test('after a start a queue is opened when messages of any partition expire', async () => {
  const [stage, queue] = await open(3, { messageTtlMs: 1000, deadLetterExchange: 'dlx' })
  await publish(queue, keyed(keys[2], 'a'))
  await stage.settle()
  await stage.crash()
  stage.world.clock.advance(2000)
  await stage.queues.start([stage.topic('/', 'q')])
  await turns(10)
  expect(stage.letters).toMatchObject([{ reason: 'expired', offsets: [0] }])
})

test('one who is too slow in one lane gives back what he holds in all', async () => {
  const [stage, queue] = await open(3, { consumerTimeoutMs: 1000 })
  await fill(queue, 2)
  const slow = consume(queue, { credit: 6 })
  await turns(4)
  stage.world.clock.advance(1500)
  await turns(4)
  expect(slow.cancels).toEqual(['consumerTimeout'])
  expect([queue.messages, queue.unacknowledged]).toEqual([6, 0])
})

test('one lane that cannot be opened stops none of the others', async () => {
  const [stage] = await open(3)
  const first = await stage.queue('q')
  await fill(first, 2)
  await stage.settle()
  await stage.crash()
  const broken = logId(stage.topic('/', 'q').id, 1)
  const openLog = stage.store.open.bind(stage.store)
  stage.store.open = (id, ...rest) => (id === broken ? Promise.reject(new Error('a bad disk')) : openLog(id, ...rest))
  const queue = stage.queues.find('/', 'q') as Queue
  expect(isRefusal(await queue.ready())).toBe(true)
  expect(await queue.opened()).toBeUndefined()
  expect(queue.isReady).toBe(false)
  expect(queue.messages).toBe(4)
  const consumer = consume(queue)
  await turns(6)
  expect(consumer.bodies.toSorted()).toEqual(['0:0', '0:1', '2:0', '2:1'])
  expect(await publish(queue, keyed(keys[0], '0:2'))).toBe('stored')
  expect(await publish(queue, keyed(keys[1], '1:2'))).toBe('refused')
  // Those without a key go where they can be stored.
  for (let at = 0; at < 6; at++) expect(await publish(queue, `any ${at}`)).toBe('stored')
  expect(isRefusal(await queue.take(false))).toBe(false)
  // It comes back, and so does what it holds.
  stage.store.open = openLog
  stage.world.clock.advance(1000)
  await turns(8)
  expect(consumer.bodies).toEqual(expect.arrayContaining(['1:0', '1:1']))
})

test('while a lane cannot be opened the queue may be purged and its policy may change, also with a consumer', async () => {
  const [stage] = await open(3)
  await fill(await stage.queue('q'), 2)
  await stage.settle()
  await stage.crash()
  const broken = logId(stage.topic('/', 'q').id, 1)
  const openLog = stage.store.open.bind(stage.store)
  stage.store.open = (id, ...rest) => (id === broken ? Promise.reject(new Error('a bad disk')) : openLog(id, ...rest))
  const queue = stage.queues.find('/', 'q') as Queue
  await queue.opened()
  expect(await queue.purge()).toBe(4)
  const consumer = consume(queue)
  await turns(4)
  expect(await queue.purge()).toBe(0)
  queue.setPolicy({ ...queue.policy, lengthMax: 100 })
  await turns(4)
  stage.store.open = openLog
  stage.world.clock.advance(1000)
  await turns(8)
  expect(consumer.bodies).toEqual(['1:0', '1:1'])
})

test('publishers alone do without a lane that is out of order, and have it again', async () => {
  const [stage] = await open(3)
  await fill(await stage.queue('q'), 1)
  await stage.settle()
  await stage.crash()
  const broken = logId(stage.topic('/', 'q').id, 1)
  const openLog = stage.store.open.bind(stage.store)
  stage.store.open = (id, ...rest) => (id === broken ? Promise.reject(new Error('a bad disk')) : openLog(id, ...rest))
  const queue = stage.queues.find('/', 'q') as Queue
  const states = async (): Promise<string[]> => {
    const outcomes: string[] = []
    for (let at = 0; at < 6; at++) outcomes.push(await publish(queue, `any ${at}`))
    return outcomes
  }
  // The one that found out.
  expect((await states()).filter((state) => state === 'refused').length).toBeLessThanOrEqual(1)
  expect(new Set(await states())).toEqual(new Set(['stored']))
  stage.world.clock.advance(1000)
  await turns(4)
  expect(new Set(await states())).toEqual(new Set(['stored']))
  stage.store.open = openLog
  stage.world.clock.advance(1000)
  await turns(4)
  expect(queue.isReady).toBe(true)
  const before = queue.lanes[1].log.log.end
  await states()
  expect(queue.lanes[1].log.log.end).toBeGreaterThan(before)
})

test('a queue at work opens the lanes it gains, for its limits and times to live, though nobody consumes', async () => {
  const [stage, queue] = await open(1, { messageTtlMs: 1000 })
  await publish(queue, 'a')
  await stage.grow('q', 3)
  await turns(4)
  expect(queue.lanes.map((lane) => lane.isOpen)).toEqual([true, true, true])
})

test('who waits for what was added waits for nothing that came after', async () => {
  const [stage, queue] = await open(3)
  stage.store.manual = true
  for (const key of keys) void queue.add(keyed(key, 'a'))
  await turns(2)
  let isSettled = false
  const settled = queue.settled().then(() => (isSettled = true))
  for (const key of keys) void queue.add(keyed(key, 'b'))
  await turns(2)
  // The first of all lanes, but for one.
  stage.store.commit(stage.store.pending - 4)
  await turns(2)
  expect(isSettled).toBe(false)
  stage.store.commit(1)
  await turns(2)
  expect(isSettled).toBe(true)
  stage.store.commit()
  await settled
})

test('who waits until a queue is ready hears of the lanes it goes on with', async () => {
  const [stage] = await open(2)
  await publish(await stage.queue('q'), 'a')
  await stage.settle()
  await stage.crash()
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  const openLog = stage.store.open.bind(stage.store)
  stage.store.open = (...given) => gate.then(() => openLog(...given))
  const queue = stage.queues.find('/', 'q') as Queue
  const waiting = [queue.ready(), queue.opened(), queue.take(true)] as const
  stage.ledgerOf.set('q', 1)
  stage.queues.find('/', 'q')
  letGo()
  expect(await waiting[0]).toBeUndefined()
  expect(await waiting[1]).toBeUndefined()
  expect(queue.isReady).toBe(true)
  expect(await waiting[2]).toMatchObject({ offset: 0 })
})

test('one lane that cannot be read stops none of the others', async () => {
  const [stage, queue] = await open(3, { lengthMax: 100 })
  await fill(queue, 3)
  const log = stage.store.logs.get(logId(queue.topic.id, 1))!
  const read = log.read.bind(log)
  let isBroken = true
  log.read = (...args) => (isBroken ? (Promise.reject(new Error('a bad disk')) as never) : read(...args))
  const consumer = consume(queue)
  await turns(6)
  expect(consumer.bodies.length).toBe(6)
  const got = await queue.take(true)
  expect(isRefusal(got)).toBe(true)
  isBroken = false
  stage.world.clock.advance(1000)
  await turns(6)
  expect(consumer.bodies.filter((body) => body.startsWith('1:'))).toEqual(['1:0', '1:1', '1:2'])
})

test('a live queue gains lanes, also while somebody consumes', async () => {
  const [stage, queue] = await open(1)
  await publish(queue, 'a')
  const consumer = consume(queue)
  await turns(4)
  const [before] = queue.lanes
  await stage.grow('q', 3)
  expect(queue.lanes.map(({ partition }) => partition)).toEqual([0, 1, 2])
  expect(queue.lanes[0]).toBe(before)
  await fill(queue, 1)
  await turns(4)
  expect(consumer.bodies).toEqual(['a', '0:0', '1:0', '2:0'])
  before.acknowledge(0)
  expect(queue.unacknowledged).toBe(3)
})

test('a lane may become void: settling it does nothing, and its messages come again', async () => {
  const [stage, queue] = await open(2)
  await publish(queue, 'a', 'b')
  await turns(2)
  const seen = new Map<string, { readonly lane: LanePart; readonly offset: number }>()
  const consumer = new TestConsumer()
  const deliver = consumer.deliver.bind(consumer)
  consumer.deliver = (message: StoredMessage) => {
    seen.set(message.body.toString(), { lane: message.lane, offset: message.offset })
    deliver(message)
  }
  queue.consume(consumer)
  queue.resume()
  await turns(4)
  const first = seen.get('a')!
  // Published in the turn in which the ledger is another: stored all the same.
  const receipts = ['c', 'd'].map((body) => queue.add(testMessage(body)))
  stage.ledgerOf.set('q', 1)
  stage.queues.find('/', 'q')
  expect(first.lane.isVoid).toBe(true)
  first.lane.acknowledge(first.offset)
  first.lane.giveBack(first.offset, true)
  first.lane.reject(first.offset)
  await turns(6)
  expect(receipts.map((receipt) => !isRefusal(receipt) && receipt.state)).toEqual(['stored', 'stored'])
  expect(consumer.bodies.toSorted()).toEqual(['a', 'a', 'b', 'b', 'c', 'd'])
  const again = seen.get('a')!
  expect(again.lane).not.toBe(first.lane)
  again.lane.acknowledge(again.offset)
  expect([queue.messages, queue.unacknowledged]).toEqual([0, 3])
})
