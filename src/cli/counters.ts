// odradek counters: what happened in a running broker since it started, by name.
// Promises: what is printed is what the broker answered.
// Does not know: which counters there are (docs/operating.md explains them).

import { apiPath, ask, type AdminFlags } from './admin.ts'
import { say, sayJson } from './output.ts'
import { table } from './table.ts'

export async function listCounters(flags: AdminFlags): Promise<void> {
  const counters = (await ask(flags, 'GET', apiPath('odradek', 'counters'))) as Readonly<Record<string, number>>
  if (flags.json === true) return sayJson(counters)
  await say(table(['COUNTER', 'SINCE THE START'], Object.entries(counters)))
}
