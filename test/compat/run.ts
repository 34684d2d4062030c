// The compat command: foreign clients or suites against our broker (or a given one), judged by their allow-lists.
// Promises: ends in bounded time, leaves no process and no file behind; exit 1 when a name of tests.allow did not pass.
// Does not know: what any suite checks.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { cacheFolder, hasCommand } from './install.ts'
import { appendAllowed, readLists } from './lists.ts'
import { endAll } from './process.ts'
import { serve, type Served } from './serve.ts'
import type { BrokerUnderTest, Outcome, Suite, SuiteContext } from './suite.ts'

const HERE = fileURLToPath(new URL('.', import.meta.url))

const USAGE = `usage: npm run compat -- list
       npm run compat -- NAME … [--broker HOST:PORT] [--update] [--all] [--only REGEX] [--keep]
  of several names each is run, and then what crosses them
  --broker  use this broker instead of starting ours
  --update  append names that pass and are in neither list to tests.allow
  --all     run the excluded names too (they cannot fail the run)
  --only    run only names that match
  --keep    keep the data folder and say where it is`

interface Options {
  readonly broker: string | null
  readonly update: boolean
  readonly all: boolean
  readonly only: RegExp | null
  readonly keep: boolean
}

function suiteNames(): string[] {
  return readdirSync(HERE, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(HERE, entry.name, 'suite.ts')))
    .map((entry) => entry.name)
    .sort()
}

function isSuite(value: unknown): value is Suite {
  return typeof value === 'object' && value !== null && 'run' in value && 'needs' in value && 'limitMinutes' in value
}

async function loadSuite(name: string): Promise<Suite> {
  if (!suiteNames().includes(name)) throw new Error(`no suite "${name}"; there are: ${suiteNames().join(', ')}`)
  const module: unknown = await import(pathToFileURL(join(HERE, name, 'suite.ts')).href)
  if (typeof module === 'object' && module !== null && 'suite' in module && isSuite(module.suite)) return module.suite
  throw new Error(`${name}/suite.ts exports no suite`)
}

function parseBroker(address: string, amqp: string, dataDir: string | null): BrokerUnderTest {
  const cut = address.lastIndexOf(':')
  const port = Number(address.slice(cut + 1))
  if (cut < 1 || !Number.isInteger(port)) throw new Error(`--broker wants HOST:PORT, not "${address}"`)
  return { host: address.slice(0, cut), port, address, amqp, dataDir }
}

function show(outcome: Outcome): void {
  const word = { pass: 'ok  ', fail: 'FAIL', skip: 'skip' }[outcome.verdict]
  console.log(`${word} ${outcome.name}${outcome.note === '' ? '' : `  -- ${outcome.note}`}`)
}

async function runBounded(suite: Suite, context: SuiteContext): Promise<readonly Outcome[]> {
  const limitMs = suite.limitMinutes * 60_000
  const seen: Outcome[] = []
  const watched: SuiteContext = {
    ...context,
    report: (outcome) => {
      seen.push(outcome)
      context.report(outcome)
    },
  }
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), limitMs)
  })
  const outcomes = await Promise.race([suite.run(watched), late])
  clearTimeout(timer)
  if (outcomes !== null) return outcomes
  console.log(`given up after ${suite.limitMinutes} minutes`)
  return seen
}

/** Compares with the lists, prints what matters, answers the exit code. */
function judge(folder: string, outcomes: readonly Outcome[], options: Options): number {
  const lists = readLists(folder)
  const byName = new Map(outcomes.map((outcome) => [outcome.name, outcome]))
  const expected = lists.allow.filter((name) => options.only === null || options.only.test(name))
  // A given broker may hide what a check needs (its data folder): such a check says skip.
  const skippable = options.broker !== null
  const failed = expected.filter((name) => {
    const verdict = byName.get(name)?.verdict
    return verdict !== 'pass' && !(skippable && verdict === 'skip')
  })
  const passed = outcomes.filter((outcome) => outcome.verdict === 'pass')
  const unlisted = outcomes.filter(
    (outcome) => !lists.allow.includes(outcome.name) && !lists.excluded.has(outcome.name),
  )
  const fresh = unlisted.filter((outcome) => outcome.verdict === 'pass').map((outcome) => outcome.name)
  const known = unlisted.filter((outcome) => outcome.verdict === 'fail')
  const surprises = passed.filter((outcome) => lists.excluded.has(outcome.name))
  const skipped = [...lists.excluded.keys()].filter((name) => byName.get(name)?.verdict !== 'pass').length
  const skips = outcomes.filter((outcome) => outcome.verdict === 'skip' && !lists.excluded.has(outcome.name)).length
  for (const name of failed) console.log(`must pass and does not: ${name}  -- ${byName.get(name)?.note ?? 'not run'}`)
  for (const outcome of known) console.log(`fails, in neither list: ${outcome.name}  -- ${outcome.note}`)
  for (const outcome of surprises) console.log(`excluded, yet passes: ${outcome.name}`)
  if (options.update) appendAllowed(folder, fresh)
  if (fresh.length > 0) console.log(`${fresh.length} newly passing${options.update ? ', appended to tests.allow' : ''}`)
  console.log(`${passed.length} passed, ${failed.length} failed, ${skipped + skips + known.length} skipped`)
  return failed.length > 0 ? 1 : 0
}

