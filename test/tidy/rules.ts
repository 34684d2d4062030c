// What a source file must and must not do: heads, sizes, names, calls, forms.
// Promises: a pure function of path and text; each complaint names file, line and replacement.
// Does not know: imports between rooms (rooms.ts); how long functions are (oxlint counts those, see tidy.test.ts).

import { basename } from 'node:path'
import { lineOf, masked } from './masked.ts'

const linesMax = 500
const testLinesMax = 700

interface Ban {
  readonly pattern: RegExp
  readonly instead: string
}

export const isTest = (path: string): boolean => /\.(test|contract)\.ts$/.test(path)
const isSource = (path: string): boolean => path.startsWith('src/') && !isTest(path)
/** The files that hold the real world, and the one that reads argv and environment. */
const isWorld = (path: string): boolean => /^src\/server\/node-[a-z0-9-]+\.ts$/.test(path) || path === 'src/cli/main.ts'

/** Calls into the world, which comes in as a parameter. */
const worldCalls: readonly Ban[] = [
  { pattern: /\bDate\.now\b|\bnew Date\(\s*\)/g, instead: 'world.clock.nowMs()' },
  { pattern: /\bMath\.random\b|\brandomBytes\b|\brandomUUID\b|\brandomInt\b/g, instead: 'world.random' },
  { pattern: /\bset(Timeout|Interval)\b/g, instead: 'world.clock.after()' },
  { pattern: /\bsetImmediate\b|\bprocess\.nextTick\b/g, instead: 'world.clock.endOfTurn()' },
  { pattern: /\bprocess\.env\b/g, instead: 'a config value: the environment is read in cli/main.ts' },
]

/** The command line measures its own time; everything that runs inside the broker is told it. */
const stopwatches: readonly Ban[] = [
  { pattern: /\bperformance\.now\b|\bprocess\.hrtime\b/g, instead: 'world.clock.monotonicMs()' },
]

const worldModules = /['"]node:(fs|net|tls|http|https|http2|dgram|timers|child_process|worker_threads|os)(\/\w+)?['"]/g

const slowCalls: readonly Ban[] = [
  {
    pattern: /\bBigInt\b|\bread\w*BigU?Int64\w*|\bwrite\w*BigU?Int64\w*|\b\d+n\b/g,
    instead: 'numbers, exact to 2^53: readInt64/writeInt64 of log/batch.ts, Reader/Writer of base/bytes.ts',
  },
]

const forms: readonly Ban[] = [
  { pattern: /(?:[:<|&,=]|\bas)\s*any\b(?!\s*[:(.])/g, instead: 'unknown, and a check' },
  { pattern: /^[ \t]*(?:export\s+)?(?:declare\s+)?(?:const\s+)?enum\s+\w/gm, instead: 'a union of string literals' },
  { pattern: /^[ \t]*(?:export\s+)?(?:declare\s+)?(?:namespace|module)\s+\w/gm, instead: 'a file' },
  { pattern: /^[ \t]*export\s+default\b/gm, instead: 'a named export' },
  {
    pattern: /\bclass\s+\w+(?:<[^>{]*>)?\s+extends\s+(?!\w*Error\b)\w+/g,
    instead: 'composition; only Error is extended',
  },
  {
    pattern: /\b(?:class|function|interface|type|const|let)\s+\w*(?:Utils?|Helpers?|Manager|Misc)\b/g,
    instead: 'a name that says what it is',
  },
]

const bannedFileWord = /(^|[/.-])(utils?|helpers?|common|managers?|misc)([/.-]|$)/
const kebabCase = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|contract|d))?\.ts$/
/** Spelled in pieces, for this file is judged as well. */
const reminder = new RegExp(
  `\\b(${['TO', 'FIX'].map((word) => word + (word === 'TO' ? 'DO' : 'ME')).join('|')})\\b`,
  'g',
)

/** All that is wrong with one TypeScript file, alone. */
export function complaintsAbout(path: string, text: string): string[] {
  const { code, withoutComments } = masked(text)
  const complaints = [...namesAndSize(path, text), ...head(path, text)]
  const judge = (bans: readonly Ban[], visible: string): void => {
    for (const { pattern, instead } of bans) {
      for (const match of visible.matchAll(pattern)) {
        complaints.push(`${path}:${lineOf(text, match.index)}: ${match[0].trim()} is banned; take ${instead}`)
      }
    }
  }
  judge(forms, code)
  judge([{ pattern: reminder, instead: 'the work itself, or a line in the docs' }], text)
  if (isSource(path)) {
    judge(slowCalls, code)
    if (!isWorld(path)) {
      judge(worldCalls, code)
      if (!path.startsWith('src/cli/')) judge(stopwatches, code)
      judge([{ pattern: worldModules, instead: 'the world (base/world.ts) as a parameter' }], withoutComments)
    }
    if (path !== 'src/index.ts') {
      const reexport: Ban = {
        pattern: /\bexport\s+(?:type\s+)?(?:\*|\{[^}]*\})(?:\s+as\s+\w+)?\s+from\b/g,
        instead: 'an import from where it is made',
      }
      judge([reexport], code)
    }
  }
  if (isTest(path)) complaints.push(...sleeps(path, text, code))
  return complaints
}

/** That something does not happen cannot be awaited: then the line above says what is waited out. */
function sleeps(path: string, text: string, code: string): string[] {
  const lines = text.split('\n')
  return [...code.matchAll(/\bsetTimeout\(\s*(?:resolve|done|r)\b/g)]
    .map((match) => lineOf(text, match.index))
    .filter((line) => !/^\s*\/\//.test(lines[line - 2] ?? ''))
    .map((line) => `${path}:${line}: a test does not sleep; take an awaited event, or say above what must not happen`)
}

function namesAndSize(path: string, text: string): string[] {
  const complaints: string[] = []
  if (!kebabCase.test(basename(path))) complaints.push(`${path}: a file's name is kebab-case`)
  if (bannedFileWord.test(path)) complaints.push(`${path}: a file is named after what it owns, not ${path}`)
  const lines = text.split('\n').length - 1
  const max = isTest(path) ? testLinesMax : linesMax
  if (lines > max) complaints.push(`${path}:${max}: ${lines} lines, ${max} at most; give one of its nouns a file`)
  return complaints
}

/** The head comment: what it owns, `Promises:`, `Does not know:`. A sentence may run over several lines. */
function head(path: string, text: string): string[] {
  const lines = text.split('\n')
  const shebang = lines[0].startsWith('#!') ? 1 : 0
  let end = shebang
  while (lines[end]?.startsWith('//')) end++
  const comment = lines.slice(shebang, end).join('\n')
  const promises = comment.indexOf('\n// Promises: ')
  if (promises > 0 && comment.indexOf('Does not know: ', promises) > 0) return []
  return [`${path}:1: a file opens with // what it owns, // Promises: …, // Does not know: …`]
}

const machinePaths = /(?:^|[\s'"`(=:])(?:\/(?:work|home|Users|root)\/[\w.-]+)/g
const registryHosts = /https?:\/\/[^\s"'`)]*(?:registry\.|\/registry|artifactory|nexus)[^\s"'`)]*/g

/** What no tracked file of any kind may hold: paths and hosts of the machine it was written on. */
export function placesIn(path: string, text: string): string[] {
  const complaints: string[] = []
  for (const pattern of [machinePaths, registryHosts]) {
    for (const match of text.matchAll(pattern)) {
      complaints.push(
        `${path}:${lineOf(text, match.index + 1)}: ${match[0].trim()} is a place of one machine; leave it out`,
      )
    }
  }
  return complaints
}
