// The cases of the benchmark: what is run on a side, and which figures it gives.
// Promises: names are stable (they are the keys of results.jsonl); each case is bounded and can be run alone.
// Does not know: alternation, medians, tables.

import { Kafka, logLevel } from 'kafkajs'
import {
  javaConsume,
  javaLatency,
  javaProduce,
  kafkajsConsume,
  kafkajsProduce,
  kafkajsRoundTrip,
  kcatConsume,
  kcatProduce,
  manyTopics,
  type Load,
} from './clients.ts'
import { cpuSeconds, memoryMiB, type Durability, type Side } from './sides.ts'

/** A figure by its name; the unit and the better direction belong to the name. */
export type Figures = Readonly<Record<string, number>>

export interface FigureKind {
  readonly title: string
  readonly unit: string
  readonly better: 'more' | 'less'
}

export const FIGURES: Readonly<Record<string, FigureKind>> = {
  throughput: { title: 'throughput', unit: 'k msg/s', better: 'more' },
  cpuPerGb: { title: 'broker CPU', unit: 's/GB', better: 'less' },
  cpuPerMillion: { title: 'broker CPU', unit: 's/M msg', better: 'less' },
  peakMiB: { title: 'peak memory', unit: 'MiB', better: 'less' },
  idleMiB: { title: 'memory when idle', unit: 'MiB', better: 'less' },
  startMs: { title: 'start to first answer', unit: 'ms', better: 'less' },
  startCpu: { title: 'CPU to first answer', unit: 's', better: 'less' },
  firstDeliveryMs: { title: 'start to first delivery', unit: 'ms', better: 'less' },
  growthMiB: { title: 'memory grown', unit: 'MiB', better: 'less' },
  handedOut: { title: 'handed out', unit: 'k msg', better: 'more' },
  fillRate: { title: 'filled', unit: 'k msg/s', better: 'more' },
  drainRate: { title: 'drained', unit: 'k msg/s', better: 'more' },
  deliveries: { title: 'deliveries', unit: 'msg/s', better: 'more' },
  cpu: { title: 'broker CPU', unit: 's', better: 'less' },
  bytesPerMessage: { title: 'disk', unit: 'B/msg', better: 'less' },
  diskRatio: { title: 'disk against one queue', unit: '× one queue', better: 'less' },
  firstRecordMs: { title: 'start to first message', unit: 'ms', better: 'less' },
  p50: { title: 'p50', unit: 'ms', better: 'less' },
  p99: { title: 'p99', unit: 'ms', better: 'less' },
}

export interface Round {
  readonly side: Side
  readonly cacheDir: string
  /** Differs in every round. */
  readonly topic: string
  /** Filled once a side by `prepare`. */
  readonly prepared: string
  /** 1, and less in a smoke run. */
  readonly scale: number
}

export interface Case {
  readonly name: string
  readonly title: string
  readonly durability: Durability
  /** Kafka's unless said; it also says who the peer is. `both`: we are beside ourselves; `none`: without a broker's process. */
  readonly protocol?: 'amqp' | 'both' | 'none'
  /** What the other side is called when it is ours too. */
  readonly beside?: string
  /** Minutes after which all its pairs are given up; 15 unless said. */
  readonly limitMinutes?: number
  /** The other side is our own broker with durability os, not Kafka. */
  readonly againstOurselves?: boolean
  /** Both sides are started anew for every pair. */
  readonly freshSides?: boolean
  /** Part of a run without names. */
  readonly usual: boolean
  readonly prepare?: (round: Round) => Promise<void>
  readonly run: (round: Round) => Promise<Figures>
  /** What the other side does, when it gets to the same by another way. */
  readonly runPeer?: (round: Round) => Promise<Figures>
}

const GB = 1e9
const KIB = 1024

export async function makeTopic(address: string, topic: string, partitions: number): Promise<void> {
  const admin = new Kafka({ clientId: 'bench', brokers: [address], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: partitions }] })
  await admin.disconnect()
}

