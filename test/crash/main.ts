// Kills the broker's process again and again under load, and counts what it had acknowledged.
// usage: npm run crash -- [--rounds 50] [--seed N] [--ready-ms 1000, the median] [--keep]
// Promises: bounded in time; exit 1 when a promise was broken, with the folder kept; the last line is `N passed, N failed`.
// Does not know: lost syncs. SIGKILL leaves the page cache: a disk that forgets is test/power's.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { BrokerProcess } from './broker-process.ts'
import { GroupMember } from './group-member.ts'
import { LogSide } from './log-side.ts'
import { QueueSide } from './queue-side.ts'
import { IdempotentProducer, PlainProducer, type Dice, type Place } from './producers.ts'
import { hugeName, PromiseBook } from './promises.ts'
import { readAll, topicsThere } from './read-back.ts'
import { createTopic, TopicKeeper } from './topic-keeper.ts'
import { trimUnderLoad } from './trimmer.ts'
import { WireClient } from './wire-client.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '50' },
    seed: { type: 'string' },
    'ready-ms': { type: 'string', default: '1000' },
    keep: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
const readyMsMax = Number(values['ready-ms'])
const roundMsMax = 60_000
const totalMsMax = 15 * 60_000

/** mulberry32: enough for choices, the same for the same seed. */
function diceOf(start: number): Dice {
  let state = start
  return {
    below: (below) => {
      state = (state + 0x6d2b79f5) | 0
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
      return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
    },
  }
}

/** Topics that stay: one as most are, one of small segments, one that promises less (SIGKILL takes nothing from it). */
const staying: readonly { name: string; partitions: number; settings: Readonly<Record<string, string>> }[] = [
  { name: 'plain', partitions: 3, settings: {} },
  { name: 'small-segments', partitions: 2, settings: { 'segment.bytes': '32768' } },
  { name: 'kernel', partitions: 2, settings: { durability: 'os' } },
]
const places: readonly Place[] = staying.flatMap(({ name, partitions }) =>
  Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition })),
)

/** Its start is raised under load; no group reads it. */
const trimmed: Place = { topic: 'small-segments', partition: 1 }
const dice = diceOf(seed)
const readyMs: number[] = []
const folder = mkdtempSync(join(tmpdir(), 'odradek-crash-'))
const book = new PromiseBook()
const keeper = new TopicKeeper()
const plain = [...['ada', 'bea'].map((name) => new PlainProducer(name, places)), new PlainProducer(hugeName, places, 2)]
const idempotent = places
  .filter((_, index) => index % 2 === 0)
  .map((place, index) => new IdempotentProducer(`once${index}`, place))
const member = new GroupMember(
  'readers',
  places.filter(({ topic, partition }) => topic !== trimmed.topic || partition !== trimmed.partition),
)

const queues = new QueueSide()
const logs = new LogSide()

