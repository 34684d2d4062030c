// odradek dlq redrive: dead letters sent back, step by step, not faster than asked for.
// Promises: an interrupt ends it behind the step under way, and what is printed is what was done; progress goes to stderr.
// Does not know: what a filter means, how a step is done (the broker does).

import { pause } from '../server/node-admin.ts'
import { ask, type AdminFlags } from './admin.ts'
import { wholeNumber } from './flags.ts'
import { say, sayJson } from './output.ts'
import { plainText, table } from './table.ts'

export interface RedriveFlags extends AdminFlags {
  readonly to?: string
  readonly rate?: string
  readonly filter?: readonly string[]
  readonly dryRun?: boolean
  readonly from?: string
  readonly count?: string
}

interface PlaceJson {
  readonly lane: number
  readonly from: number
}

interface SampleJson {
  readonly partition: number
  readonly offset: number
  readonly routing_key: string
  readonly reason: string | null
  readonly queue: string | null
  readonly to: string | null
}

interface StepJson {
  readonly looked: number
  readonly moved: number
  readonly filtered: number
  readonly stranded: number
  readonly not_taken: number
  readonly samples: readonly SampleJson[]
  readonly place: PlaceJson | null
}

/** A step of the broker's moves no more. */
const stepMax = 512
const samplesShown = 10
const progressMs = 1000
/** A step is small enough that a rate is kept within about this time. */
const stepMs = 200

interface Totals {
  looked: number
  moved: number
  filtered: number
  stranded: number
  notTaken: number
  /** The last offset looked at, by partition. */
  readonly reached: Map<number, number>
  readonly samples: SampleJson[]
}

export async function redrive(source: string, flags: RedriveFlags): Promise<void> {
  const rate = flags.rate === undefined ? Infinity : wholeNumber('--rate', flags.rate, 1)
  const most = flags.count === undefined ? Infinity : wholeNumber('--count', flags.count, 1)
  const asked = {
    source,
    to: flags.to ?? '',
    filters: flags.filter ?? [],
    dry_run: flags.dryRun === true,
    from: flags.from === undefined ? 0 : wholeNumber('--from', flags.from),
  }
  const interrupt = new Interrupt()
  const totals: Totals = { looked: 0, moved: 0, filtered: 0, stranded: 0, notTaken: 0, reached: new Map(), samples: [] }
  const beganMs = performance.now()
  let [place, toldMs]: [PlaceJson | undefined, number] = [undefined, beganMs]
  try {
    while (!interrupt.came) {
      const aStep = asked.dry_run ? stepMax : Math.max(1, Math.ceil((rate * stepMs) / 1000))
      const count = Math.min(stepMax, most - totals.moved, aStep)
      const step = (await ask(flags, 'POST', '/api/odradek/redrive', { ...asked, count, place })) as StepJson
      add(totals, step, place)
      if (step.place === null || totals.moved >= most) break
      place = step.place
      if (flags.json !== true && performance.now() - toldMs >= progressMs) {
        toldMs = performance.now()
        process.stderr.write(`${summary(totals, asked.dry_run)}\n`)
      }
      if (!asked.dry_run) await interrupt.pause(beganMs + (totals.moved / rate) * 1000)
    }
  } catch (error) {
    // What was done before it failed is done.
    if (totals.looked > 0) process.stderr.write(`${summary(totals, asked.dry_run)}, and then it failed.\n`)
    throw error
  } finally {
    interrupt.close()
  }
  await tell(source, totals, flags, interrupt.came)
}

function add(totals: Totals, step: StepJson, before: PlaceJson | undefined): void {
  totals.looked += step.looked
  totals.moved += step.moved
  totals.filtered += step.filtered
  totals.stranded += step.stranded
  totals.notTaken += step.not_taken
  if (step.looked > 0 && step.place !== null) totals.reached.set(before?.lane ?? 0, step.place.from - 1)
  for (const sample of step.samples) if (totals.samples.length < samplesShown) totals.samples.push(sample)
}

function summary({ looked, moved, filtered, stranded, notTaken }: Totals, isDryRun: boolean): string {
  const parts = [`${isDryRun ? 'Would redrive' : 'Redriven'} ${moved} of ${looked} looked at`]
  if (filtered > 0) parts.push(`${filtered} not wanted by the filter`)
  if (stranded > 0) parts.push(`${stranded} with nowhere to go`)
  if (notTaken > 0) parts.push(`${notTaken} that their target did not take`)
  return parts.join(', ')
}

async function tell(source: string, totals: Totals, flags: RedriveFlags, isInterrupted: boolean): Promise<void> {
  const { looked, moved, filtered, stranded, notTaken, samples } = totals
  const reached = [...totals.reached].map(([partition, offset]) => ({ partition, offset }))
  if (flags.json === true) {
    const dry = flags.dryRun === true
    return sayJson({
      source,
      dry_run: dry,
      interrupted: isInterrupted,
      looked,
      moved,
      filtered,
      stranded,
      not_taken: notTaken,
      last_offsets: reached,
      ...(dry ? { samples } : {}),
    })
  }
  await say(`${summary(totals, flags.dryRun === true)}${isInterrupted ? '; interrupted' : ''}.\n`)
  if (reached.length > 0)
    await say(
      `Last offset: ${reached.map(({ partition, offset }) => `${offset} of partition ${partition}`).join(', ')}\n`,
    )
  if (flags.dryRun !== true || samples.length === 0) return
  const rows = samples.map(({ partition, offset, routing_key, reason, queue, to }) => [
    partition,
    offset,
    plainText(routing_key),
    reason ?? '-',
    queue === null ? '-' : plainText(queue),
    to === null ? '-' : plainText(to),
  ])
  await say(table(['PARTITION', 'OFFSET', 'ROUTING KEY', 'REASON', 'QUEUE', 'TO'], rows))
}

/** Ctrl-C, once: whoever presses it again means it. */
class Interrupt {
  came = false
  readonly #come = (): void => {
    this.came = true
  }

  constructor() {
    process.once('SIGINT', this.#come)
  }

  async pause(untilMs: number): Promise<void> {
    for (let ms = untilMs - performance.now(); ms > 0 && !this.came; ms = untilMs - performance.now())
      await pause(Math.min(ms, stepMs))
  }

  close(): void {
    process.removeListener('SIGINT', this.#come)
  }
}
