// The cases of fan-out: one log with many ledgers, against RabbitMQ's fanout exchange with as many queues.
// Promises: names are stable; both sides end with as many readers, each of which got every message.
// Does not know: alternation, medians, tables.

import { onBroker, perfTest } from './amqp-clients.ts'
import type { Case, Figures, Round } from './cases.ts'
import { cpuSeconds, type Side } from './sides.ts'

const KIB = 1024
const MILLION = 1_000_000
/** How many messages for how many ledgers: about a million deliveries at most. */
const FANS = [
  { ledgers: 1, messages: 200_000 },
  { ledgers: 10, messages: 50_000 },
  { ledgers: 100, messages: 10_000 },
] as const
type Fan = (typeof FANS)[number]
type QueueType = 'quorum' | 'classic'

const scaled = (round: Round, amount: number): number => Math.max(100, Math.round(amount * round.scale))

async function diskBytes(side: Side): Promise<number> {
  if (side.diskBytes === undefined) throw new Error(`${side.label} does not tell what it holds on disk`)
  return side.diskBytes()
}

/** Publishes `messages` and tells the rate, and the disk for each of them. */
async function publish(
  round: Round,
  target: readonly string[],
  messages: number,
): Promise<{ readonly rate: number; readonly bytes: number }> {
  const { side, cacheDir } = round
  const before = await diskBytes(side)
  const amount = ['-x', '2', '-y', '0', '-C', `${Math.ceil(messages / 2)}`, '-c', '500', '-s', `${KIB}`]
  const { sent } = await perfTest(cacheDir, side.address, ['-p', ...target, '-f', 'persistent', ...amount])
  return { rate: sent, bytes: ((await diskBytes(side)) - before) / messages }
}

/** Every reader takes all; deliveries a second of all of them together. */
async function readAll(round: Round, { ledgers }: Fan, messages: number): Promise<number> {
  const pattern = [
    '--queue-pattern',
    `${round.topic}-%d`,
    '--queue-pattern-from',
    '1',
    '--queue-pattern-to',
    `${ledgers}`,
  ]
  const amount = ['-x', '0', '-y', `${ledgers}`, '-D', `${messages}`, '-q', '250']
  return (await perfTest(round.cacheDir, round.side.address, ['-p', '--skip-binding-queues', ...pattern, ...amount]))
    .received
}

interface Fanned {
  /** Makes what is published to, and the readers; where PerfTest publishes. */
  open(round: Round, fan: Fan): Promise<readonly string[]>
  close(round: Round, fan: Fan): Promise<void>
}

const readersOf = ({ topic }: Round, { ledgers }: Fan): string[] =>
  Array.from({ length: ledgers }, (_, index) => `${topic}-${index + 1}`)

async function fanOut(round: Round, fan: Fan, type: QueueType, fanned: Fanned): Promise<Figures> {
  const { side, topic } = round
  const messages = 2 * Math.ceil(scaled(round, fan.messages) / 2)
  const plain = `${topic}-plain`
  await onBroker(side.address, (queues) => queues.declare(plain, { 'x-queue-type': type }))
  const alone = await publish(round, ['-u', plain], messages)
  await onBroker(side.address, (queues) => queues.drop(plain))
  const target = await fanned.open(round, fan)
  const before = cpuSeconds(side.pid)
  const { rate, bytes } = await publish(round, target, messages)
  const spent = cpuSeconds(side.pid) - before
  const deliveries = await readAll(round, fan, messages)
  await fanned.close(round, fan)
  return {
    fillRate: rate / 1000,
    deliveries,
    bytesPerMessage: bytes,
    diskRatio: bytes / alone.bytes,
    cpuPerMillion: (spent / messages) * MILLION,
  }
}

/** A queue and further ledgers over its log. A ledger of a consumed topic says what may not be kept for it for ever. */
const ledgersOf = (type: QueueType): Fanned => ({
  open: async (round, fan) => {
    await onBroker(round.side.address, async (queues) => {
      await queues.declare(round.topic, { 'x-queue-type': type })
      for (const reader of readersOf(round, fan))
        await queues.declare(reader, { 'x-log': round.topic, 'x-max-length': 100 * MILLION })
    })
    return ['-u', round.topic]
  },
  close: (round, fan) =>
    onBroker(round.side.address, async (queues) => {
      for (const reader of readersOf(round, fan)) await queues.drop(reader)
      await queues.drop(round.topic)
    }),
})

const copies = (type: QueueType): Fanned => ({
  open: async (round, fan) => {
    await onBroker(round.side.address, async (queues) => {
      await queues.exchange(round.topic, 'fanout')
      for (const reader of readersOf(round, fan)) {
        await queues.declare(reader, { 'x-queue-type': type })
        await queues.bind(reader, round.topic)
      }
    })
    return ['-t', 'fanout', '-e', round.topic]
  },
  close: (round, fan) =>
    onBroker(round.side.address, async (queues) => {
      for (const reader of readersOf(round, fan)) await queues.drop(reader)
      await queues.dropExchange(round.topic)
    }),
})

export const LEDGER_CASES: readonly Case[] = (['quorum', 'classic'] as const).flatMap((type) =>
  FANS.map((fan): Case => ({
    name: `amqp-fanout-ledgers-${fan.ledgers}-${type}`,
    title: `1 KiB to ${fan.ledgers} readers: further ledgers of one log against a fanout exchange, ${type}`,
    protocol: 'amqp',
    durability: 'commit',
    limitMinutes: 60,
    usual: type === 'quorum',
    run: (round) => fanOut(round, fan, type, ledgersOf(type)),
    runPeer: (round) => fanOut(round, fan, type, copies(type)),
  })),
)
