// Runs the tests that come with a Go module and turns the events of `go test -json` into outcomes.
// Promises: an outcome is `package.Test/sub` with the broker's address taken out; what was begun and not ended failed.
// Does not know: which modules.

import { createInterface } from 'node:readline'
import { start } from './process.ts'
import type { Outcome, SuiteContext } from './suite.ts'

export interface GoRun {
  readonly folder: string
  readonly packages: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Milliseconds after which the run is ended. */
  readonly limitMs: number
  /** The prefix of import paths that is cut from names. */
  readonly prefix: string
}

interface Event {
  readonly action: string
  readonly test: string
  readonly pack: string
  readonly output: string
}

function textField(value: object, key: string): string {
  const field: unknown = Object.getOwnPropertyDescriptor(value, key)?.value
  return typeof field === 'string' ? field : ''
}

function parseEvent(line: string): Event | null {
  if (!line.startsWith('{')) return null
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  return {
    action: textField(value, 'Action'),
    test: textField(value, 'Test'),
    pack: textField(value, 'Package'),
    output: textField(value, 'Output'),
  }
}

function quote(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

/** The pattern for `go test -skip` that leaves out exactly these names of one package. */
function skipPattern(names: Iterable<string>, pack: string): string {
  const patterns: string[] = []
  for (const name of names) {
    if (!name.startsWith(`${pack}.`)) continue
    const parts = name.slice(pack.length + 1).split('/')
    patterns.push(parts.map((part) => `^${quote(part)}$`).join('/'))
  }
  return patterns.join('|')
}

function shorten(pack: string, prefix: string): string {
  return pack.startsWith(prefix) ? pack.slice(prefix.length) : pack
}

/** The line of a failed test's output that says why. */
function reason(output: readonly string[]): string {
  const telling = output.filter((line) => !/^\s*(---|===)/.test(line) && line.trim() !== '')
  return telling.slice(-3).join(' ').replace(/\s+/g, ' ').trim().slice(0, 300)
}

export async function goTests(context: SuiteContext, goRun: GoRun, pack: string): Promise<readonly Outcome[]> {
  const seconds = Math.ceil(goRun.limitMs / 1000)
  const args = ['test', '-count=1', '-json', `-timeout=${seconds}s`]
  const skip = skipPattern(context.leftOut, pack)
  if (skip !== '') args.push('-skip', skip)
  if (context.only !== null) args.push('-run', context.only.source)
  const child = start('go', [...args, ...goRun.packages], { cwd: goRun.folder, env: goRun.env })
  child.process.stdin?.end()
  let said = ''
  child.process.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4_000)
  })
  const timer = setTimeout(() => void child.stop(5_000), goRun.limitMs + 20_000)
  const outcomes = new Map<string, Outcome>()
  const outputs = new Map<string, string[]>()
  const begun = new Set<string>()
  const settle = (outcome: Outcome): void => {
    outcomes.set(outcome.name, outcome)
    begun.delete(outcome.name)
    if (outcome.verdict === 'fail') context.report(outcome)
  }
  if (child.process.stdout !== null) {
    for await (const line of createInterface({ input: child.process.stdout })) {
      const event = parseEvent(line)
      if (event === null || event.test === '') continue
      const bare = `${shorten(event.pack, goRun.prefix)}.${event.test}`
      const name = bare.replaceAll(context.broker.address, 'BROKER').replaceAll(`:${context.broker.port}`, ':PORT')
      const output = outputs.get(name) ?? []
      if (event.action === 'output') outputs.set(name, [...output.slice(-30), event.output])
      if (event.action === 'run') begun.add(name)
      if (event.action === 'pass') settle({ name, verdict: 'pass', note: '' })
      if (event.action === 'skip') settle({ name, verdict: 'skip', note: reason(output) })
      if (event.action === 'fail') settle({ name, verdict: 'fail', note: reason(output) })
    }
  }
  await child.gone
  clearTimeout(timer)
  for (const name of begun) settle({ name, verdict: 'fail', note: `did not end: ${reason(outputs.get(name) ?? [])}` })
  if (outcomes.size === 0 && context.only === null) throw new Error(`go test ran nothing: ${said.slice(-1_000)}`)
  const passed = [...outcomes.values()].filter((outcome) => outcome.verdict === 'pass').length
  console.log(`${pack}: ${passed} of ${outcomes.size} passed`)
  return [...outcomes.values()]
}
