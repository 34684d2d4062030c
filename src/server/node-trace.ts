// Log lines for people or machines, and counters, on stderr.
// Promises: one line an event; values are printed as given; below the chosen level nothing is formatted.
// Does not know: what the events mean. Secrets and bodies never get here: that is the caller's law.

import type { Clock, Trace } from '../base/world.ts'

export type TraceLevel = 'silent' | 'error' | 'warn' | 'info'

export interface TraceOptions {
  readonly level?: TraceLevel
  readonly format?: 'line' | 'json'
  /** Where lines go, without the newline; stderr when absent. */
  readonly write?: (line: string) => void
}

type Values = Readonly<Record<string, string | number | boolean>>

const rank: Readonly<Record<TraceLevel, number>> = { silent: 0, error: 1, warn: 2, info: 3 }

export function lineTrace(clock: Clock, options: TraceOptions = {}): Trace {
  const level = rank[options.level ?? 'info']
  const write = options.write ?? ((line: string) => void process.stderr.write(`${line}\n`))
  const format = options.format === 'json' ? jsonLine : plainLine
  const counters = new Map<string, number>()
  const say =
    (name: Exclude<TraceLevel, 'silent'>) =>
    (event: string, values: Values = {}): void => {
      if (level >= rank[name]) write(format(new Date(clock.nowMs()).toISOString(), name, event, values))
    }
  return {
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    count: (name, by = 1) => void counters.set(name, (counters.get(name) ?? 0) + by),
    counters: () => counters,
  }
}

function jsonLine(at: string, level: string, event: string, values: Values): string {
  return JSON.stringify({ at, level, event, ...values })
}

function plainLine(at: string, level: string, event: string, values: Values): string {
  let line = `${at.slice(11, 23)} ${level === 'info' ? '' : `${level}: `}${event}`
  for (const [name, value] of Object.entries(values)) line += ` ${name}=${plainValue(value)}`
  return line
}

/** Values with spaces are quoted; control characters never reach a terminal. */
function plainValue(value: string | number | boolean): string {
  const text = String(value)
  if (/^[\x21-\x7e]+$/.test(text) && !text.includes('"')) return text
  // JSON leaves those behind the ASCII ones as they are; terminals obey them too.
  return JSON.stringify(text).replaceAll(/[\x7f-\x9f]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`)
}
