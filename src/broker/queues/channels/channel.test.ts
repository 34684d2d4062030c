// One channel over queues that are lists: tags, credit, settling, its end; credit against a naive count.
// Promises: the texts are those a RabbitMQ 4.3 gave for the same calls.
// Does not know: publishing's judgements, transactions; how queues really give out.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fieldTable, int32Field, textField } from '../../../base/fields.ts'
import { isRefusal, refuse } from '../../errors.ts'
import type { Channel } from '../../queue-door.ts'
import { consume, publication, Stage, StageQueue, StageSink } from './channel-stage.contract.ts'
import type { LanePart } from '../parts.ts'

function staged(messages: number, name = 'q') {
  const stage = new Stage()
  const sink = new StageSink()
  const queue = stage.queue(name)
  const channel = stage.channel(sink)
  for (let count = 0; count < messages; count++)
    channel.publish(publication({ routingKey: name, body: `${name}${count}` }))
  return { stage, sink, queue, channel }
}

describe('consumers', () => {
  test('nothing is delivered before start; then in order, tagged from 1, each consumer in turn', async () => {
    const { stage, sink, queue, channel } = staged(3)
    const consumer = await channel.consume({
      queue: 'q',
      consumerTag: 'one',
      noAck: false,
      exclusive: false,
      arguments: [],
    })
    stage.pump()
    expect(sink.given).toEqual([])
    if (isRefusal(consumer)) throw new Error(consumer.why)
    consumer.start()
    stage.pump()
    expect(sink.given.map(({ tag, consumerTag, body }) => [tag, consumerTag, body])).toEqual([
      [1, 'one', 'q0'],
      [2, 'one', 'q1'],
      [3, 'one', 'q2'],
    ])
    expect(queue.unacknowledged).toBe(3)
  })

  test('made-up tags differ; a tag taken twice is refused, also while it is being made', async () => {
    const { channel } = staged(0)
    const [first, second] = [await consume(channel, 'q'), await consume(channel, 'q')]
    expect(first).toMatch(/^amq\.ctag-.{22}$/)
    expect(second).not.toBe(first)
    const call = { queue: 'q', consumerTag: 't', noAck: false, exclusive: false, arguments: [] }
    const both = await Promise.all([channel.consume(call), channel.consume(call)])
    expect(both[1]).toEqual(refuse('consumerTagTaken', "attempt to reuse consumer tag 't'"))
  })

  test('what is refused, in the words of RabbitMQ', async () => {
    const stage = new Stage({ consumersMax: 1 })
    stage.queue('q')
    const channel = stage.channel()
    const call = { queue: 'q', consumerTag: '', noAck: false, exclusive: false, arguments: [] }
    expect(await channel.consume({ ...call, queue: 'x' })).toEqual(refuse('queueMissing', "no queue 'x' in vhost '/'"))
    expect(await channel.get('x', true)).toEqual(refuse('queueMissing', "no queue 'x' in vhost '/'"))
    expect(await channel.consume({ ...call, arguments: fieldTable({ 'x-priority': textField('a') }) })).toEqual(
      refuse('invalidArgument', `invalid arg 'x-priority' for queue 'q' in vhost '/': "expected integer, got longstr"`),
    )
    await consume(channel, 'q')
    expect(await channel.consume(call)).toEqual(refuse('notAllowed', 'reached maximum (1) of consumers per channel'))
    const locked = refuse('queueLocked', 'another connection has it')
    const other = stage.channel(new StageSink(), { mayUse: () => locked })
    expect(await other.consume(call)).toEqual(locked)
    expect(await other.get('q', false)).toEqual(locked)
  })

  test('priority and arguments reach the queue', async () => {
    const { queue, channel } = staged(0)
    const given = fieldTable({ 'x-priority': int32Field(-7) })
    await channel.consume({ queue: 'q', consumerTag: 't', noAck: true, exclusive: true, arguments: given })
    expect(queue.taking[0]).toMatchObject({ tag: 't', priority: -7, noAck: true, isExclusive: true, arguments: given })
  })

  test('a cancelled consumer is given nothing more and what it holds stays unsettled', async () => {
    const { stage, sink, queue, channel } = staged(2)
    channel.setPrefetch(1, 'consumer')
    const tag = await consume(channel, 'q')
    stage.pump()
    await channel.cancel(tag)
    await channel.cancel('nobody')
    expect(queue.consumers).toBe(0)
    expect(queue.unacknowledged).toBe(1)
    expect(channel.acknowledge(1, false)).toBe(true)
    stage.pump()
    expect(sink.bodies).toEqual(['q0'])
    expect(queue.unacknowledged).toBe(0)
    // Its tag is free again.
    expect(await consume(channel, 'q', { consumerTag: tag })).toBe(tag)
  })

  test('the end of a queue ends its consumers; what they hold is settled without a word', async () => {
    const { stage, sink, queue, channel } = staged(2)
    const tag = await consume(channel, 'q')
    stage.pump()
    queue.drop('queueDeleted')
    stage.queues.delete('q')
    expect(sink.ended).toEqual([`${tag} queueDeleted`])
    expect(channel.acknowledge(1, false)).toBe(true)
    expect(channel.reject(2, false, true, true)).toBe(true)
    expect(channel.acknowledge(2, false)).toEqual(refuse('unknownDelivery', 'unknown delivery tag 2'))
    expect(queue.told).toEqual([])
    expect(await channel.get('q', true)).toEqual(refuse('queueMissing', "no queue 'q' in vhost '/'"))
  })
})

