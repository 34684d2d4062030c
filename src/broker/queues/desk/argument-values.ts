// Values of a queue's arguments: what is wrong with one, in the words RabbitMQ ends its refusals with.
// Promises: plain functions; a number is a number before it is compared.
// Does not know: which arguments there are (queue-arguments.ts, queue-arguments-ours.ts).

import { fieldNumber, fieldTypeName, fieldValueText } from '../../../base/fields.ts'
import type { Field, FieldTable } from '../../../base/fields.ts'

/** What is wrong with a value, as its refusal ends; undefined: nothing. */
export type Judge = (field: Field, args: FieldTable) => string | undefined

export const wrongType = (field: Field): string => `{unacceptable_type,${fieldTypeName(field)}}`
/** Every number judged was found to be one first. */
export const integer = (field: Field): string | undefined =>
  fieldNumber(field) === undefined ? `"expected integer, got ${fieldTypeName(field)}"` : undefined

export const notNegative: Judge = (field) =>
  integer(field) ?? (Number(fieldNumber(field)) < 0 ? `{value_negative,${fieldValueText(field)}}` : undefined)
export const positive: Judge = (field, args) =>
  notNegative(field, args) ?? (fieldNumber(field) === 0 ? `{value_zero,${fieldValueText(field)}}` : undefined)
export const text: Judge = (field) => (field.type === 'text' ? undefined : wrongType(field))
export const flag: Judge = (field) => (field.type === 'bool' ? undefined : wrongType(field))
export const wordOf =
  (words: readonly string[], wrong: string): Judge =>
  (field, args) =>
    text(field, args) ?? (words.includes(fieldValueText(field)) ? undefined : wrong)

const ageUnits: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  D: 86_400_000,
  M: 30 * 86_400_000,
  Y: 365 * 86_400_000,
}

/** `7D` and the like, in milliseconds; what is longer than any is the longest. */
export function ageMsOf(said: string): number | undefined {
  const [, count = '', unit = ''] = /^([0-9]+)([YMDhms])$/.exec(said) ?? []
  return Number(count) > 0 ? Math.min(Number(count) * ageUnits[unit], Number.MAX_SAFE_INTEGER) : undefined
}
