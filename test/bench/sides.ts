// The two sides of a comparison: our broker and a real Apache Kafka, started alike and looked at through /proc.
// Promises: a side that is not under test is stopped with SIGSTOP; stop() ends its process and removes its data.
// Does not know: what is measured.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KAFKA_VERSION, kafkaLibraries } from '../compat/install.ts'
import { must, start, type Child } from '../compat/process.ts'
import { serve } from '../compat/serve.ts'

/** `os`: written to the kernel. `commit`: synced before it is acknowledged. */
export type Durability = 'os' | 'commit'

export interface Side {
  readonly label: string
  readonly address: string
  /** Another one after a restart. */
  readonly pid: number
  /** Milliseconds from the start of the process to the first answered ApiVersions. */
  readonly startMs: number
  /** Where clients of Kafka connect, when `address` is for others. */
  readonly kafka?: string
  pause(): void
  resume(): void
  stop(): Promise<void>
  /** Kills it with -9 and starts it on the same data; milliseconds until it takes connections. */
  restart?(): Promise<number>
  /** What its logs and queues hold on disk; without a journal that is recycled. */
  diskBytes?(): Promise<number>
}

/** For what starts its brokers itself. */
export const noSide = (label: string): Side => ({
  label,
  address: '',
  pid: process.pid,
  startMs: 0,
  pause: () => {},
  resume: () => {},
  stop: () => Promise.resolve(),
})

/** Bytes of all files below a folder. */
export async function folderBytes(folder: string): Promise<number> {
  const { stdout } = await must('du', ['-s', '--apparent-size', '--block-size=1', folder], { timeoutMs: 60_000 })
  return Number(stdout.split('\t')[0])
}

const TICKS_PER_SECOND = 100
const START_LIMIT_MS = 60_000
const HEAP = '1g'

/** User and system seconds of a process so far, all its threads. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** A field of /proc/PID/status in MiB: VmHWM is the peak, VmRSS the present. */
export function memoryMiB(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  const line = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line?.[1] ?? 0) / 1024
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

/** ApiVersions v0, the request every Kafka client may send first. */
const API_VERSIONS = Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])

function answersOnce(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, noDelay: true })
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(1_000, () => end(false))
    socket.once('error', () => end(false))
    socket.once('close', () => end(false))
    socket.once('connect', () => socket.write(API_VERSIONS))
    socket.once('data', () => end(true))
  })
}

async function firstAnswer(address: string, child: Child): Promise<void> {
  const cut = address.lastIndexOf(':')
  const deadline = performance.now() + START_LIMIT_MS
  let ended = false
  void child.gone.then(() => (ended = true))
  while (!(await answersOnce(address.slice(0, cut), Number(address.slice(cut + 1))))) {
    if (ended) throw new Error(`the broker on ${address} ended before it answered`)
    if (performance.now() > deadline) throw new Error(`${address} did not answer within ${START_LIMIT_MS} ms`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export function temporaryFolder(prefix: string): string {
  const folder = mkdtempSync(join(tmpdir(), prefix))
  // Also when a signal ends us.
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function sideOf(label: string, address: string, pid: number, startMs: number, child: Child, folder: string): Side {
  return {
    label,
    address,
    pid,
    startMs,
    pause: () => child.signal('SIGSTOP'),
    resume: () => child.signal('SIGCONT'),
    stop: async () => {
      child.signal('SIGCONT')
      await child.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export async function startOurs(durability: Durability): Promise<Side> {
  const folder = temporaryFolder('odradek-bench-')
  const port = await freePort()
  const began = performance.now()
  const served = await serve({ dataDir: join(folder, 'data'), durability, port })
  await firstAnswer(served.address, served.child)
  return sideOf(`ours, ${durability}`, served.address, served.pid, performance.now() - began, served.child, folder)
}

function peerProperties(port: number, controllerPort: number, data: string, durability: Durability): string {
  const lines = [
    'process.roles=broker,controller',
    'node.id=1',
    `controller.quorum.voters=1@127.0.0.1:${controllerPort}`,
    `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names=CONTROLLER',
    'inter.broker.listener.name=PLAINTEXT',
    'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    `log.dirs=${data}`,
    'offsets.topic.replication.factor=1',
    'transaction.state.log.replication.factor=1',
    'transaction.state.log.min.isr=1',
    'group.initial.rebalance.delay.ms=0',
    // Deleted topics free their disk soon, so that a long series of runs fits.
    'log.segment.delete.delay.ms=1000',
  ]
  if (durability === 'commit') lines.push('log.flush.interval.messages=1')
  return `${lines.join('\n')}\n`
}

export async function startPeer(durability: Durability, cacheDir: string): Promise<Side> {
  const libraries = await kafkaLibraries(cacheDir)
  const folder = temporaryFolder('odradek-bench-peer-')
  const data = join(folder, 'data')
  mkdirSync(data)
  const port = await freePort()
  const properties = join(folder, 'server.properties')
  writeFileSync(properties, peerProperties(port, await freePort(), data, durability))
  const logger = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error'
  const format = [
    '-cp',
    libraries,
    'kafka.tools.StorageTool',
    'format',
    '-t',
    'b2RyYWRlay1wZWVyLTAwMQ',
    '-c',
    properties,
  ]
  await must('java', [logger, ...format], { timeoutMs: 60_000 })
  // The options of Kafka's own start script.
  const machine = [`-Xms${HEAP}`, `-Xmx${HEAP}`, '-server', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20']
  const tuning = [
    '-XX:InitiatingHeapOccupancyPercent=35',
    '-XX:+ExplicitGCInvokesConcurrent',
    '-Djava.awt.headless=true',
  ]
  const began = performance.now()
  const child = start('java', [...machine, ...tuning, logger, '-cp', libraries, 'kafka.Kafka', properties])
  child.process.stdout?.resume()
  child.process.stderr?.resume()
  const address = `127.0.0.1:${port}`
  try {
    await firstAnswer(address, child)
  } catch (error) {
    await child.stop(2_000)
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
  const label = `Kafka ${KAFKA_VERSION}${durability === 'commit' ? ', flush.messages=1' : ''}`
  return sideOf(label, address, child.pid, performance.now() - began, child, folder)
}