test('what a consumer held that was too slow is nobody’s to settle here any more', async () => {
  const { stage, sink, queue, channel } = staged(1)
  const tag = await consume(channel, 'q')
  stage.pump()
  queue.taking.splice(0)[0].cancelled('consumerTimeout')
  queue.giveBack(0, true)
  expect(sink.ended).toEqual([`${tag} consumerTimeout`])
  expect(channel.acknowledge(1, false)).toBe(true)
  expect(queue.bodies).toEqual(['q0'])
})

test('also when its client had ended it before', async () => {
  const { stage, sink, queue, channel } = staged(2)
  const tag = await consume(channel, 'q')
  const [consumer] = queue.taking
  stage.pump()
  await channel.cancel(tag)
  consumer.cancelled('consumerTimeout')
  for (const offset of [0, 1]) queue.giveBack(offset, true)
  expect(sink.ended).toEqual([])
  expect(await channel.get('q', false)).toMatchObject({ tag: 3 })
  queue.told.length = 0
  expect(channel.acknowledge(1, false)).toBe(true)
  expect(channel.reject(2, false, false, false)).toBe(true)
  expect(queue.told).toEqual([])
  expect(channel.acknowledge(3, false)).toBe(true)
  expect(queue.told.length).toBe(1)
})

/** A lane of a queue that has several. */
class TestLane implements LanePart {
  readonly queue: StageQueue
  readonly topic: LanePart['topic']
  readonly partition: number
  readonly told: string[] = []
  isVoid = false

  constructor(queue: StageQueue, partition: number) {
    this.queue = queue
    this.topic = queue.topic
    this.partition = partition
  }

  acknowledge(offset: number): void {
    this.told.push(`ack ${offset}`)
  }

  giveBack(offset: number, counts: boolean): void {
    this.told.push(`back ${offset} ${counts}`)
  }

  reject(offset: number): void {
    this.told.push(`reject ${offset}`)
  }

  closings(): readonly [] {
    return []
  }

  async readEach(): Promise<undefined> {}
}

