// Runs a Python program of ours that makes checks, and turns the JSON line it prints for each into an outcome.
// Promises: each outcome is reported as it comes; the program and what it started are gone afterwards.
// Does not know: what is checked.

import { createInterface } from 'node:readline'
import { start } from './process.ts'
import type { Outcome, SuiteContext } from './suite.ts'

export interface PythonChecks {
  readonly python: string
  /** The program; it is given HOST:PORT, the run's tag, the names left out as JSON and, when there is one, a pattern. */
  readonly program: string
  readonly env?: Readonly<Record<string, string>>
}

function parseOutcome(line: string): Outcome | null {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  if (!('name' in value) || typeof value.name !== 'string' || !('verdict' in value)) return null
  const note = 'note' in value && typeof value.note === 'string' ? value.note.replace(/\s+/g, ' ') : ''
  return { name: value.name, verdict: value.verdict === 'pass' ? 'pass' : 'fail', note: note.slice(0, 400) }
}

export async function pythonChecks(context: SuiteContext, checks: PythonChecks): Promise<readonly Outcome[]> {
  const args = [checks.program, context.broker.address, context.tag, JSON.stringify([...context.leftOut])]
  if (context.only !== null) args.push(context.only.source)
  const env = { PYTHONDONTWRITEBYTECODE: '1', ...checks.env }
  const child = start(checks.python, args, { cwd: context.workDir, env })
  child.process.stdin?.end()
  let said = ''
  child.process.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4_000)
  })
  const outcomes: Outcome[] = []
  if (child.process.stdout !== null) {
    for await (const line of createInterface({ input: child.process.stdout })) {
      const outcome = parseOutcome(line)
      if (outcome === null) continue
      outcomes.push(outcome)
      context.report(outcome)
    }
  }
  const code = await child.gone
  await child.stop(1_000)
  if (code !== 0) throw new Error(`the Python program ended with ${code}: ${said}`)
  return outcomes
}
