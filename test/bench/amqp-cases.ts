// The cases over AMQP: our broker against RabbitMQ's quorum and classic durable queues.
// Promises: names are stable; every amount is scaled by one factor, so that a smoke run is short.
// Does not know: alternation, medians, tables.

import { amqpLatency, load, onBroker, perfTest, whileHeld, type Rates } from './amqp-clients.ts'
import type { Case, Figures, Round } from './cases.ts'
import { cpuSeconds, memoryMiB, type Side } from './sides.ts'

type QueueType = 'quorum' | 'classic'

const KIB = 1024
const MIB = KIB * KIB
const MILLION = 1_000_000
const TYPES: readonly QueueType[] = ['quorum', 'classic']

const ofType = (type: QueueType): Readonly<Record<string, string>> => ({ 'x-queue-type': type })

/** PerfTest on a queue that is there: it declares nothing, so that the type is ours to choose. */
const onQueue = (queue: string): readonly string[] => ['-p', '-u', queue, '-f', 'persistent']

const scaled = (round: Round, amount: number): number => Math.max(100, Math.round(amount * round.scale))

interface Flow {
  readonly name: string
  readonly bytes: number
  readonly pairs: number
}

const FLOWS: readonly Flow[] = [
  { name: '1kib-1p1c', bytes: KIB, pairs: 1 },
  { name: '1kib-5p5c', bytes: KIB, pairs: 5 },
  { name: '12b-1p1c', bytes: 12, pairs: 1 },
  { name: '12b-5p5c', bytes: 12, pairs: 5 },
]
const FLOW_SECONDS = 20

/** By time, not by count: how several consumers share what there is, nobody knows. */
async function flow(round: Round, type: QueueType, { bytes, pairs }: Flow): Promise<Figures> {
  const { side, topic: queue, cacheDir } = round
  await onBroker(side.address, (queues) => queues.declare(queue, ofType(type)))
  const seconds = Math.max(5, Math.round(FLOW_SECONDS * round.scale))
  const load = ['-z', `${seconds}`, '-s', `${bytes}`, '-x', `${pairs}`, '-y', `${pairs}`, '-c', '500', '-q', '250']
  const before = cpuSeconds(side.pid)
  const { received } = await perfTest(cacheDir, side.address, [...onQueue(queue), ...load])
  const spent = cpuSeconds(side.pid) - before
  await onBroker(side.address, (queues) => queues.drop(queue))
  return {
    throughput: received / 1000,
    cpuPerMillion: (spent / (received * seconds)) * MILLION,
    peakMiB: memoryMiB(side.pid, 'VmHWM'),
  }
}

function flowCases(): Case[] {
  return FLOWS.flatMap((one) =>
    TYPES.map((type): Case => {
      const sides = one.pairs === 1 ? '1 producer, 1 consumer' : `${one.pairs} producers, ${one.pairs} consumers`
      return {
        name: `amqp-${type}-${one.name}`,
        title: `PerfTest, ${one.bytes} B persistent, ${type}, ${sides}, 500 unconfirmed, prefetch 250`,
        protocol: 'amqp',
        durability: 'commit',
        usual: true,
        run: (round) => flow(round, type, one),
      }
    }),
  )
}

async function fill(
  round: Round,
  queue: string,
  messages: number,
  bytes: number,
  more: readonly string[] = [],
): Promise<Rates> {
  const args = ['-x', '2', '-y', '0', '-C', `${Math.ceil(messages / 2)}`, '-c', '500', '-s', `${bytes}`, ...more]
  return perfTest(round.cacheDir, round.side.address, [...onQueue(queue), ...args])
}

async function drain(round: Round, queue: string, messages: number, prefetch: number): Promise<Rates> {
  const args = ['-x', '0', '-y', '1', '-D', `${messages}`, '-q', `${prefetch}`]
  return perfTest(round.cacheDir, round.side.address, [...onQueue(queue), ...args])
}