describe('several lanes', () => {
  const given = async (prefetch: number) => {
    const { queue, channel } = staged(1)
    channel.setPrefetch(prefetch, 'consumer')
    const tag = await consume(channel, 'q')
    const [consumer] = queue.taking
    const give = (lane: LanePart, offset: number): void => consumer.deliver({ ...queue.stored(0), lane, offset })
    const lanes = [0, 1, 2].map((partition) => new TestLane(queue, partition))
    return { queue, channel, consumer, give, lanes, tag }
  }

  test('each delivery is settled with its own, also after the end of its consumer', async () => {
    const { channel, give, lanes, tag } = await given(0)
    for (let offset = 0; offset < 2; offset++) for (const lane of lanes) give(lane, offset)
    channel.acknowledge(2, false)
    channel.reject(3, false, true, true)
    await channel.cancel(tag)
    channel.reject(4, false, false, false)
    channel.acknowledge(0, true)
    expect(lanes.map(({ told }) => told)).toEqual([
      ['reject 1', 'ack 0'],
      ['ack 0', 'ack 1'],
      ['back 0 true', 'ack 1'],
    ])
  })

  test('credit is for all of them together; a void one gives credit back and hears nothing', async () => {
    const { channel, consumer, give, lanes, queue } = await given(2)
    const [first, second] = lanes
    give(first, 0)
    give(second, 0)
    expect(consumer.canTake).toBe(false)
    first.isVoid = true
    const resumed = queue.resumed
    channel.acknowledge(1, false)
    expect(queue.resumed).toBe(resumed + 1)
    expect(consumer.canTake).toBe(true)
    // The queue goes on with another ledger over the same log.
    const again = new TestLane(queue, 0)
    give(again, 0)
    channel.acknowledge(0, true)
    expect([first.told, second.told, again.told]).toEqual([[], ['ack 0'], ['ack 0']])
    expect(consumer.canTake).toBe(true)
  })

  test('what is void in a transaction is nobody’s to close, and its commit goes through', async () => {
    const { channel, give, lanes } = await given(0)
    const [first, second] = lanes
    channel.beginTransactions()
    give(first, 0)
    give(second, 0)
    channel.acknowledge(0, true)
    first.isVoid = true
    expect(await channel.commit()).toBe(true)
    expect([first.told, second.told]).toEqual([[], ['ack 0']])
  })
})

describe('settling', () => {
  test('one, several, all; none twice', async () => {
    const { stage, queue, channel } = staged(6)
    await consume(channel, 'q')
    stage.pump()
    expect(channel.acknowledge(2, false)).toBe(true)
    expect(channel.acknowledge(4, true)).toBe(true)
    expect(channel.acknowledge(4, true)).toEqual(refuse('unknownDelivery', 'unknown delivery tag 4'))
    expect(channel.acknowledge(0, false)).toEqual(refuse('unknownDelivery', 'unknown delivery tag 0'))
    expect(channel.reject(7, true, true, false)).toEqual(refuse('unknownDelivery', 'unknown delivery tag 7'))
    expect(channel.acknowledge(0, true)).toBe(true)
    expect(channel.acknowledge(0, true)).toBe(true)
    expect(queue.told).toEqual(['ack 1', 'ack 0', 'ack 2', 'ack 3', 'ack 4', 'ack 5'])
  })

  test('requeued, counting or not, and dropped', async () => {
    const { stage, sink, queue, channel } = staged(3)
    await consume(channel, 'q')
    stage.pump()
    channel.reject(1, false, true, true)
    channel.reject(3, false, false, false)
    channel.reject(2, false, true, false)
    expect(queue.told).toEqual(['back 0 counting', 'reject 2', 'back 1'])
    stage.pump()
    expect(sink.given.slice(3).map(({ tag, body, redelivered }) => [tag, body, redelivered])).toEqual([
      [4, 'q0', true],
      [5, 'q1', true],
    ])
  })

  test('recover gives everything back, uncounted', async () => {
    const { stage, queue, channel } = staged(2)
    await consume(channel, 'q')
    stage.pump()
    channel.recover()
    expect(queue.told).toEqual(['back 0', 'back 1'])
    expect(channel.acknowledge(1, false)).toEqual(refuse('unknownDelivery', 'unknown delivery tag 1'))
  })

  test('a closed channel gives everything back in order, counting, whoever holds it', async () => {
    const { stage, sink, queue, channel } = staged(4)
    channel.setPrefetch(2, 'consumer')
    const first = await consume(channel, 'q')
    stage.pump()
    await channel.cancel(first)
    await channel.get('q', false)
    await consume(channel, 'q')
    stage.pump()
    channel.close()
    channel.close()
    expect(queue.told).toEqual([0, 1, 2, 3].map((offset) => `back ${offset} counting`))
    expect(queue.bodies).toEqual(['q0', 'q1', 'q2', 'q3'])
    stage.pump()
    expect(sink.given).toHaveLength(3)
    expect(queue.consumers).toBe(0)
    expect(channel.publish(publication({}))).toMatchObject({ refused: 'shuttingDown' })
  })

  test('a get under way when the channel closes takes nothing away', async () => {
    const { queue, channel } = staged(1)
    const got = channel.get('q', false)
    channel.close()
    expect(await got).toMatchObject({ refused: 'shuttingDown' })
    expect(queue.bodies).toEqual(['q0'])
  })
})

