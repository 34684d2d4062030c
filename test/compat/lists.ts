// The two lists of a suite: names that must pass, and names left out with a reason each.
// Promises: reading rejects duplicates and reasonless exclusions; appending never removes or reorders a line.
// Does not know: how a name comes to pass.

import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Lists {
  readonly allow: readonly string[]
  /** Name to reason. */
  readonly excluded: ReadonlyMap<string, string>
}

function linesOf(file: string): string[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
}

export function readLists(folder: string): Lists {
  const allow = linesOf(join(folder, 'tests.allow'))
  if (new Set(allow).size !== allow.length) throw new Error(`${folder}/tests.allow names a test twice`)
  const excluded = new Map<string, string>()
  for (const line of linesOf(join(folder, 'tests.excluded'))) {
    const cut = line.indexOf('\t')
    if (cut < 1 || cut === line.length - 1) throw new Error(`${folder}/tests.excluded: no reason in "${line}"`)
    const name = line.slice(0, cut)
    if (allow.includes(name)) throw new Error(`${folder}: "${name}" is both allowed and excluded`)
    excluded.set(name, line.slice(cut + 1))
  }
  return { allow, excluded }
}

export function appendAllowed(folder: string, names: readonly string[]): void {
  if (names.length === 0) return
  const file = join(folder, 'tests.allow')
  const head = existsSync(file) && !readFileSync(file, 'utf8').endsWith('\n') ? '\n' : ''
  appendFileSync(file, `${head}${names.join('\n')}\n`)
}