function steadyCases(): Case[] {
  const roundTrips = TYPES.map((type): Case => ({
    name: `amqp-${type}-prefetch-1`,
    title: `PerfTest, one consumer with prefetch 1, ${type}, 1024 B`,
    protocol: 'amqp',
    durability: 'commit',
    usual: type === 'quorum',
    run: async (round) => {
      const messages = scaled(round, 30_000)
      const { side, topic: queue } = round
      await onBroker(side.address, (queues) => queues.declare(queue, ofType(type)))
      await fill(round, queue, messages, KIB)
      const before = cpuSeconds(side.pid)
      const { received } = await drain(round, queue, messages, 1)
      const spent = cpuSeconds(side.pid) - before
      await onBroker(side.address, (queues) => queues.drop(queue))
      return { throughput: received / 1000, cpuPerMillion: (spent / messages) * MILLION }
    },
  }))
  const fanOut: Case = {
    name: 'amqp-fanout-1mib',
    title: 'PerfTest, bodies of 1 MiB to 10 durable queues',
    protocol: 'amqp',
    durability: 'commit',
    usual: true,
    run: async (round) => {
      const { side, topic } = round
      const messages = Math.max(10, scaled(round, 300))
      const names = Array.from({ length: 10 }, (_, index) => `${topic}-${index + 1}`)
      const pattern = ['--queue-pattern', `${topic}-%d`, '--queue-pattern-from', '1', '--queue-pattern-to', '10']
      const amount = ['-x', '1', '-y', '10', '-C', `${messages}`, '-D', `${messages}`, '-s', `${MIB}`]
      const args = ['-t', 'fanout', '-e', topic, ...pattern, ...amount, '-c', '10', '-q', '5', '-f', 'persistent']
      const before = cpuSeconds(side.pid)
      const { received } = await perfTest(round.cacheDir, side.address, [...args, '-ad', 'false'])
      const spent = cpuSeconds(side.pid) - before
      await onBroker(side.address, async (queues) => {
        for (const name of names) await queues.drop(name)
      })
      return { deliveries: received, cpuPerGb: (spent / (messages * 10 * MIB)) * 1e9 }
    },
  }
  const many: Case = {
    name: 'amqp-queues-1000',
    title: '1000 durable queues, 10 msg/s each, publish to delivery',
    protocol: 'amqp',
    durability: 'commit',
    usual: true,
    run: async (round) => {
      const before = cpuSeconds(round.side.pid)
      const said = await load('many', round.side.address, round.topic, 1_000, 10, Math.max(3, 15 * round.scale))
      const figure = (name: string): number => Number(new RegExp(`"${name}":(\\d+)`).exec(said)?.[1])
      return { p50: figure('p50') / 1000, p99: figure('p99') / 1000, cpu: cpuSeconds(round.side.pid) - before }
    },
  }
  const latencies = TYPES.flatMap((type) =>
    [1_000, 8_000].map((rate): Case => ({
      name: `amqp-${type}-latency-${rate}`,
      title: `end to end at ${rate} msg/s, Java, 1 KiB, confirms, ${type}`,
      protocol: 'amqp',
      durability: 'commit',
      usual: true,
      run: async (round) => {
        const seconds = Math.max(3, Math.round(15 * round.scale))
        const { p50, p99 } = await amqpLatency(round.cacheDir, round.side.address, round.topic, type, rate, seconds)
        return { p50: p50 / 1000, p99: p99 / 1000 }
      },
    })),
  )
  return [...latencies, ...roundTrips, fanOut, many]
}

/** Present memory once it has settled: the least of a few looks. */
async function settledMiB(side: Side): Promise<number> {
  let least = Infinity
  for (let look = 0; look < 5; look++) {
    await new Promise((resolve) => setTimeout(resolve, 400))
    least = Math.min(least, memoryMiB(side.pid, 'VmRSS'))
  }
  return least
}

