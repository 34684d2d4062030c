// odradek lag: how far behind every group and every queue is, how fast it works that off, and when it will be through.
// Promises: rates are what happened between two looks, `--over` apart; what was not counted is shown as -, never as 0.
// Does not know: how lag is counted (the broker does).

import { pause } from '../server/node-admin.ts'
import { ask, type AdminFlags } from './admin.ts'
import { CommandFailure, exitCodes } from './exit.ts'
import { durationOf } from './flags.ts'
import { say, sayJson } from './output.ts'
import { bytesText, durationText, plainText, table, type Cell } from './table.ts'

interface BacklogJson {
  readonly records: number
  readonly unacknowledged: number
  readonly bytes: number
  readonly bytes_are_estimated: boolean
  readonly oldest_age_ms: number | null
  readonly end: number
  readonly position: number
}

export interface RowJson {
  readonly kind: 'group' | 'queue'
  readonly name: string
  readonly topic: string
  readonly partitions: number
  readonly backlog: BacklogJson | null
}

export interface LagJson {
  readonly at_ms: number
  readonly rows: readonly RowJson[]
}

export interface LagFlags extends AdminFlags {
  readonly over: string
}

/** A row with what two looks tell of it; null: not counted, or there is no such thing. */
export interface LagRow {
  readonly kind: 'group' | 'queue'
  readonly name: string
  readonly topic: string
  readonly partitions: number
  readonly lag: number | null
  readonly unacknowledged: number | null
  readonly bytes: number | null
  readonly bytesAreEstimated: boolean
  readonly oldestMs: number | null
  /** Records a second that were worked off, and that came. */
  readonly rate: number | null
  readonly incoming: number | null
  /** null: never, if it goes on like this, or nothing is there to be worked off. */
  readonly drainMs: number | null
}

const overMsMax = 600_000

export async function showLag(name: string | undefined, flags: LagFlags): Promise<void> {
  const overMs = durationOf('--over', flags.over, 1, overMsMax)
  const path = `/api/odradek/lag${name === undefined ? '' : `?name=${encodeURIComponent(name)}`}`
  const before = (await ask(flags, 'GET', path)) as LagJson
  await pause(overMs)
  const rows = lagRows(before, (await ask(flags, 'GET', path)) as LagJson)
  if (rows.length === 0 && name !== undefined)
    throw new CommandFailure(
      `no group or queue is named ${plainText(name)}, or is over a topic of that name`,
      exitCodes.notFound,
    )
  if (flags.json === true) return sayJson(rows)
  if (rows.length === 0) return say('There are no groups and no queues.\n')
  await say(table(columns, rows.map(cellsOf)))
  const uncounted = rows.filter(({ lag }) => lag === null).length
  if (uncounted > 0)
    await say(
      `\n${uncounted} not counted (-): nobody used them since the start. Ask again, or for one: odradek lag NAME\n`,
    )
}

const columns = ['KIND', 'NAME', 'TOPIC', 'PARTITIONS', 'LAG', 'BYTES', 'OLDEST', 'PER SECOND', 'DRAINED IN'] as const

function cellsOf(row: LagRow): Cell[] {
  const { kind, name, topic, partitions, lag, bytes, oldestMs, rate } = row
  return [
    kind,
    name,
    topic,
    partitions,
    lag ?? '-',
    bytes === null ? '-' : `${row.bytesAreEstimated ? '~' : ''}${bytesText(bytes)}`,
    oldestMs === null ? '-' : durationText(oldestMs),
    rate === null ? '-' : rate >= 10 ? Math.round(rate) : Number(rate.toFixed(1)),
    drainText(row),
  ]
}

function drainText({ lag, rate, drainMs }: LagRow): string {
  if (drainMs !== null) return durationText(drainMs)
  return lag === null || lag === 0 || rate === null ? '-' : 'never'
}

const keyOf = ({ kind, name, topic }: RowJson): string => JSON.stringify([kind, name, topic])

/** The rows of the second look, the largest lag first. */
export function lagRows(before: LagJson, now: LagJson): LagRow[] {
  const seconds = Math.max(1, now.at_ms - before.at_ms) / 1000
  const earlier = new Map(before.rows.map((row) => [keyOf(row), row.backlog]))
  const rows = now.rows.map((row) => lagRow(row, earlier.get(keyOf(row)) ?? null, seconds))
  const order = (row: LagRow): string => `${row.kind} ${row.name} ${row.topic}`
  return rows.sort((one, other) => (other.lag ?? -1) - (one.lag ?? -1) || (order(one) < order(other) ? -1 : 1))
}

function lagRow(
  { kind, name, topic, partitions, backlog }: RowJson,
  before: BacklogJson | null,
  seconds: number,
): LagRow {
  // A topic or queue made anew meanwhile begins below: that is no rate.
  const rise = (of: (one: BacklogJson) => number): number | null =>
    backlog === null || before === null ? null : Math.max(0, of(backlog) - of(before)) / seconds
  const rate = rise(({ position }) => position)
  const incoming = rise(({ end }) => end)
  const records = backlog?.records ?? null
  const falls = rate === null || incoming === null ? 0 : rate - incoming
  return {
    kind,
    name,
    topic,
    partitions,
    lag: records,
    unacknowledged: backlog?.unacknowledged ?? null,
    bytes: backlog?.bytes ?? null,
    bytesAreEstimated: backlog?.bytes_are_estimated ?? false,
    oldestMs: backlog?.oldest_age_ms ?? null,
    rate,
    incoming,
    drainMs: records === null || records === 0 || falls <= 0 ? null : Math.round((records / falls) * 1000),
  }
}
