// The rooms of the house and who may import whom, as a table; and the search for circles.
// Promises: each complaint names the file, the line, and what to do instead. Type imports count like any other.
// Does not know: how files are found (files.ts) or what else they must not do (rules.ts).

import { dirname, join } from 'node:path'
import { lineOf, masked } from './masked.ts'

export interface Import {
  readonly from: string
  /** Path from the checkout's root, or the package's name. */
  readonly target: string
  readonly line: number
  readonly relative: boolean
  readonly reexport: boolean
}

const importPattern =
  /\b(?:import|export)\b(?:[^'"`;()]*?\bfrom\s*|\s*)(['"])([^'"\n]+)\1|\bimport\s*\(\s*(['"])([^'"\n]+)\3/g

/** All imports and re-exports of a file, static and dynamic. */
export function importsOf(path: string, text: string): Import[] {
  const { withoutComments, code } = masked(text)
  const found: Import[] = []
  for (const match of withoutComments.matchAll(importPattern)) {
    // The words must be code: `import` inside a string is not.
    if (code.startsWith('import', match.index) || code.startsWith('export', match.index)) {
      const target = match[2] ?? match[4] ?? ''
      const relative = target.startsWith('.')
      found.push({
        from: path,
        target: relative ? join(dirname(path), target) : target,
        line: lineOf(text, match.index),
        relative,
        reexport: match[0].startsWith('export'),
      })
    }
  }
  return found
}

/** The room of a file below src/: the unit that the import table speaks of. */
export function roomOf(path: string): string {
  const parts = path.split('/')
  if (parts[0] !== 'src') return 'test'
  if (parts.length === 2) return 'src/index.ts'
  const floor = parts[1]
  const hasRooms = floor === 'wire' || floor === 'engines' || floor === 'protocols'
  return hasRooms && parts.length > 3 ? `${floor}/${parts[2]}` : floor
}

/** The broker's door: what protocols may see of it. */
const door = ['src/broker/door.ts', 'src/broker/queue-door.ts', 'src/broker/errors.ts']
/** What tools on the command line may see of the stored form. */
const toolFiles = /^src\/log\/(batch|records|compression(-[a-z0-9]+)*)\.ts$/

/** Whether a file in `room` may import `target` (a path below src/). */
export function mayImport(room: string, target: string): boolean {
  const other = roomOf(target)
  if (other === 'test') return false
  if (other === room || (other === 'base' && room !== 'base')) return true
  const [floor, name] = room.split('/')
  switch (floor) {
    case 'base':
    case 'wire':
    case 'log':
      return false
    case 'engines':
    case 'broker':
      return other === 'log'
    case 'protocols':
      return door.includes(target) || (name !== undefined && (other === 'protocols' || other === `wire/${name}`))
    case 'server':
      return other !== 'cli' && other !== 'src/index.ts'
    case 'cli':
      return other === 'server' || other.startsWith('wire/') || toolFiles.test(target)
    case 'src':
      return other !== 'cli'
    default:
      return false
  }
}

const mayImportText: Readonly<Record<string, string>> = {
  base: 'nothing of ours',
  wire: 'base',
  log: 'base',
  engines: 'log and base',
  broker: 'log and base; engines come in as a Store, protocols call the door',
  protocols:
    'broker/door.ts, broker/queue-door.ts, broker/errors.ts, its own wire room, base and the files directly in protocols/',
  server: 'everything below it, never cli',
  cli: 'server, wire, and of log batch.ts, records.ts and compression.ts',
  src: 'server and what it exports the types of',
}

export function importComplaints(imports: readonly Import[]): string[] {
  const complaints: string[] = []
  for (const one of imports) {
    if (!one.relative) continue
    const at = `${one.from}:${one.line}`
    if (!one.target.endsWith('.ts')) complaints.push(`${at}: ${one.target} is imported without its .ts extension`)
    const room = roomOf(one.from)
    if (!mayImport(room, one.target)) {
      const floor = room.split('/')[0]
      complaints.push(`${at}: ${room} imports ${one.target}; it may import ${mayImportText[floor] ?? 'nothing listed'}`)
    }
  }
  return complaints
}

/** Every circle of imports, once, as the files on it in order. */
export function circles(imports: readonly Import[]): string[][] {
  const targets = new Map<string, string[]>()
  for (const { from, target, relative } of imports) {
    if (relative) targets.set(from, [...(targets.get(from) ?? []), target])
  }
  const found: string[][] = []
  const done = new Set<string>()
  const path: string[] = []
  const visit = (file: string): void => {
    const at = path.indexOf(file)
    if (at >= 0) {
      found.push([...path.slice(at), file])
      return
    }
    if (done.has(file)) return
    path.push(file)
    for (const target of targets.get(file) ?? []) visit(target)
    path.pop()
    done.add(file)
  }
  for (const file of targets.keys()) visit(file)
  return found
}
