// What a case came to: medians of pairs, the JSON lines they are kept in, the tables made of them.
// Promises: a ratio above 1 always means that ours is better, whichever way the figure runs.
// Does not know: how anything was measured.

import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { FIGURES, type Figures } from './cases.ts'

const FILE = fileURLToPath(new URL('results.jsonl', import.meta.url))
const BEGIN = '<!-- bench:start -->'
const END = '<!-- bench:end -->'

export interface Pair {
  readonly ours: Figures
  readonly peer: Figures
}

export interface Result {
  readonly date: string
  readonly commit: string
  readonly node: string
  readonly machine: string
  readonly case: string
  readonly title: string
  readonly oursLabel: string
  readonly peerLabel: string
  readonly pairs: number
  /** Medians over the pairs. */
  readonly ours: Figures
  readonly peer: Figures
  /** Medians of the ratios of pairs; above 1 ours is better. */
  readonly ratio: Figures
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}

function rounded(value: number): number {
  return Number(value.toPrecision(4))
}

/** Above 1 ours is better. */
export function advantage(figure: string, ours: number, peer: number): number {
  return FIGURES[figure]?.better === 'less' ? peer / ours : ours / peer
}

export function summarise(pairs: readonly Pair[]): Pick<Result, 'ours' | 'peer' | 'ratio'> {
  const ours: Record<string, number> = {}
  const peer: Record<string, number> = {}
  const ratio: Record<string, number> = {}
  for (const figure of Object.keys(pairs[0]?.ours ?? {})) {
    const of = (side: 'ours' | 'peer'): number[] => pairs.map((pair) => pair[side][figure] ?? Number.NaN)
    ours[figure] = rounded(median(of('ours')))
    peer[figure] = rounded(median(of('peer')))
    const ratios = pairs.map((pair) => advantage(figure, pair.ours[figure] ?? 0, pair.peer[figure] ?? 0))
    ratio[figure] = rounded(median(ratios))
  }
  return { ours, peer, ratio }
}

export function keep(result: Result): void {
  appendFileSync(FILE, `${JSON.stringify(result)}\n`)
}

function isResult(value: unknown): value is Result {
  return typeof value === 'object' && value !== null && 'case' in value && 'ours' in value && 'ratio' in value
}

/** The newest result of each case, in the order the cases first appear. */
export function newest(): readonly Result[] {
  if (!existsSync(FILE)) return []
  const byCase = new Map<string, Result>()
  for (const line of readFileSync(FILE, 'utf8').split('\n')) {
    if (line === '') continue
    const value: unknown = JSON.parse(line)
    if (isResult(value)) byCase.set(value.case, value)
  }
  return [...byCase.values()]
}

