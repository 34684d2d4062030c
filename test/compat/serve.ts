// Starts the built broker as its users do: the CLI's `serve`, fresh data, a free port, one ready line.
// Promises: the caller has an address that answers, or an error with what the broker said; stop() ends that process.
// Does not know: suites, benchmarks.

import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { start, type Child } from './process.ts'

export const PROJECT = fileURLToPath(new URL('../..', import.meta.url))
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const READY_LIMIT_MS = 20_000

export interface ServeOptions {
  readonly dataDir: string
  readonly durability?: 'commit' | 'os'
  readonly settings?: readonly string[]
  /** 0 takes any free port. */
  readonly port?: number
  /** Listen to AMQP clients too, on this port; 0 takes any free one. */
  readonly amqpPort?: number
}

export interface Served {
  readonly host: string
  readonly port: number
  readonly address: string
  /** Where AMQP clients connect; empty when nobody listens. */
  readonly amqp: string
  readonly pid: number
  readonly child: Child
  /** What the broker wrote to standard error so far; the last part of it. */
  said(): string
  stop(): Promise<number | null>
}

interface Ready {
  readonly kafka: string
  readonly amqp: string
  readonly pid: number
}

function parseReady(line: string): Ready | null {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null || !('ready' in value) || value.ready !== true) return null
  if (!('kafka' in value) || typeof value.kafka !== 'string') return null
  return {
    kafka: value.kafka,
    amqp: 'amqp' in value && typeof value.amqp === 'string' ? value.amqp : '',
    pid: 'pid' in value && typeof value.pid === 'number' ? value.pid : -1,
  }
}

export async function serve(options: ServeOptions): Promise<Served> {
  const args = [MAIN, 'serve', '--data', options.dataDir, '--kafka', `127.0.0.1:${options.port ?? 0}`, '--json']
  args.push('--amqp', options.amqpPort === undefined ? 'off' : `127.0.0.1:${options.amqpPort}`)
  if (options.durability !== undefined) args.push('--durability', options.durability)
  for (const setting of options.settings ?? []) args.push('--set', setting)
  const child = start(process.execPath, args, { cwd: PROJECT })
  let said = ''
  child.process.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-20_000)
  })
  child.process.stdin?.end()
  const ready = await new Promise<Ready>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`the broker was not ready within ${READY_LIMIT_MS} ms: ${said}`))
    }, READY_LIMIT_MS)
    if (child.process.stdout !== null) {
      createInterface({ input: child.process.stdout }).on('line', (line) => {
        const parsed = parseReady(line)
        if (parsed === null) return
        clearTimeout(timer)
        resolve(parsed)
      })
    }
    void child.gone.then((code) => {
      clearTimeout(timer)
      reject(new Error(`the broker ended with ${code} before it was ready: ${said}`))
    })
  }).catch(async (error: unknown) => {
    await child.stop(1_000)
    throw error
  })
  const cut = ready.kafka.lastIndexOf(':')
  const host = ready.kafka.slice(0, cut)
  const port = Number(ready.kafka.slice(cut + 1))
  return {
    host,
    port,
    address: `${host}:${port}`,
    amqp: ready.amqp,
    pid: ready.pid > 0 ? ready.pid : child.pid,
    child,
    said: () => said,
    stop: () => child.stop(),
  }
}
