// What commands are told by flags, judged: whole numbers, words of a few, key=value pairs, times.
// Promises: what is none of its kind is a usage error (exit 2) that names the option.
// Does not know: which command it is, nor what it talks to.

import { parseInstant } from '../server/node-time.ts'
import { CommandFailure, exitCodes } from './exit.ts'

export const usage = (message: string): CommandFailure => new CommandFailure(message, exitCodes.usage)

/** A whole number between the bounds, or a usage error that names the option. */
export function wholeNumber(option: string, text: string, min = 0, max = Number.MAX_SAFE_INTEGER): number {
  const value = Number(text)
  if (!/^-?\d+$/.test(text) || value < min || value > max) {
    const bounds = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `between ${min} and ${max}`
    throw usage(`${option}: ${JSON.stringify(text)} is not a whole number ${bounds}`)
  }
  return value
}

export function oneOf<const T extends string>(option: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find((word) => word === text)
  if (found === undefined) throw usage(`${option}: ${JSON.stringify(text)} is not one of ${allowed.join(', ')}`)
  return found
}

/** `key=value` pairs of a repeatable option. */
export function pairs(option: string, texts: readonly string[] = []): [name: string, value: string][] {
  return texts.map((text) => {
    const cut = text.indexOf('=')
    if (cut <= 0) throw usage(`${option}: ${JSON.stringify(text)} is not key=value`)
    return [text.slice(0, cut).trim(), text.slice(cut + 1)]
  })
}

/** A time as people write it (node-time.ts), or a usage error that names the option. */
export function instant(option: string, text: string): number {
  const value = parseInstant(text)
  if (value !== undefined) return value
  throw usage(`${option}: ${JSON.stringify(text)} is not a time; give 2026-11-21T12:30:00Z or milliseconds since 1970`)
}

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A duration as people write it (500ms, 2s, 5m, 1h, 7d; a bare number is seconds), in ms between the bounds. */
export function durationOf(option: string, text: string, minMs: number, maxMs: number): number {
  const [, number = '', unit = ''] = /^(\d{1,15}(?:\.\d{1,6})?)(ms|s|m|h|d)?$/.exec(text) ?? []
  const ms = Number(number) * durationUnits[unit === '' ? 's' : unit]
  if (number !== '' && ms >= minMs && ms <= maxMs) return Math.round(ms)
  throw usage(
    `${option}: ${JSON.stringify(text)} is not a duration such as 500ms, 2s or 5m, of ${minMs} to ${maxMs} ms`,
  )
}
