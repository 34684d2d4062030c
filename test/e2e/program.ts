// Runs the built command line and the examples as their users do: one process, its output, its exit code.
// Promises: every process started here has ended when its handle says so; none outlives its time.
// Does not know: what the programs are asked.

import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Running {
  readonly process: ChildProcess
  /** Resolves with the first line of stdout that `matches`; rejects when the program ends before. */
  line(matches: (line: string) => boolean): Promise<string>
  readonly ended: Promise<Ended>
}

const endsWithinMs = 15_000
/** What the machine says, without what it may say to a broker: the tests say that themselves. */
const inherited = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ODRADEK_'))),
  // A RabbitMQ may listen on its own port here, and tests run beside one another.
  ODRADEK_AMQP: '127.0.0.1:0',
}

export function start(script: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  if (script === main && !existsSync(main)) throw new Error('dist/ is not built: npm run build')
  const child = spawn(process.execPath, [script, ...args], { cwd: root, env: { ...inherited, ...env } })
  const timer = setTimeout(() => child.kill('SIGKILL'), endsWithinMs)
  let out = ''
  let err = ''
  const watchers = new Set<() => void>()
  const changed = (): void => {
    for (const watcher of watchers) watcher()
  }
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
    changed()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString()
  })
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ code, out, err })
    })
  })
  return {
    process: child,
    ended,
    line: (matches) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = out.split('\n').slice(0, -1).find(matches)
          if (found === undefined) return
          watchers.delete(look)
          resolve(found)
        }
        watchers.add(look)
        look()
        void ended.then(({ code }) => reject(new Error(`ended with ${code} before that line:\n${out}${err}`)))
      }),
  }
}

/** Runs the command line to its end. */
export function odradek(args: readonly string[], input = '', env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const running = start(main, args, env)
  running.process.stdin?.end(input)
  return running.ended
}