async function compat(name: string, options: Options): Promise<number> {
  const suite = await loadSuite(name)
  for (const command of suite.needs) {
    if (!(await hasCommand(command))) throw new Error(`suite ${name} needs the command "${command}"`)
  }
  const cacheDir = cacheFolder()
  mkdirSync(cacheDir, { recursive: true })
  const workDir = mkdtempSync(join(tmpdir(), 'odradek-compat-'))
  // Also when a signal ends us.
  if (!options.keep) process.on('exit', () => rmSync(workDir, { recursive: true, force: true }))
  const dataDir = join(workDir, 'data')
  const folder = join(HERE, name)
  let served: Served | null = null
  try {
    const { protocol = 'kafka' } = suite
    if (options.broker === null) {
      served = await serve({
        dataDir,
        settings: suite.settings ?? [],
        ...(protocol === 'kafka' ? {} : { amqpPort: 0 }),
      })
    } else if (protocol === 'both') throw new Error(`suite ${name} needs both listeners: it runs against ours only`)
    const address = options.broker ?? (protocol === 'amqp' ? served?.amqp : served?.address) ?? ''
    const broker = parseBroker(address, (protocol === 'both' && served?.amqp) || '', served === null ? null : dataDir)
    const began = performance.now()
    const outcomes = await runBounded(suite, {
      broker,
      cacheDir,
      workDir,
      tag: Date.now().toString(36),
      leftOut: new Set(options.all ? [] : readLists(folder).excluded.keys()),
      only: options.only,
      report: show,
    })
    console.log(`${name}: ${((performance.now() - began) / 1000).toFixed(1)} s against ${broker.address}`)
    const code = judge(folder, outcomes, options)
    if (served === null) return code
    const end = await served.stop()
    if (end === 0) return code
    console.log(`the broker ended with ${end} instead of 0; it said:\n${served.said().slice(-2_000)}`)
    return 1
  } finally {
    await served?.stop()
    if (options.keep) console.log(`kept ${workDir}`)
    else rmSync(workDir, { recursive: true, force: true })
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      broker: { type: 'string' },
      update: { type: 'boolean' },
      all: { type: 'boolean' },
      only: { type: 'string' },
      keep: { type: 'boolean' },
    },
  })
  if (positionals.length === 0) {
    console.log(USAGE)
    return 2
  }
  if (positionals[0] === 'list') {
    console.log(suiteNames().join('\n'))
    return 0
  }
  const options = {
    broker: values.broker ?? null,
    update: values.update ?? false,
    all: values.all ?? false,
    only: values.only === undefined ? null : new RegExp(values.only),
    keep: values.keep ?? false,
  }
  let worst = 0
  for (const name of await withCrossing(positionals)) worst = Math.max(worst, await compat(name, options))
  return worst
}

/** The suites asked for, and behind them those that cross them. */
async function withCrossing(asked: readonly string[]): Promise<readonly string[]> {
  if (asked.length < 2) return asked
  const crossing: string[] = []
  for (const name of suiteNames()) {
    const { crosses } = await loadSuite(name)
    if (!asked.includes(name) && crosses?.every((one) => asked.includes(one)) === true) crossing.push(name)
  }
  return [...asked, ...crossing]
}

main()
  .catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : String(error))
    return 2
  })
  .then((code) => {
    endAll()
    process.exit(code)
  })
