// Runs a Python project's tests with pytest and turns its JUnit report into outcomes.
// Promises: an outcome is `module.class.test[parameters]`; a test that began and is not in the report failed.
// Does not know: which project.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './process.ts'
import { wanted, type Outcome, type SuiteContext, type Verdict } from './suite.ts'

export interface PytestRun {
  readonly python: string
  readonly folder: string
  readonly files: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Pytest's own expression of what to run. */
  readonly select?: string
  /** Milliseconds after which the run is ended. */
  readonly limitMs: number
}

const TEST_SECONDS = 60

function unescaped(text: string): string {
  const named: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }
  return text.replaceAll(/&(#x?[\da-f]+|\w+);/gi, (whole, name: string) => {
    if (!name.startsWith('#')) return named[name] ?? whole
    return String.fromCodePoint(name[1] === 'x' ? parseInt(name.slice(2), 16) : parseInt(name.slice(1), 10))
  })
}

function attribute(tag: string, name: string): string {
  return unescaped(new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1] ?? '')
}

/** The test cases of a JUnit report. */
export function outcomesOf(report: string): Outcome[] {
  const outcomes: Outcome[] = []
  for (const found of report.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const [, tag = '', inside = ''] = found
    const name = `${attribute(tag, 'classname')}.${attribute(tag, 'name')}`
    const bad = /<(?:failure|error)\b([^>]*)>/.exec(inside)
    const verdict: Verdict = bad !== null ? 'fail' : inside.includes('<skipped') ? 'skip' : 'pass'
    const note = bad === null ? '' : attribute(bad[1] ?? '', 'message')
    outcomes.push({ name, verdict, note: note.replace(/\s+/g, ' ').slice(0, 300) })
  }
  return outcomes
}

export async function pytest(context: SuiteContext, pytestRun: PytestRun): Promise<readonly Outcome[]> {
  const report = join(context.workDir, 'junit.xml')
  const args = ['-m', 'pytest', '-q', `--timeout=${TEST_SECONDS}`, '-p', 'no:cacheprovider', `--junitxml=${report}`]
  if (pytestRun.select !== undefined) args.push('-k', pytestRun.select)
  const env = { ...pytestRun.env, PYTHONDONTWRITEBYTECODE: '1' }
  const options = { cwd: pytestRun.folder, env, timeoutMs: pytestRun.limitMs }
  const result = await run(pytestRun.python, [...args, ...pytestRun.files], options)
  if (!existsSync(report)) throw new Error(`pytest left no report: ${`${result.stdout}${result.stderr}`.slice(-600)}`)
  const outcomes = outcomesOf(readFileSync(report, 'utf8')).filter(({ name }) => wanted(context, name))
  for (const outcome of outcomes) context.report(outcome)
  return outcomes
}
