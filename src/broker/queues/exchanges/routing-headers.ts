// Matching by headers: the conditions that a binding's arguments are, and whether a message meets them.
// Promises: compares by type and value, integers of any width alike (as RabbitMQ does after it normalised them); a
// condition of type void is met by any value.
// Does not know: exchanges, where headers come from.

import { fieldText, fieldTypeName, findField, sameField, type Field, type FieldTable } from '../../../base/fields.ts'

export interface HeaderCondition {
  /** Whether one of the conditions is enough. */
  readonly isAny: boolean
  readonly conditions: FieldTable
}

const modes = new Set(['all', 'any', 'all-with-x', 'any-with-x'])

/** Why RabbitMQ would not have these arguments; undefined: it would. */
export function headersFault(binding: FieldTable): string | undefined {
  const mode = findField(binding, 'x-match')
  if (mode === undefined) return undefined
  const text = fieldText(mode)
  if (text === undefined)
    return `Invalid x-match field type ${fieldTypeName(mode)} (value ${plainValue(mode)}); expected longstr`
  if (modes.has(text)) return undefined
  return `Invalid x-match field value <<"${text}">>; expected all, any, all-with-x, or any-with-x`
}

const plainValue = (field: Field): string =>
  'value' in field && typeof field.value !== 'object' ? String(field.value) : '…'

export function headerCondition(binding: FieldTable): HeaderCondition {
  const mode = fieldText(findField(binding, 'x-match')) ?? 'all'
  const counts = mode.endsWith('-with-x')
    ? (name: string): boolean => name !== 'x-match'
    : (name: string): boolean => !name.startsWith('x-')
  return { isAny: mode.startsWith('any'), conditions: binding.filter(({ name }) => counts(name)) }
}

/** Without a condition `all` is met by every message and `any` by none. */
export function meets(headers: FieldTable, { isAny, conditions }: HeaderCondition): boolean {
  for (const condition of conditions) {
    const value = lastField(headers, condition.name)
    if (value !== undefined && meetsOne(condition.value, value)) {
      if (isAny) return true
    } else if (!isAny) return false
  }
  return !isAny
}

function meetsOne(condition: Field, value: Field): boolean {
  if (condition.type === 'void') return true
  // A time is no number, though arguments of queues are compared as if it were one.
  if ((condition.type === 'timestamp') !== (value.type === 'timestamp')) return false
  return sameField(condition, value)
}

/** Of a name that comes twice RabbitMQ takes the last. */
function lastField(table: FieldTable, name: string): Field | undefined {
  for (let index = table.length - 1; index >= 0; index--) if (table[index].name === name) return table[index].value
  return undefined
}
