// The load clients over AMQP, each a process of its own: PerfTest, a latency probe in Java, amqplib.
// Promises: every call is bounded in time and answers numbers the client itself reported.
// Does not know: sides, medians, which case asks.

import { mkdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect } from 'amqplib'
import { kafkaLibraries, perfTestLibraries } from '../compat/install.ts'
import { must, start } from '../compat/process.ts'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const RUN_LIMIT_MS = 20 * 60_000
const QUIET = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error'
const HEAP = '-Xmx512m'

function numberIn(text: string, pattern: RegExp): number {
  const found = pattern.exec(text)?.[1]
  if (found === undefined) throw new Error(`no ${pattern} in: ${text.slice(-400)}`)
  return Number(found)
}

export interface Rates {
  /** Messages a second, as PerfTest averages them over the run. */
  readonly sent: number
  readonly received: number
}

export async function perfTest(cacheDir: string, address: string, args: readonly string[]): Promise<Rates> {
  const libraries = await perfTestLibraries(cacheDir)
  const program = [HEAP, '-cp', libraries, 'com.rabbitmq.perf.PerfTest', '-h', `amqp://guest:guest@${address}`]
  const { stdout } = await must('java', [...program, ...args], { timeoutMs: RUN_LIMIT_MS })
  return {
    sent: numberIn(stdout, /sending rate avg: (\d+)/),
    received: numberIn(stdout, /receiving rate avg: (\d+)/),
  }
}

export interface Latency {
  readonly p50: number
  readonly p99: number
}

/** End-to-end latency at a fixed rate, microseconds. */
export async function amqpLatency(
  cacheDir: string,
  address: string,
  queue: string,
  type: string,
  rate: number,
  seconds: number,
): Promise<Latency> {
  const libraries = await perfTestLibraries(cacheDir)
  const classes = join(cacheDir, 'java', 'amqp-probe')
  mkdirSync(classes, { recursive: true })
  const compile = ['-nowarn', '-cp', libraries, '-d', classes, join(HERE, 'AmqpProbe.java')]
  await must('javac', compile, { timeoutMs: 60_000 })
  const [host = '', port = ''] = address.split(':')
  const args = [host, port, queue, type, `${rate}`, `${seconds}`, '3', '1024']
  const program = [HEAP, QUIET, '-cp', `${classes}:${libraries}`, 'AmqpProbe', ...args]
  const { stdout } = await must('java', program, { timeoutMs: RUN_LIMIT_MS })
  const [expected, read] = [numberIn(stdout, /"expected":(\d+)/), numberIn(stdout, /"read":(\d+)/)]
  if (read !== expected) throw new Error(`the probe read ${read} of ${expected}`)
  return { p50: numberIn(stdout, /"p50":(-?\d+)/), p99: numberIn(stdout, /"p99":(-?\d+)/) }
}

/** Where messages come in and where they are read. */
export interface Way {
  readonly from: 'kafka' | 'amqp'
  readonly to: 'kafka' | 'amqp'
}

/** End-to-end latency from one protocol to the other, to a topic and queue that is there; microseconds. */
export async function crossLatency(
  cacheDir: string,
  kafka: string,
  amqp: string,
  name: string,
  way: Way,
  rate: number,
  seconds: number,
): Promise<Latency> {
  const libraries = `${await kafkaLibraries(cacheDir)}:${await perfTestLibraries(cacheDir)}`
  const classes = join(cacheDir, 'java', 'cross-probe')
  mkdirSync(classes, { recursive: true })
  const compile = ['-nowarn', '-cp', libraries, '-d', classes, join(HERE, 'CrossProbe.java')]
  await must('javac', compile, { timeoutMs: 60_000 })
  const args = [kafka, ...amqp.split(':'), name, way.from, way.to, `${rate}`, `${seconds}`, '3', '1024']
  const program = [HEAP, QUIET, '-cp', `${classes}:${libraries}`, 'CrossProbe', ...args]
  const { stdout } = await must('java', program, { timeoutMs: RUN_LIMIT_MS })
  const [expected, read] = [numberIn(stdout, /"expected":(\d+)/), numberIn(stdout, /"read":(\d+)/)]
  if (read !== expected) throw new Error(`the probe read ${read} of ${expected}`)
  return { p50: numberIn(stdout, /"p50":(-?\d+)/), p99: numberIn(stdout, /"p99":(-?\d+)/) }
}

/** A broker inside a program, started again and again. */
export async function startTimes(store: 'memory' | 'file'): Promise<Readonly<Record<string, number>>> {
  const args = ['--expose-gc', '--import', 'tsx', join(HERE, 'embedded-load.ts'), store]
  const { stdout } = await must(process.execPath, args, { timeoutMs: 60_000 })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Readonly<Record<string, number>>
}

const loadProgram = (mode: string, address: string, queue: string, numbers: readonly number[]): string[] => {
  const tsx = fileURLToPath(new URL('../../node_modules/tsx/dist/cli.mjs', import.meta.url))
  return [tsx, join(HERE, 'amqp-load.ts'), mode, address, queue, ...numbers.map((number) => `${number}`)]
}

/** Runs a mode of amqp-load.ts to its end; what it printed. */
export async function load(mode: string, address: string, queue: string, ...numbers: number[]): Promise<string> {
  const args = loadProgram(mode, address, queue, numbers)
  return (await must(process.execPath, args, { timeoutMs: RUN_LIMIT_MS })).stdout
}

/** The same for a mode that tells something and holds still: `look` is called then; answers the number it told. */
export async function whileHeld(
  mode: string,
  address: string,
  queue: string,
  numbers: readonly number[],
  told: RegExp,
  look: () => void,
): Promise<number> {
  const child = start(process.execPath, loadProgram(mode, address, queue, numbers))
  child.process.stdin?.end()
  let said = ''
  child.process.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-2_000)))
  const timer = setTimeout(() => void child.stop(1_000), RUN_LIMIT_MS)
  try {
    if (child.process.stdout === null) throw new Error('no output')
    for await (const line of createInterface({ input: child.process.stdout })) {
      const number = told.exec(line)?.[1]
      if (number === undefined) continue
      look()
      await child.stop()
      return Number(number)
    }
    throw new Error(`${mode} ended and told nothing: ${said}`)
  } finally {
    clearTimeout(timer)
  }
}

export async function onBroker<T>(address: string, run: (queues: Queues) => Promise<T>): Promise<T> {
  const connection = await connect(`amqp://guest:guest@${address}`)
  connection.on('error', () => {})
  try {
    const channel = await connection.createChannel()
    return await run({
      declare: async (queue, args) => void (await channel.assertQueue(queue, { durable: true, arguments: args })),
      drop: async (queue) => void (await channel.deleteQueue(queue)),
      exchange: async (exchange, type) => void (await channel.assertExchange(exchange, type, { durable: true })),
      dropExchange: async (exchange) => void (await channel.deleteExchange(exchange)),
      bind: async (queue, exchange) => void (await channel.bindQueue(queue, exchange, '')),
    })
  } finally {
    await connection.close().catch(() => {})
  }
}

export interface Queues {
  declare(queue: string, args: Readonly<Record<string, string | number>>): Promise<void>
  drop(queue: string): Promise<void>
  exchange(exchange: string, type: string): Promise<void>
  dropExchange(exchange: string): Promise<void>
  bind(queue: string, exchange: string): Promise<void>
}
