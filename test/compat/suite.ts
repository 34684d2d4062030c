// What a compat suite is: a name, what it needs installed, and a run against one broker that yields outcomes.
// Promises: an outcome is named the same on every broker; a check that throws or exceeds its time is a failure.
// Does not know: which suites exist, how brokers are started, the allow-lists.

export type Verdict = 'pass' | 'fail' | 'skip'

export interface Outcome {
  readonly name: string
  readonly verdict: Verdict
  /** Why it failed or was skipped; one line. */
  readonly note: string
}

export interface BrokerUnderTest {
  readonly host: string
  readonly port: number
  /** `host:port`. */
  readonly address: string
  /** Where AMQP clients connect, of a suite for both protocols; else empty. */
  readonly amqp: string
  /** The data folder, when the broker was started here. */
  readonly dataDir: string | null
}

/** Whose clients a suite runs: the listener they are pointed at. Of `both`, Kafka's is the address. */
export type Protocol = 'kafka' | 'amqp' | 'both'

export interface SuiteContext {
  readonly broker: BrokerUnderTest
  /** Kept between runs: downloads, virtual environments, unpacked modules. */
  readonly cacheDir: string
  /** Emptied after the run. */
  readonly workDir: string
  /** Unique to this run; part of every topic and group name. */
  readonly tag: string
  /** Names not to be run (the excluded ones, unless all were asked for). */
  readonly leftOut: ReadonlySet<string>
  /** Only names that match are run. */
  readonly only: RegExp | null
  readonly report: (outcome: Outcome) => void
}

export interface Suite {
  readonly name: string
  /** Commands that must be on the PATH. */
  readonly needs: readonly string[]
  /** Minutes after which the run is given up. */
  readonly limitMinutes: number
  /** `kafka` unless said. */
  readonly protocol?: Protocol
  /** Runs too when all suites of these names are asked for. */
  readonly crosses?: readonly string[]
  /** Broker settings beyond the defaults, as `key=value`. */
  readonly settings?: readonly string[]
  run(context: SuiteContext): Promise<readonly Outcome[]>
}

export interface Check {
  readonly name: string
  readonly run: () => Promise<void>
  /** Milliseconds; 60,000 unless said. */
  readonly limitMs?: number
}

/** Thrown by a check that cannot be made against this broker. */
export class NotHere extends Error {}

function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.replace(/\s+/g, ' ').trim().slice(0, 400)
}

async function bounded(check: Check): Promise<void> {
  const limitMs = check.limitMs ?? 60_000
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${limitMs} ms`)), limitMs)
  })
  try {
    await Promise.race([check.run(), late])
  } finally {
    clearTimeout(timer)
  }
}

export function wanted(context: SuiteContext, name: string): boolean {
  return !context.leftOut.has(name) && (context.only === null || context.only.test(name))
}

/** Runs named checks one after another. */
export async function runChecks(context: SuiteContext, checks: readonly Check[]): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  for (const check of checks) {
    if (!wanted(context, check.name)) continue
    let outcome: Outcome
    try {
      await bounded(check)
      outcome = { name: check.name, verdict: 'pass', note: '' }
    } catch (error) {
      outcome = { name: check.name, verdict: error instanceof NotHere ? 'skip' : 'fail', note: oneLine(error) }
    }
    context.report(outcome)
    outcomes.push(outcome)
  }
  return outcomes
}

export function expect(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what)
}

export function expectEqual(actual: unknown, expected: unknown, what: string): void {
  const a = JSON.stringify(actual) ?? 'nothing'
  const e = JSON.stringify(expected) ?? 'nothing'
  if (a === e) return
  const short = (text: string): string => (text.length > 160 ? `${text.slice(0, 80)}…${text.slice(-80)}` : text)
  throw new Error(`${what}: expected ${short(e)}, got ${short(a)}`)
}

export function expectMatch(text: string, pattern: RegExp): void {
  if (pattern.test(text)) return
  throw new Error(`no ${pattern} in: ${text.slice(-300)}`)
}

/** Asks again until the answer is not null, or the time is over. */
export async function until<T>(what: string, limitMs: number, ask: () => Promise<T | null>): Promise<T> {
  const deadline = performance.now() + limitMs
  for (;;) {
    const answer = await ask()
    if (answer !== null) return answer
    if (performance.now() > deadline) throw new Error(`${what}: not within ${limitMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
