// Child processes of the compat and bench programs: started, bounded in time, and gone when we are.
// Promises: every process started here is in a group of its own and only such groups are signalled, by id.
// Does not know: brokers, suites, what the commands mean.

import { spawn, type ChildProcess } from 'node:child_process'
import { createWriteStream } from 'node:fs'

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string | Buffer
  /** Milliseconds until the whole group is ended. */
  readonly timeoutMs: number
  /** Standard output goes here instead of into memory. */
  readonly stdoutFile?: string
}

export interface RunResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly timedOut: boolean
  readonly ms: number
}

const live = new Set<number>()

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // The group is already gone.
  }
}

/** Ends whatever is still running; for the moment before this process leaves. */
export function endAll(): void {
  for (const pid of live) signalGroup(pid, 'SIGKILL')
  live.clear()
}

process.on('exit', endAll)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    endAll()
    process.exit(130)
  })
}

export interface Child {
  readonly process: ChildProcess
  readonly pid: number
  /** Resolves once the process is gone, with its exit code (null when a signal ended it). */
  readonly gone: Promise<number | null>
  /** SIGTERM, then SIGKILL after the grace; resolves with the exit code. */
  stop(graceMs?: number): Promise<number | null>
  signal(signal: NodeJS.Signals): void
}

export function start(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Child {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  const pid = child.pid ?? -1
  if (pid > 0) live.add(pid)
  child.stdin?.on('error', () => {})
  const gone = new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(127))
    child.once('close', (code) => {
      live.delete(pid)
      resolve(code)
    })
  })
  return {
    process: child,
    pid,
    gone,
    signal: (signal) => signalGroup(pid, signal),
    stop: async (graceMs = 10_000) => {
      if (pid < 0) return gone
      signalGroup(pid, 'SIGTERM')
      const timer = setTimeout(() => signalGroup(pid, 'SIGKILL'), graceMs)
      const code = await gone
      clearTimeout(timer)
      signalGroup(pid, 'SIGKILL')
      return code
    },
  }
}

export async function run(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  const began = performance.now()
  const child = start(command, args, options)
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.process.once('error', (error) => err.push(Buffer.from(String(error))))
  if (options.stdoutFile === undefined) child.process.stdout?.on('data', (chunk: Buffer) => out.push(chunk))
  else child.process.stdout?.pipe(createWriteStream(options.stdoutFile))
  child.process.stderr?.on('data', (chunk: Buffer) => err.push(chunk))
  child.process.stdin?.end(options.input ?? '')
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    void child.stop(3_000)
  }, options.timeoutMs)
  const code = await child.gone
  clearTimeout(timer)
  if (child.pid > 0) signalGroup(child.pid, 'SIGKILL')
  return {
    code,
    stdout: Buffer.concat(out).toString(),
    stderr: Buffer.concat(err).toString(),
    timedOut,
    ms: performance.now() - began,
  }
}

/** As `run`, but a non-zero end is an error that shows the last lines. */
export async function must(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  const result = await run(command, args, options)
  if (result.code === 0 && !result.timedOut) return result
  const said = `${result.stdout}\n${result.stderr}`.trim().split('\n').slice(-8).join('\n')
  const end = result.timedOut ? `took longer than ${options.timeoutMs} ms` : `ended with ${result.code}`
  throw new Error(`${command} ${args.slice(0, 6).join(' ')} ${end}:\n${said}`)
}