describe('get', () => {
  test('tags are shared with deliveries; what remains is counted; empty is undefined', async () => {
    const { stage, queue, channel } = staged(4)
    expect(await channel.get('q', false)).toMatchObject({ tag: 1, redelivered: false, messages: 3 })
    channel.setPrefetch(1, 'consumer')
    await consume(channel, 'q')
    stage.pump()
    expect(await channel.get('q', true)).toMatchObject({ tag: 3, messages: 1 })
    expect(channel.acknowledge(3, false)).toEqual(refuse('unknownDelivery', 'unknown delivery tag 3'))
    expect(channel.acknowledge(1, false)).toBe(true)
    expect(queue.told).toEqual(['ack 0'])
    await channel.get('q', true)
    expect(await channel.get('q', true)).toBeUndefined()
  })
})

describe('flow', () => {
  test('a sink without room and a stopped channel are given nothing, until they say so', async () => {
    const { stage, sink, channel } = staged(3)
    channel.setPrefetch(1, 'consumer')
    sink.hasRoom = false
    await consume(channel, 'q', { noAck: true })
    stage.pump()
    expect(sink.given).toEqual([])
    channel.setFlow(false)
    sink.hasRoom = true
    channel.resume()
    stage.pump()
    expect(sink.given).toEqual([])
    channel.setFlow(true)
    stage.pump()
    // Without acknowledgements the prefetch says nothing.
    expect(sink.bodies).toEqual(['q0', 'q1', 'q2'])
  })

  test('at the limit of unsettled deliveries nothing more comes', async () => {
    const stage = new Stage({ unsettledMax: 2 })
    const sink = new StageSink()
    stage.queue('q')
    const channel = stage.channel(sink)
    for (let count = 0; count < 4; count++) channel.publish(publication({ body: String(count) }))
    await consume(channel, 'q')
    stage.pump()
    expect(sink.bodies).toEqual(['0', '1'])
    channel.acknowledge(1, false)
    stage.pump()
    expect(sink.bodies).toEqual(['0', '1', '2'])
  })
})

// --- credit against a naive count ---

type Step =
  | { readonly does: 'publish' | 'consume' | 'cancel' | 'get' | 'settle' | 'room'; readonly pick: number }
  | { readonly does: 'prefetch'; readonly count: number; readonly scope: 'consumer' | 'channel' }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({
        does: fc.constantFrom(
          ...(['publish', 'publish', 'consume', 'cancel', 'get', 'settle', 'settle', 'settle', 'room'] as const),
        ),
        pick: fc.nat(1000),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        does: fc.constant('prefetch' as const),
        count: fc.nat(4),
        scope: fc.constantFrom('consumer' as const, 'channel' as const),
      }),
    },
  ),
  { minLength: 20, maxLength: 120 },
)

interface Naive {
  readonly queue: string
  readonly prefetch: number
  readonly noAck: boolean
}

class CreditRun {
  readonly stage = new Stage()
  readonly sink = new StageSink()
  readonly channel: Channel
  readonly names = ['a', 'b']
  readonly consumers = new Map<string, Naive>()
  /** Whose each unsettled tag is: a consumer's, or '' for a get. */
  readonly held = new Map<number, string>()
  prefetch = 0
  together = 0
  seen = 0
  made = 0

  constructor(breakIt: (channel: Channel) => void) {
    for (const name of this.names) this.stage.queue(name)
    this.channel = this.stage.channel(this.sink)
    breakIt(this.channel)
  }

  async play(run: readonly Step[]): Promise<void> {
    for (const step of run) {
      await this.step(step)
      this.stage.pump()
      this.look()
    }
  }