function backlogCases(): Case[] {
  const backlog = TYPES.map((type): Case => ({
    name: `amqp-${type}-backlog-1m`,
    title: `a backlog of 1 M × 1 KiB, then drained, ${type}`,
    protocol: 'amqp',
    durability: 'commit',
    usual: true,
    freshSides: true,
    run: async (round) => {
      const { side, topic: queue } = round
      const messages = scaled(round, MILLION)
      await onBroker(side.address, (queues) => queues.declare(queue, ofType(type)))
      // What a first few messages cost is not the backlog's.
      await fill(round, queue, 2_000, KIB)
      const before = await settledMiB(side)
      const { sent } = await fill(round, queue, messages, KIB)
      const growthMiB = (await settledMiB(side)) - before
      const { received } = await drain(round, queue, messages, 250)
      await onBroker(side.address, (queues) => queues.drop(queue))
      return { growthMiB, fillRate: sent / 1000, drainRate: received / 1000 }
    },
  }))
  const hoard: Case = {
    name: 'amqp-classic-never-acked-1m',
    title: '1 M × 1 KiB handed to a consumer that never acknowledges, classic',
    protocol: 'amqp',
    durability: 'commit',
    usual: true,
    freshSides: true,
    run: async (round) => {
      const { side, topic: queue } = round
      const messages = scaled(round, MILLION)
      await onBroker(side.address, (queues) => queues.declare(queue, ofType('classic')))
      await fill(round, queue, messages, KIB)
      const before = await settledMiB(side)
      let after = 0
      const look = (): void => void (after = memoryMiB(side.pid, 'VmRSS'))
      const handed = await whileHeld('hoard', side.address, queue, [messages, 0, 10_000], /"got":(\d+)/, look)
      return { growthMiB: after - before, handedOut: handed / 1000 }
    },
  }
  const unread: Case = {
    name: 'amqp-exclusive-unread-1gib',
    title: '1 GiB into an exclusive queue that nobody reads, 1 KiB messages',
    protocol: 'amqp',
    durability: 'commit',
    usual: true,
    freshSides: true,
    run: async (round) => {
      const { side, topic: queue } = round
      const before = await settledMiB(side)
      let after = 0
      const look = (): void => void (after = memoryMiB(side.pid, 'VmRSS'))
      const numbers = [scaled(round, MIB), KIB, 10_000]
      await whileHeld('unread', side.address, queue, numbers, /"messageCount":(\d+)/, look)
      return { growthMiB: after - before }
    },
  }
  return [...backlog, hoard, unread]
}

interface Variant {
  readonly name: string
  readonly title: string
  readonly arguments: Readonly<Record<string, string | number>>
  readonly properties: readonly string[]
}

const VARIANTS: readonly Variant[] = [
  { name: 'classic', title: 'classic', arguments: ofType('classic'), properties: [] },
  { name: 'quorum', title: 'quorum', arguments: ofType('quorum'), properties: [] },
  { name: 'priority', title: 'with priorities', arguments: { 'x-max-priority': 5 }, properties: ['-mp', 'priority=3'] },
  { name: 'ttl', title: 'each with a time to live', arguments: {}, properties: ['-mp', 'expiration=86400000'] },
]

function restartCases(): Case[] {
  const restarts = VARIANTS.map((variant): Case => ({
    name: `amqp-restart-10m-${variant.name}`,
    title: `kill -9 with 10 M × 12 B queued, ${variant.title}: start to first delivery`,
    protocol: 'amqp',
    durability: 'commit',
    usual: true,
    freshSides: true,
    limitMinutes: 60,
    run: async (round) => {
      const { side, topic: queue } = round
      const messages = scaled(round, 10 * MILLION)
      await onBroker(side.address, (queues) => queues.declare(queue, variant.arguments))
      await fill(round, queue, messages, 12, variant.properties)
      const waiting = load('first', side.address, queue)
      // It finds nobody for a moment, then the broker as soon as that answers.
      await side.restart?.()
      const began = performance.now()
      const deliveredMs = side.startMs + (await waiting.then(() => performance.now() - began))
      return { firstDeliveryMs: deliveredMs, idleMiB: memoryMiB(side.pid, 'VmRSS') }
    },
  }))
  const idle: Case = {
    name: 'amqp-idle-queues-10000',
    title: '10,000 idle durable queues: memory for them, start with them after kill -9',
    protocol: 'amqp',
    durability: 'commit',
    usual: true,
    freshSides: true,
    run: async (round) => {
      const { side, topic } = round
      await side.restart?.()
      const none = await settledMiB(side)
      await load('idle', side.address, topic, scaled(round, 10_000))
      await side.restart?.()
      return { startMs: side.startMs, growthMiB: (await settledMiB(side)) - none }
    },
  }
  return [...restarts, idle]
}

export const AMQP_CASES: readonly Case[] = [...flowCases(), ...steadyCases(), ...backlogCases(), ...restartCases()]
