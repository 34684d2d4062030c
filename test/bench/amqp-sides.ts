// The two sides of a comparison over AMQP: our broker, and a RabbitMQ that a given program starts and stops.
// Promises: as for Kafka: one side runs at a time, both are looked at through /proc, what was started is ended.
// Does not know: what is measured; where the peer's program comes from.

import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { must } from '../compat/process.ts'
import { serve, type Served } from '../compat/serve.ts'
import { folderBytes, freePort, temporaryFolder, type Durability, type Side } from './sides.ts'

const START_LIMIT_MS = 120_000
/** Apart from the port of a RabbitMQ that is there for something else. */
const PEER_PORT = 5677
const PROTOCOL_HEADER = Buffer.from('AMQP\0\0\u0009\u0001', 'latin1')

/** Asks for a connection and waits for the broker's first method. */
function answersOnce(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(1_000, () => end(false))
    socket.once('error', () => end(false))
    socket.once('close', () => end(false))
    socket.once('connect', () => socket.write(PROTOCOL_HEADER))
    // A method frame; a header of eight bytes would be a refusal.
    socket.once('data', (chunk) => end(chunk[0] === 1))
  })
}

async function firstAnswer(port: number): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS
  while (!(await answersOnce(port))) {
    if (performance.now() > deadline) throw new Error(`port ${port} did not answer within ${START_LIMIT_MS} ms`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** `label`: what it is called beside another of ours. */
export async function startOursOverAmqp(durability: Durability, label = `ours, ${durability}`): Promise<Side> {
  const folder = temporaryFolder('odradek-bench-')
  const ports = { port: await freePort(), amqpPort: await freePort() }
  const begin = async (): Promise<[Served, number]> => {
    const began = performance.now()
    const served = await serve({ dataDir: join(folder, 'data'), durability, ...ports })
    await firstAnswer(ports.amqpPort)
    return [served, performance.now() - began]
  }
  let [served, startMs] = await begin()
  return {
    label,
    address: `127.0.0.1:${ports.amqpPort}`,
    kafka: `127.0.0.1:${ports.port}`,
    diskBytes: () => folderBytes(join(folder, 'data', 'logs')),
    get pid() {
      return served.pid
    },
    get startMs() {
      return startMs
    },
    pause: () => served.child.signal('SIGSTOP'),
    resume: () => served.child.signal('SIGCONT'),
    restart: async () => {
      served.child.signal('SIGKILL')
      await served.child.gone
      ;[served, startMs] = await begin()
      return startMs
    },
    stop: async () => {
      served.child.signal('SIGCONT')
      await served.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Whether a process is still there and not a zombie, which a signal of 0 would reach too. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat[stat.lastIndexOf(')') + 2] !== 'Z'
  } catch {
    return false
  }
}

async function gone(pid: number): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS
  while (isAlive(pid)) {
    if (performance.now() > deadline) throw new Error(`process ${pid} did not end within ${START_LIMIT_MS} ms`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/**
 * `program start|stop|wipe|ctl` with RMQ_PORT in its environment runs a RabbitMQ on 127.0.0.1; `start` prints `pid N` of
 * the process that is measured.
 */
export async function startRabbit(program: string): Promise<Side> {
  const env = { RMQ_PORT: `${PEER_PORT}`, RMQ_PLUGINS: 'none' }
  const call = async (...args: string[]): Promise<string> =>
    (await must(program, args, { env, timeoutMs: START_LIMIT_MS })).stdout
  const begin = async (): Promise<[number, number]> => {
    const began = performance.now()
    const said = await call('start')
    const pid = Number(/pid (\d+)/.exec(said)?.[1])
    if (!(pid > 0)) throw new Error(`${program} start names no pid: ${said}`)
    await firstAnswer(PEER_PORT)
    return [pid, performance.now() - began]
  }
  await call('wipe')
  let [pid, startMs] = await begin()
  let isOver = false
  const signal = (name: NodeJS.Signals): void => {
    if (isAlive(pid)) process.kill(pid, name)
  }
  // It is no child of ours: when a signal ends us it must not be left behind.
  process.on('exit', () => {
    if (isOver) return
    signal('SIGCONT')
    spawnSync(program, ['stop'], { env: { ...process.env, ...env } })
  })
  const version = /(\d+\.\d+\.\d+)/.exec(await call('ctl', 'version'))?.[1] ?? ''
  return {
    label: `RabbitMQ ${version}`,
    address: `127.0.0.1:${PEER_PORT}`,
    diskBytes: async () => {
      const said = await call('ctl', 'eval', 'io:format("~s~n", [rabbit:data_dir()]).')
      const folder = said.split('\n').find((line) => line.startsWith('/'))
      if (folder === undefined) throw new Error(`no data folder in: ${said}`)
      // It may see another root than we do.
      return folderBytes(`/proc/${pid}/root${folder}`)
    },
    get pid() {
      return pid
    },
    get startMs() {
      return startMs
    },
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    restart: async () => {
      signal('SIGKILL')
      await gone(pid)
      ;[pid, startMs] = await begin()
      return startMs
    },
    stop: async () => {
      signal('SIGCONT')
      isOver = true
      await call('stop')
      await call('wipe')
    },
  }
}