  async step(step: Step): Promise<void> {
    if (step.does === 'prefetch') {
      if (step.scope === 'consumer') this.prefetch = step.count
      else this.together = step.count
      return this.channel.setPrefetch(step.count, step.scope)
    }
    const name = this.names[step.pick % 2]
    switch (step.does) {
      case 'publish':
        for (let count = 0; count <= step.pick % 5; count++) this.channel.publish(publication({ routingKey: name }))
        for (const queue of this.stage.queues.values()) queue.resume()
        return
      case 'consume': {
        const noAck = step.pick % 7 === 0
        const consumerTag = `c${this.made++}`
        this.consumers.set(consumerTag, { queue: name, prefetch: this.prefetch, noAck })
        await consume(this.channel, name, { consumerTag, noAck })
        return
      }
      case 'cancel': {
        const tag = [...this.consumers.keys()][step.pick % Math.max(1, this.consumers.size)] ?? 'none'
        this.consumers.delete(tag)
        return this.channel.cancel(tag)
      }
      case 'get': {
        const got = await this.channel.get(name, false)
        if (got !== undefined && !isRefusal(got)) this.held.set(got.tag, '')
        return
      }
      case 'settle':
        return this.settle(step.pick)
      case 'room':
        this.sink.hasRoom = step.pick % 3 !== 0
        return this.channel.resume()
    }
  }

  settle(pick: number): void {
    const tags = [...this.held.keys()]
    if (tags.length === 0) return
    const tag = tags[pick % tags.length]
    const multiple = pick % 3 === 0
    if (pick % 5 === 0) this.channel.reject(tag, multiple, true, false)
    else this.channel.acknowledge(tag, multiple)
    for (const other of tags) if (other === tag || (multiple && other < tag)) this.held.delete(other)
  }

  /** Takes note of what came, and finds nobody served beyond the credit nor starving below it. */
  look(): void {
    const heldBefore = this.held.size
    for (const { tag, consumerTag } of this.sink.given.slice(this.seen))
      if (this.consumers.get(consumerTag)?.noAck === false) this.held.set(tag, consumerTag)
    if (this.together !== 0 && this.held.size > heldBefore) expect(this.held.size).toBeLessThanOrEqual(this.together)
    this.seen = this.sink.given.length
    const heldBy = (tag: string): number => [...this.held.values()].filter((holder) => holder === tag).length
    for (const [tag, { queue, prefetch, noAck }] of this.consumers) {
      const hasOwn = prefetch === 0 || heldBy(tag) < prefetch
      const hasShared = this.together === 0 || this.held.size < this.together
      expect(prefetch === 0 || noAck || heldBy(tag) <= prefetch).toBe(true)
      if (this.sink.hasRoom && (noAck || (hasOwn && hasShared)))
        expect(this.stage.queues.get(queue)?.messages, `${tag} could take`).toBe(0)
    }
    const unacknowledged = [...this.stage.queues.values()].reduce((sum, queue) => sum + queue.unacknowledged, 0)
    expect(unacknowledged).toBe(this.held.size)
  }
}

test('credit comes and goes as naively counted', async () => {
  await fc.assert(
    fc.asyncProperty(steps, (run) => new CreditRun(() => undefined).play(run)),
    { numRuns: 200 },
  )
})

const breaks: readonly (readonly [string, (channel: Channel) => void])[] = [
  ['a prefetch of all together is taken for one of each', (channel) => swap(channel, (count) => [count, 'consumer'])],
  ['a prefetch is one more than said', (channel) => swap(channel, (count, scope) => [count && count + 1, scope])],
  [
    'multiple is not heard',
    (channel) => {
      const { acknowledge } = channel
      channel.acknowledge = (tag) => acknowledge.call(channel, tag, false)
    },
  ],
]

function swap(
  channel: Channel,
  change: (count: number, scope: 'consumer' | 'channel') => [number, 'consumer' | 'channel'],
): void {
  const { setPrefetch } = channel
  channel.setPrefetch = (count, scope) => setPrefetch.call(channel, ...change(count, scope))
}

test.each(breaks)('the test is red when %s', async (_, breakIt) => {
  const broken = await fc.check(
    fc.asyncProperty(steps, (run) => new CreditRun(breakIt).play(run)),
    { numRuns: 200, seed: 1, endOnFailure: true },
  )
  expect(broken.failed).toBe(true)
})
