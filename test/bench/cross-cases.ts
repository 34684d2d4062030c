// The cases of both protocols on one name: our broker beside itself with one protocol only, or on another store.
// Promises: names are stable; what is compared is the same volume, at the same rate, by the same clients.
// Does not know: alternation, medians, tables.

import { crossLatency, onBroker, perfTest, startTimes, type Way } from './amqp-clients.ts'
import { dropTopic, makeTopic, type Case, type Figures, type Round } from './cases.ts'
import { javaProduce } from './clients.ts'
import { cpuSeconds, type Side } from './sides.ts'

const KIB = 1024
const MILLION = 1_000_000
const DRAIN_MESSAGES = 500_000
const LATENCY_RATE = 1_000
const LATENCY_SECONDS = 15

const scaled = (round: Round, amount: number): number => Math.max(100, Math.round(amount * round.scale))

function kafkaOf(side: Side): string {
  if (side.kafka === undefined) throw new Error(`${side.label} takes no clients of Kafka`)
  return side.kafka
}

async function drain(round: Round, messages: number): Promise<Figures> {
  const { side, topic: queue, cacheDir } = round
  const before = cpuSeconds(side.pid)
  const args = ['-p', '-u', queue, '-x', '0', '-y', '1', '-D', `${messages}`, '-q', '250']
  const { received } = await perfTest(cacheDir, side.address, args)
  return { throughput: received / 1000, cpuPerMillion: ((cpuSeconds(side.pid) - before) / messages) * MILLION }
}

async function drainTopic(round: Round): Promise<Figures> {
  const { side, topic, cacheDir } = round
  const records = scaled(round, DRAIN_MESSAGES)
  await makeTopic(kafkaOf(side), topic, 1)
  await javaProduce(cacheDir, kafkaOf(side), topic, {
    records,
    bytes: KIB,
    acks: 'all',
    batchBytes: 16 * KIB,
    lingerMs: 0,
  })
  await onBroker(side.address, (queues) => queues.declare(topic, {}))
  const figures = await drain(round, records)
  await dropTopic(kafkaOf(side), topic)
  return figures
}

async function drainQueue(round: Round): Promise<Figures> {
  const { side, topic: queue, cacheDir } = round
  const messages = 2 * Math.ceil(scaled(round, DRAIN_MESSAGES) / 2)
  await onBroker(side.address, (queues) => queues.declare(queue, {}))
  const amount = ['-x', '2', '-y', '0', '-C', `${messages / 2}`, '-c', '500', '-s', `${KIB}`, '-f', 'persistent']
  await perfTest(cacheDir, side.address, ['-p', '-u', queue, ...amount])
  const figures = await drain(round, messages)
  await onBroker(side.address, (queues) => queues.drop(queue))
  return figures
}

/** `madeBy`: whose topic it is; a queue is declared over one of Kafka's where AMQP reads it. */
async function latency(round: Round, way: Way): Promise<Figures> {
  const { side, topic, cacheDir } = round
  if (way.from === 'kafka') await makeTopic(kafkaOf(side), topic, 1)
  if (way.to === 'amqp' || way.from === 'amqp') await onBroker(side.address, (queues) => queues.declare(topic, {}))
  const seconds = Math.max(3, Math.round(LATENCY_SECONDS * round.scale))
  const { p50, p99 } = await crossLatency(cacheDir, kafkaOf(side), side.address, topic, way, LATENCY_RATE, seconds)
  await dropTopic(kafkaOf(side), topic)
  return { p50: p50 / 1000, p99: p99 / 1000 }
}

function latencyCase(way: Way, beside: Way, title: string, label: string): Case {
  return {
    name: `both-latency-${way.from}-to-${way.to}`,
    title: `${title} at ${LATENCY_RATE} msg/s, Java, 1 KiB, no linger`,
    protocol: 'both',
    durability: 'commit',
    usual: true,
    beside: label,
    run: (round) => latency(round, way),
    runPeer: (round) => latency(round, beside),
  }
}

const [KAFKA, AMQP] = ['kafka', 'amqp'] as const

export const CROSS_CASES: readonly Case[] = [
  {
    name: 'both-drain-1kib',
    title: 'PerfTest works off a topic that Java produced, 1 KiB, prefetch 250',
    protocol: 'both',
    durability: 'commit',
    usual: true,
    beside: 'ours, a plain queue',
    run: drainTopic,
    runPeer: drainQueue,
  },
  latencyCase(
    { from: KAFKA, to: AMQP },
    { from: KAFKA, to: KAFKA },
    'Kafka produce to AMQP delivery',
    'ours, Kafka to Kafka',
  ),
  latencyCase({ from: AMQP, to: KAFKA }, { from: AMQP, to: AMQP }, 'AMQP publish to Kafka poll', 'ours, AMQP to AMQP'),
  {
    name: 'embedded-start',
    title: 'startBroker to the first confirmed message of amqplib, warm; memory with it; everything let go by close()',
    protocol: 'none',
    durability: 'commit',
    usual: true,
    beside: 'ours, on a folder',
    run: () => startTimes('memory'),
    runPeer: () => startTimes('file'),
  },
]