function figureText(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–'
  if (value >= 100) return value.toFixed(0)
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

export function printResult(result: Result): void {
  for (const figure of Object.keys(result.ours)) {
    const kind = FIGURES[figure]
    const name = `${kind?.title ?? figure} (${kind?.unit ?? ''})`.padEnd(32)
    const ours = figureText(result.ours[figure]).padStart(9)
    const peer = figureText(result.peer[figure]).padStart(9)
    console.log(`  ${name} ${ours} ${peer}   ${figureText(result.ratio[figure])}×`)
  }
}

/** What we want to reach, as ratios of a figure; the table says by how much one is missed. */
const BARS: Readonly<Record<string, Figures>> = {
  'produce-1kib-p1-all-128k-os': { throughput: 1, cpuPerGb: 1 / 0.6 },
  'produce-1kib-p1-all-16k-os': { throughput: 1.1, cpuPerGb: 1 / 0.75 },
  'produce-1kib-p1-all-128k-commit': { throughput: 1.3 },
  'produce-1kib-p1-all-16k-commit': { throughput: 3 },
  'consume-1kib': { throughput: 1, cpuPerGb: 1 / 1.5 },
  'commit-against-os': { throughput: 0.9 },
  'latency-1000-os': { p99: 2 },
  'latency-1000-commit': { p99: 1 },
  'amqp-quorum-1kib-1p1c': { throughput: 2, cpuPerMillion: 4 },
  'amqp-quorum-prefetch-1': { throughput: 2 },
  'amqp-fanout-1mib': { deliveries: 1 },
  'amqp-quorum-latency-1000': { p50: 1 },
  'amqp-fanout-ledgers-100-quorum': { fillRate: 5 },
  'amqp-fanout-ledgers-100-classic': { fillRate: 5 },
  'both-drain-1kib': { throughput: 0.8 },
}

/** The same as figures of our own, whatever the peer's are: at most so much. */
const LIMITS: Readonly<Record<string, Figures>> = {
  'amqp-quorum-1kib-1p1c': { cpuPerMillion: 8.5 },
  'amqp-quorum-latency-1000': { p99: 8 },
  'amqp-quorum-backlog-1m': { growthMiB: 30 },
  'amqp-classic-backlog-1m': { growthMiB: 30 },
  'amqp-classic-never-acked-1m': { growthMiB: 80 },
  'amqp-exclusive-unread-1gib': { growthMiB: 30 },
  'amqp-restart-10m-quorum': { firstDeliveryMs: 2_000 },
  'amqp-restart-10m-classic': { firstDeliveryMs: 2_000 },
  'amqp-restart-10m-priority': { firstDeliveryMs: 2_000 },
  'amqp-restart-10m-ttl': { firstDeliveryMs: 2_000 },
  'amqp-idle-queues-10000': { growthMiB: 60, startMs: 1_500 },
  'amqp-fanout-ledgers-100-quorum': { diskRatio: 1.3 },
  'amqp-fanout-ledgers-100-classic': { diskRatio: 1.3 },
  'both-latency-kafka-to-amqp': { p99: 10 },
  'both-latency-amqp-to-kafka': { p99: 10 },
  'embedded-start': { firstRecordMs: 50, growthMiB: 25 },
}

/** Figures that say the same as one before them. */
const LEFT_OUT: Readonly<Record<string, ReadonlySet<string>>> = {
  kafka: new Set(['cpuPerMillion']),
  amqp: new Set(),
}

function missed(result: Result): string {
  const bars = Object.entries(BARS[result.case] ?? {})
  const limits = Object.entries(LIMITS[result.case] ?? {})
  if (bars.length + limits.length === 0) return ''
  const misses = bars
    .filter(([figure, bar]) => (result.ratio[figure] ?? 0) < bar)
    .map(([figure, bar]) => {
      const part = (result.ratio[figure] ?? 0) / bar
      return `${FIGURES[figure]?.title ?? figure}: wanted ${figureText(bar)}×, ${Math.round((1 - part) * 100)} % short`
    })
  for (const [figure, limit] of limits) {
    const ours = result.ours[figure] ?? Infinity
    const { title = figure, unit = '' } = FIGURES[figure] ?? {}
    if (ours > limit) misses.push(`${title}: wanted at most ${figureText(limit)} ${unit}`)
  }
  return misses.length === 0 ? 'reached' : misses.join('; ')
}

const isAmqp = (result: Result): boolean => result.case.startsWith('amqp-')
/** Beside itself, not beside another. */
const isOurs = (result: Result): boolean => /^(both|embedded)-/.test(result.case)

function table(results: readonly Result[], peer: 'Kafka' | 'RabbitMQ' | 'itself'): string[] {
  const leftOut = LEFT_OUT[peer === 'Kafka' ? 'kafka' : 'amqp']
  const lines = [`| case | Odradek | ${peer} | better by | aim |`, '|---|---|---|---|---|']
  for (const result of results) {
    const figures = Object.keys(result.ours).filter((figure) => leftOut?.has(figure) !== true)
    const of = (values: Figures, unit: boolean): string =>
      figures
        .map((figure) => `${figureText(values[figure])}${unit ? ` ${FIGURES[figure]?.unit ?? ''}` : '×'}`)
        .join(' · ')
    const other = result.peerLabel.startsWith('ours') ? ` (${result.peerLabel.replace('ours, ', 'ours: ')})` : ''
    const cells = [
      `${result.title} (${result.oursLabel.replace('ours, ', '')})`,
      of(result.ours, true),
      `${of(result.peer, true)}${other}`,
      of(result.ratio, false),
      missed(result),
    ]
    lines.push(`| ${cells.join(' | ')} |`)
  }
  const last = results.at(-1)
  const pairs = [...new Set(results.map((result) => result.pairs))].join(', ')
  lines.push(
    '',
    `Medians of ${pairs} alternating pairs on ${last?.machine ?? 'one machine'}, Node ${last?.node ?? ''}; the side not`,
  )
  return lines
}

export function markdown(results: readonly Result[]): string {
  const kafka = results.filter((result) => !isAmqp(result) && !isOurs(result))
  const lines = table(kafka, 'Kafka')
  lines.push(
    'under test is stopped. `commit` is compared with Kafka at `flush.messages=1`, `os` with Kafka as it comes.',
  )
  const amqp = results.filter(isAmqp)
  if (amqp.length > 0) lines.push('', ...table(amqp, 'RabbitMQ'), ...aboutRabbit(amqp))
  const ours = results.filter(isOurs)
  if (ours.length > 0) lines.push('', ...table(ours, 'itself'), 'under test is stopped. Both sides are Odradek.')
  return lines.join('\n')
}

function aboutRabbit(amqp: readonly Result[]): string[] {
  return [
    `under test is stopped. The peer is ${amqp.at(-1)?.peerLabel ?? 'RabbitMQ'} on one node; its quorum queues sync before`,
    'they confirm, as `commit` does, its classic queues do not.',
  ]
}

/** Puts the table between the markers of a file. */
export function writeTable(file: string): void {
  if (!existsSync(file)) throw new Error(`${file} does not exist`)
  const text = readFileSync(file, 'utf8')
  const from = text.indexOf(BEGIN)
  const to = text.indexOf(END)
  if (from < 0 || to < from) throw new Error(`${file} has no line ${BEGIN} followed by a line ${END}`)
  const results = newest()
  if (results.length === 0) throw new Error('there are no results to make a table of; run the benchmark first')
  const table = `${BEGIN}\n\n${markdown(results)}\n\n${END}`
  writeFileSync(file, text.slice(0, from) + table + text.slice(to + END.length))
}
