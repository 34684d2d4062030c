// The load clients of the benchmark, each a process of its own: Java, librdkafka (kcat), kafkajs, a raw socket.
// Promises: every call is bounded in time and answers numbers the client itself reported, or the wall clock.
// Does not know: sides, medians, which case asks.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { debianPackage, kafkaLibraries } from '../compat/install.ts'
import { must } from '../compat/process.ts'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const RUN_LIMIT_MS = 180_000
const QUIET = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error'
const CLIENT_HEAP = '-Xmx512m'

export interface Load {
  readonly records: number
  readonly bytes: number
  readonly acks: '1' | 'all'
  readonly batchBytes: number
  readonly lingerMs: number
}

function numberIn(text: string, pattern: RegExp): number {
  const found = pattern.exec(text)?.[1]
  if (found === undefined) throw new Error(`no ${pattern} in: ${text.slice(-400)}`)
  return Number(found)
}

async function java(cacheDir: string, name: string, args: readonly string[], extra = ''): Promise<string> {
  const libraries = await kafkaLibraries(cacheDir)
  const classPath = extra === '' ? libraries : `${extra}:${libraries}`
  const result = await must('java', [CLIENT_HEAP, QUIET, '-cp', classPath, name, ...args], { timeoutMs: RUN_LIMIT_MS })
  return result.stdout
}

/** ProducerPerformance; records a second as it reports them. */
export async function javaProduce(cacheDir: string, address: string, topic: string, load: Load): Promise<number> {
  const properties = [`acks=${load.acks}`, `batch.size=${load.batchBytes}`, `linger.ms=${load.lingerMs}`]
  if (load.acks !== 'all') properties.push('enable.idempotence=false')
  const amount = ['--num-records', `${load.records}`, '--record-size', `${load.bytes}`, '--throughput', '-1']
  const target = ['--bootstrap-server', address, '--topic', topic, ...amount, '--command-property', ...properties]
  const said = await java(cacheDir, 'org.apache.kafka.tools.ProducerPerformance', target)
  return numberIn(said, new RegExp(`^${load.records} records sent, ([\\d.]+) records/sec`, 'm'))
}

/** ConsumerPerformance; records a second of fetching, the rebalance left out, as it reports them. */
export async function javaConsume(cacheDir: string, address: string, topic: string, records: number): Promise<number> {
  const group = `bench-${Math.random().toString(36).slice(2)}`
  const amount = ['--num-records', `${records}`, '--timeout', '60000', '--group', group, '--hide-header']
  const target = ['--bootstrap-server', address, '--topic', topic, ...amount]
  const said = await java(cacheDir, 'org.apache.kafka.tools.ConsumerPerformance', target)
  const fields = said.trim().split('\n').at(-1)?.split(',') ?? []
  const read = Number(fields[4])
  if (!(read >= records)) throw new Error(`ConsumerPerformance read ${read} of ${records}: ${said.slice(-300)}`)
  return Number(fields[9])
}

export interface Latency {
  readonly p50: number
  readonly p99: number
}

/** End-to-end latency at a fixed rate, microseconds. */
export async function javaLatency(
  cacheDir: string,
  address: string,
  topic: string,
  rate: number,
  seconds: number,
): Promise<Latency> {
  const classes = join(cacheDir, 'java', 'latency-probe')
  mkdirSync(classes, { recursive: true })
  const libraries = await kafkaLibraries(cacheDir)
  const compile = ['-nowarn', '-cp', libraries, '-d', classes, join(HERE, 'LatencyProbe.java')]
  await must('javac', compile, { timeoutMs: 60_000 })
  const args = [address, topic, `${rate}`, `${seconds}`, '3', '1024', 'all']
  const said = await java(cacheDir, 'LatencyProbe', args, classes)
  const expected = numberIn(said, /"expected":(\d+)/)
  const read = numberIn(said, /"read":(\d+)/)
  if (read !== expected) throw new Error(`the probe read ${read} of ${expected}`)
  return { p50: numberIn(said, /"p50":(-?\d+)/), p99: numberIn(said, /"p99":(-?\d+)/) }
}

function lineFile(cacheDir: string, records: number, bytes: number): string {
  const folder = join(cacheDir, 'bench')
  const file = join(folder, `lines-${records}-${bytes}`)
  if (existsSync(file)) return file
  mkdirSync(folder, { recursive: true })
  const line = Array.from({ length: bytes }, (_, index) => String.fromCharCode(33 + ((index * 7) % 90))).join('')
  writeFileSync(file, `${line}\n`.repeat(records))
  return file
}

/** kcat sends the lines of a file; records a second by the wall clock. */
export async function kcatProduce(cacheDir: string, address: string, topic: string, load: Load): Promise<number> {
  await debianPackage('kcat', 'kcat')
  const file = lineFile(cacheDir, load.records, load.bytes)
  const properties = [
    '-X',
    `acks=${load.acks}`,
    '-X',
    `linger.ms=${load.lingerMs}`,
    '-X',
    'queue.buffering.max.messages=1000000',
  ]
  const args = ['-b', address, '-P', '-t', topic, '-l', ...properties, file]
  const result = await must('kcat', args, { timeoutMs: RUN_LIMIT_MS })
  return load.records / (result.ms / 1000)
}

/** kcat reads one partition to its end; records a second by the wall clock. */
export async function kcatConsume(address: string, topic: string, records: number): Promise<number> {
  await debianPackage('kcat', 'kcat')
  const args = ['-b', address, '-C', '-t', topic, '-p', '0', '-o', 'beginning', '-e', '-q', '-f', '']
  const result = await must('kcat', args, { timeoutMs: RUN_LIMIT_MS })
  return records / (result.ms / 1000)
}

async function program(file: string, args: readonly string[]): Promise<string> {
  const tsx = fileURLToPath(new URL('../../node_modules/tsx/dist/cli.mjs', import.meta.url))
  const result = await must(process.execPath, [tsx, join(HERE, file), ...args], { timeoutMs: RUN_LIMIT_MS })
  return result.stdout
}

export async function kafkajsProduce(address: string, topic: string, load: Load): Promise<number> {
  const said = await program('kafkajs-load.ts', ['produce', address, topic, `${load.records}`, `${load.bytes}`])
  return numberIn(said, /"rate":([\d.]+)/)
}

export async function kafkajsConsume(address: string, topic: string, records: number): Promise<number> {
  return numberIn(await program('kafkajs-load.ts', ['consume', address, topic, `${records}`, '0']), /"rate":([\d.]+)/)
}

/** One message at a time, sent and awaited by its consumer; microseconds. */
export async function kafkajsRoundTrip(address: string, topic: string, records: number): Promise<Latency> {
  const said = await program('kafkajs-load.ts', ['roundtrip', address, topic, `${records}`, '1024'])
  return { p50: numberIn(said, /"p50":(\d+)/), p99: numberIn(said, /"p99":(\d+)/) }
}

/** Many topics, each with a slow steady producer, over a raw socket; acknowledgement latency in microseconds. */
export async function manyTopics(address: string, prefix: string, topics: number, seconds: number): Promise<Latency> {
  const said = await program('topics-load.ts', [address, prefix, `${topics}`, '10', `${seconds}`])
  return { p50: numberIn(said, /"p50":(\d+)/), p99: numberIn(said, /"p99":(\d+)/) }
}