export async function dropTopic(address: string, topic: string): Promise<void> {
  const admin = new Kafka({ clientId: 'bench', brokers: [address], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  await admin.deleteTopics({ topics: [topic] }).catch(() => {})
  await admin.disconnect()
}

/** Runs `load` and adds what the broker spent on it. */
async function measured(side: Side, records: number, bytes: number, load: () => Promise<number>): Promise<Figures> {
  const before = cpuSeconds(side.pid)
  const rate = await load()
  const spent = cpuSeconds(side.pid) - before
  return {
    throughput: rate / 1000,
    cpuPerGb: (spent / (records * bytes)) * GB,
    cpuPerMillion: (spent / records) * 1e6,
    peakMiB: memoryMiB(side.pid, 'VmHWM'),
  }
}

const SIZES = { '100b': 100, '1kib': KIB, '10kib': 10 * KIB } as const
const RECORDS = { '100b': 2_000_000, '1kib': 500_000, '10kib': 40_000 } as const
const BATCHES = { '16k': 16 * KIB, '128k': 128 * KIB } as const

const USUAL = new Set([
  'produce-100b-p1-all-16k-os',
  'produce-1kib-p1-all-16k-os',
  'produce-1kib-p1-all-16k-commit',
  'produce-1kib-p1-1-16k-os',
  'produce-1kib-p6-all-16k-os',
  'produce-1kib-p1-all-128k-os',
  'produce-1kib-p1-all-128k-commit',
  'produce-10kib-p1-all-128k-os',
])

function produceCases(): Case[] {
  const cases: Case[] = []
  for (const size of ['100b', '1kib', '10kib'] as const) {
    for (const partitions of [1, 6]) {
      for (const acks of ['1', 'all'] as const) {
        for (const batch of ['16k', '128k'] as const) {
          for (const durability of ['os', 'commit'] as const) {
            const name = `produce-${size}-p${partitions}-${acks}-${batch}-${durability}`
            const bytes = SIZES[size]
            const records = RECORDS[size]
            const lingerMs = batch === '128k' ? 10 : 0
            const load: Load = { records, bytes, acks, batchBytes: BATCHES[batch], lingerMs }
            cases.push({
              name,
              title: `Java produce, ${bytes} B, ${partitions} partition${partitions > 1 ? 's' : ''}, acks=${acks}, batch ${batch}`,
              durability,
              usual: USUAL.has(name),
              run: async ({ side, cacheDir, topic }) => {
                await makeTopic(side.address, topic, partitions)
                const work = (): Promise<number> => javaProduce(cacheDir, side.address, topic, load)
                const figures = await measured(side, records, bytes, work)
                await dropTopic(side.address, topic)
                return figures
              },
            })
          }
        }
      }
    }
  }
  return cases
}

const BIG_BATCHES = { acks: 'all', batchBytes: 128 * KIB, lingerMs: 10 } as const

function consumeCases(): Case[] {
  return (['100b', '1kib', '10kib'] as const).map((size) => {
    const bytes = SIZES[size]
    const records = RECORDS[size]
    return {
      name: `consume-${size}`,
      title: `Java consume from the page cache, ${bytes} B`,
      durability: 'os',
      usual: size === '1kib',
      prepare: async ({ side, cacheDir, prepared }) => {
        await makeTopic(side.address, prepared, 1)
        await javaProduce(cacheDir, side.address, prepared, { ...BIG_BATCHES, records, bytes })
      },
      run: ({ side, cacheDir, prepared }) =>
        measured(side, records, bytes, () => javaConsume(cacheDir, side.address, prepared, records)),
    }
  })
}

function otherClients(): Case[] {
  const kcat: Load = { records: 500_000, bytes: KIB, acks: 'all', batchBytes: 1_000_000, lingerMs: 5 }
  const kafkajs: Load = { ...kcat, records: 100_000 }
  const fill = async ({ side, cacheDir, prepared }: Round): Promise<void> => {
    await makeTopic(side.address, prepared, 1)
    await javaProduce(cacheDir, side.address, prepared, { ...BIG_BATCHES, records: kcat.records, bytes: KIB })
  }
  return [
    {
      name: 'librdkafka-produce',
      title: 'librdkafka (kcat) produce, 1 KiB',
      durability: 'os',
      usual: true,
      run: async ({ side, cacheDir, topic }) => {
        await makeTopic(side.address, topic, 1)
        const work = (): Promise<number> => kcatProduce(cacheDir, side.address, topic, kcat)
        const figures = await measured(side, kcat.records, KIB, work)
        await dropTopic(side.address, topic)
        return figures
      },
    },
    {
      name: 'librdkafka-consume',
      title: 'librdkafka (kcat) consume, 1 KiB',
      durability: 'os',
      usual: true,
      prepare: fill,
      run: ({ side, prepared }) =>
        measured(side, kcat.records, KIB, () => kcatConsume(side.address, prepared, kcat.records)),
    },
    {
      name: 'kafkajs-produce',
      title: 'kafkajs produce, 1 KiB, 100 a send, 5 in flight',
      durability: 'os',
      usual: true,
      run: async ({ side, topic }) => {
        await makeTopic(side.address, topic, 1)
        const work = (): Promise<number> => kafkajsProduce(side.address, topic, kafkajs)
        const figures = await measured(side, kafkajs.records, KIB, work)
        await dropTopic(side.address, topic)
        return figures
      },
    },
    {
      name: 'kafkajs-consume',
      title: 'kafkajs consume, 1 KiB',
      durability: 'os',
      usual: true,
      prepare: fill,
      run: ({ side, prepared }) =>
        measured(side, kcat.records, KIB, () => kafkajsConsume(side.address, prepared, kcat.records)),
    },
  ]
}

function latencyCases(): Case[] {
  const inMs = (latency: { p50: number; p99: number }): Figures => ({
    p50: latency.p50 / 1000,
    p99: latency.p99 / 1000,
  })
  return (['os', 'commit'] as const).flatMap((durability): Case[] => [
    {
      name: `latency-1000-${durability}`,
      title: 'end to end at 1000 msg/s, Java, 1 KiB, acks=all',
      durability,
      usual: true,
      run: async ({ side, cacheDir, topic }) => {
        await makeTopic(side.address, topic, 1)
        return inMs(await javaLatency(cacheDir, side.address, topic, 1_000, 10))
      },
    },
    {
      name: `kafkajs-roundtrip-${durability}`,
      title: 'kafkajs round trip, one message at a time',
      durability,
      usual: true,
      run: async ({ side, topic }) => {
        await makeTopic(side.address, topic, 1)
        return inMs(await kafkajsRoundTrip(side.address, topic, 500))
      },
    },
    {
      name: `topics-1000-${durability}`,
      title: '1000 topics, 10 msg/s each, acknowledgement',
      durability,
      usual: true,
      // The same topics in every round, so that both sides are warm and have a thousand, not six.
      run: async ({ side, prepared }) => inMs(await manyTopics(side.address, prepared, 1_000, 10)),
    },
  ])
}

const SETTLE_MS = 3_000

function ownCases(): Case[] {
  const load: Load = { ...BIG_BATCHES, records: RECORDS['1kib'], bytes: KIB }
  return [
    {
      name: 'start',
      title: 'start with empty data',
      durability: 'commit',
      freshSides: true,
      usual: true,
      run: async ({ side }) => {
        const startCpu = cpuSeconds(side.pid)
        await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
        return { startMs: side.startMs, startCpu, idleMiB: memoryMiB(side.pid, 'VmRSS') }
      },
    },
    {
      name: 'commit-against-os',
      title: 'durability commit against os, Java produce, 1 KiB, batch 128k',
      durability: 'commit',
      againstOurselves: true,
      usual: true,
      run: async ({ side, cacheDir, topic }) => {
        await makeTopic(side.address, topic, 1)
        const work = (): Promise<number> => javaProduce(cacheDir, side.address, topic, load)
        const figures = await measured(side, load.records, KIB, work)
        await dropTopic(side.address, topic)
        return figures
      },
    },
  ]
}

export const KAFKA_CASES: readonly Case[] = [
  ...ownCases(),
  ...produceCases(),
  ...consumeCases(),
  ...otherClients(),
  ...latencyCases(),
]