const within = <T>(what: string, ms: number, promise: Promise<T>): Promise<T> => {
  let timer: NodeJS.Timeout
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function makeTopics(broker: BrokerProcess): Promise<void> {
  const client = await WireClient.open(broker.address, 'crash')
  for (const { name, partitions, settings } of staying) {
    const errorCode = await createTopic(client, name, partitions, settings)
    if (errorCode !== 0) throw new Error(`topic ${name} was refused with ${errorCode}`)
  }
  client.end()
}

/** Everything there against everything promised. */
async function verify(broker: BrokerProcess): Promise<string[]> {
  const client = await WireClient.open(broker.address, 'crash')
  try {
    const topics = await topicsThere(client)
    const names = topics.map(({ name }) => name)
    const broken = staying.filter(({ name }) => !names.includes(name)).map(({ name }) => `${name}: the topic is gone`)
    broken.push(...keeper.judge(names, book))
    const contents = await readAll(
      client,
      topics.filter(({ name }) => keeper.isJudged(name)),
    )
    for (const [key, there] of contents) broken.push(...book.judge(key, there))
    broken.push(...(await queues.verify(broker, dice)))
    if (dice.below(3) === 0) broken.push(...(await logs.verify(broker)))
    return broken
  } finally {
    client.end()
  }
}

/** Load from every side until the process dies. */
async function load(broker: BrokerProcess, complain: (what: string) => void): Promise<void> {
  const opened: WireClient[] = []
  const client = async (name: string): Promise<WireClient> => {
    const one = await WireClient.open(broker.address, name)
    opened.push(one)
    return one
  }
  const acknowledgedBefore = book.acknowledged
  const running = [
    ...plain.map(async (producer) => producer.run(await client('plain'), book, dice, complain)),
    ...idempotent.map(async (producer) => producer.run(await client('idempotent'), book, dice, complain)),
    (async () => member.run(await client('member'), book, complain))(),
    (async () => trimUnderLoad(await client('trimmer'), trimmed, book, dice, complain))(),
    (async () => keeper.run(await client('keeper'), book, dice, complain))(),
    queues.load(broker, dice, complain),
    logs.load(broker, dice, complain),
  ]
  const ended = Promise.all(running.map((one) => one.catch((error: unknown) => complain(`a client failed: ${error}`))))
  const lifeMs = 150 + dice.below(1200)
  await pause(lifeMs)
  if (!broker.isRunning) complain(`the broker ended by itself:\n${broker.output}`)
  await broker.kill()
  await within('the clients noticing', 5000, ended)
  for (const one of opened) one.end()
  if (lifeMs > 800 && book.acknowledged === acknowledgedBefore) complain(`nothing was acknowledged in ${lifeMs} ms`)
}

async function round(number: number): Promise<string[]> {
  const broken: string[] = []
  const complain = (what: string): void => void broken.push(what)
  if (number > 1 && dice.below(6) === 0) {
    // A crash while recovering from a crash.
    const early = BrokerProcess.launch(folder)
    await pause(30 + dice.below(400))
    await early.kill()
  }
  const broker = await BrokerProcess.start(folder)
  try {
    readyMs.push(broker.readyMs)
    if (number === 1) {
      await makeTopics(broker)
      await queues.declare(broker.amqp)
      await logs.declare(broker)
    }
    broken.push(...(await verify(broker)))
    await load(broker, complain)
  } catch (error) {
    complain(`${(error as Error).message}\n${broker.output}`)
    await broker.kill()
  }
  console.log(
    `round ${number}: ready in ${Math.round(broker.readyMs)} ms, ${book.acknowledged} acknowledged, ` +
      `${book.keptRecords} kept, ${member.commits} commits, ${member.resumed} resumed; ${queues.counts()}, ${logs.counts()}${broken.length === 0 ? '' : ', BROKEN'}`,
  )
  for (const what of broken.slice(0, 20)) console.log(`  ${what}`)
  if (broken.length > 20) console.log(`  and ${broken.length - 20} more`)
  return broken
}

/** After the last crash: all is there, a polite end loses nothing and exits with 0. */
async function lastRound(): Promise<string[]> {
  const broker = await BrokerProcess.start(folder)
  const broken = await verify(broker)
  broken.push(...(await queues.verifyAll(broker)))
  broken.push(...(await logs.verify(broker)))
  const code = await broker.stop()
  if (code !== 0) broken.push(`SIGTERM ended it with ${code}:\n${broker.output}`)
  const again = await BrokerProcess.start(folder)
  broken.push(...(await verify(again)))
  await again.stop()
  for (const what of broken.slice(0, 20)) console.log(`  ${what}`)
  return broken
}

console.log(`${rounds} rounds; again with --seed ${seed}`)
const startedMs = performance.now()
let failed = 0
let passed = 0
const judge = async (work: Promise<string[]>): Promise<void> => {
  const broken = await within('a round', roundMsMax, work).catch((error: unknown) => {
    console.log(`  ${error}`)
    return [String(error)]
  })
  if (broken.length === 0) passed++
  else failed++
}
for (let number = 1; number <= rounds; number++) {
  if (performance.now() - startedMs > totalMsMax) {
    console.log(`  stopped after ${totalMsMax / 60_000} minutes`)
    failed++
    break
  }
  await judge(round(number))
}
await judge(lastRound())
if (member.resumed < rounds / 4) {
  console.log(`  the group resumed in ${member.resumed} rounds of ${rounds} only`)
  failed++
}
const medianReadyMs = readyMs.sort((a, b) => a - b)[readyMs.length >> 1] ?? Infinity
if (medianReadyMs > readyMsMax) {
  console.log(`  half of the starts took more than ${Math.round(medianReadyMs)} ms, ${readyMsMax} allowed`)
  failed++
}
if (failed > 0 || values.keep) console.log(`the data is in ${folder}; again with --seed ${seed}`)
else rmSync(folder, { recursive: true, force: true })
const seconds = Math.round((performance.now() - startedMs) / 1000)
console.log(
  `${seconds} s, ${book.acknowledged} records acknowledged, ${queues.counts()}, ${logs.counts()}, ready after ${Math.round(medianReadyMs)} ms (median)`,
)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
