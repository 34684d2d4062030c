// Setting values: Kafka's types of settings, how a text is judged and read as one of them.
// Promises: a text that judgeValue accepts is read by the typed readers without loss (int64 beyond 2^53: clamped).
// Does not know: which settings there are (topic-settings.ts, broker-settings.ts).

import type { SettingView } from '../door.ts'

export type SettingType = SettingView['type']

/** The bounds of a number, the words of an enumeration, or more that a text must keep. */
export interface SettingRule {
  readonly type: SettingType
  readonly min?: number
  readonly max?: number
  /** For type string and list: the only words allowed. */
  readonly words?: readonly string[]
}

/** Kafka's Long.MAX_VALUE: "never" in many a default. */
export const longMax = '9223372036854775807'

/** Greatest values without sign, of as many digits as they have: a 64-bit one is no exact number of ours. */
const integerMax: Partial<Record<SettingType, string>> = { short: '32767', int: '2147483647', long: longMax }

/** Why `text` cannot be a value of this rule; undefined when it can. */
export function judgeValue(rule: SettingRule, text: string): string | undefined {
  const value = text.trim()
  switch (rule.type) {
    case 'boolean':
      return /^(true|false)$/i.test(value) ? undefined : 'it is true or false'
    case 'short':
    case 'int':
    case 'long':
      return judgeInteger(rule, value)
    case 'double':
      return judgeDouble(rule, value)
    case 'list':
      return judgeWords(rule, listOf(value))
    default:
      return judgeWords(rule, [value])
  }
}

function judgeInteger(rule: SettingRule, value: string): string | undefined {
  const digits = /^[+-]?0*(\d+)$/.exec(value)?.[1]
  const max = integerMax[rule.type] ?? longMax
  const isInRange =
    digits !== undefined && (digits.length < max.length || (digits.length === max.length && digits <= max))
  return isInRange ? judgeBounds(rule, Number(value)) : `it is not a number of type ${rule.type}`
}

function judgeDouble(rule: SettingRule, value: string): string | undefined {
  const number = Number(value)
  if (value === '' || !Number.isFinite(number)) return 'it is not a number'
  return judgeBounds(rule, number)
}

function judgeBounds(rule: SettingRule, number: number): string | undefined {
  if (rule.min !== undefined && number < rule.min) return `it must be at least ${rule.min}`
  if (rule.max !== undefined && number > rule.max) return `it must be at most ${rule.max}`
  return undefined
}

function judgeWords(rule: SettingRule, values: readonly string[]): string | undefined {
  if (rule.words === undefined) return undefined
  const wrong = values.find((value) => !rule.words?.includes(value))
  return wrong === undefined ? undefined : `'${wrong}' is none of ${rule.words.join(', ')}`
}

export const listOf = (text: string): string[] =>
  text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')

/** A judged number; what lies beyond exact numbers (Kafka's "never") becomes the greatest exact one. */
export function numberOf(text: string): number {
  const value = Number(text)
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value))
}

export const booleanOf = (text: string): boolean => text.trim().toLowerCase() === 'true'
