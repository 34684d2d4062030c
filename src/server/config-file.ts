// The configuration file: YAML whose keys are the options' names, broker settings under `settings`.
// Promises: a bad file is one line a problem, with the file and the key named; nothing is taken from it then.
// Does not know: which source wins (config.ts). Loaded only when a file is given: its parsers cost start-up time.

import * as v from 'valibot'
import { LineCounter, parseDocument } from 'yaml'
import { DiskError, type Disk } from '../base/world.ts'
import type { Said } from './setting-problems.ts'
import { options, optionByKey, type ConfigProblems, type Layer, type OptionName } from './config.ts'

const scalar = v.union([v.string(), v.number(), v.boolean()], 'a text, a number or true/false')
const keys = Object.values(options).map((option) => option.key)
const schema = v.strictObject({
  ...Object.fromEntries(keys.map((key) => [key, v.optional(scalar)])),
  settings: v.optional(v.record(v.string(), scalar, 'a map of broker settings')),
})

/** `as` is how the sayer named the file: `--config`, or the variable. */
export function readConfigFile(disk: Disk, path: string, as = '--config'): Layer | ConfigProblems {
  let content: Buffer | undefined
  try {
    content = disk.readFile(path)
  } catch (error) {
    if (error instanceof DiskError) return { problems: [`${as}: ${error.message}`] }
    throw error
  }
  if (content === undefined) return { problems: [`${as}: ${path} does not exist`] }
  const lines = new LineCounter()
  const document = parseDocument(content.toString('utf8'), { lineCounter: lines, prettyErrors: false })
  if (document.errors.length > 0) {
    return {
      problems: document.errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0])
        return `${path}:${line}:${col}: not valid YAML: ${error.message.split('\n')[0]}`
      }),
    }
  }
  const value: unknown = document.toJS() ?? {}
  if (typeof value !== 'object' || Array.isArray(value)) {
    return { problems: [`${path}: must be a map of options (${[...keys, 'settings'].join(', ')})`] }
  }
  const parsed = v.safeParse(schema, value)
  if (!parsed.success) return { problems: parsed.issues.map((issue) => issueLine(path, issue)) }
  return layerOf(path, parsed.output)
}

function issueLine(path: string, issue: v.BaseIssue<unknown>): string {
  const key = issue.path?.map((item) => String(item.key)).join('.') ?? ''
  if (issue.type === 'strict_object') {
    return `${path}: ${key}: there is no such option; there are ${[...keys, 'settings'].join(', ')}`
  }
  const given = JSON.stringify(issue.input) ?? String(issue.input)
  return `${path}: ${key}: ${given} is not allowed; it must be ${issue.message}`
}

function layerOf(path: string, output: v.InferOutput<typeof schema>): Layer {
  const said = new Map<OptionName, Said>()
  const settings = new Map<string, Said>()
  for (const [key, value] of Object.entries(output)) {
    const name = optionByKey(key)
    if (name !== undefined) said.set(name, { as: `${path}: ${key}`, text: String(value) })
  }
  for (const [name, value] of Object.entries(output.settings ?? {})) {
    settings.set(name, { as: `${path}: ${name}`, text: String(value) })
  }
  return { options: said, settings }
}
