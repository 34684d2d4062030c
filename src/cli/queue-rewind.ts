// odradek queues rewind: a queue goes on from another place of its log.
// Promises: what is printed is where it begins in each partition, and where that is later than what was asked for.
// Does not know: how the broker is reached (admin.ts).

import { apiPath, ask, type AdminFlags } from './admin.ts'
import { instant, usage, wholeNumber } from './flags.ts'
import { say, sayJson } from './output.ts'
import { plainText, table } from './table.ts'

export interface RewindFlags extends AdminFlags {
  readonly to?: string
  readonly toOffset?: string
}

interface PlaceJson {
  readonly partition: number
  readonly offset: number
  readonly cut: boolean
}

function placeOf({ to, toOffset }: RewindFlags): Readonly<Record<string, unknown>> {
  if ((to === undefined) === (toOffset === undefined)) throw usage('give one of --to and --to-offset')
  if (toOffset !== undefined) return { offset: wholeNumber('--to-offset', toOffset) }
  return to === 'first' || to === 'next' ? { to } : { time: instant('--to', String(to)) }
}

export async function rewindQueue(name: string, flags: RewindFlags): Promise<void> {
  const wanted = placeOf(flags)
  const places = (await ask(flags, 'POST', apiPath('queues', '/', name, 'rewind'), wanted)) as readonly PlaceJson[]
  if (flags.json === true) return sayJson({ name, partitions: places })
  await say(`Queue ${plainText(name)} goes on from:\n`)
  const rows = places.map(({ partition, offset, cut }) => [partition, offset, cut ? 'what lay before it is gone' : ''])
  await say(table(['PARTITION', 'OFFSET', ''], rows))
}
