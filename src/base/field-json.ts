// Field tables as JSON: what the command line and HTTP take and print.
// Promises: every JSON value has a field; a table printed and taken again keeps its meaning, not its widths.
// Does not know: which names mean something.

import { isUtf8 } from 'node:buffer'
import type { Field, FieldTable } from './fields.ts'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

/** As RabbitMQ's management API prints fields: of repeated names the last; bytes that are no text as it says so. */
export function tableToJson(table: FieldTable): Record<string, Json> {
  return Object.fromEntries(table.map(({ name, value }) => [name, fieldToJson(value)]))
}

export function fieldToJson(field: Field): Json {
  switch (field.type) {
    case 'void':
      return null
    case 'decimal':
      return field.value / 10 ** field.scale
    case 'text':
    case 'bytes':
      return isUtf8(field.value) ? field.value.toString() : `Not UTF-8, base64 is: ${field.value.toString('base64')}`
    case 'array':
      return field.value.map(fieldToJson)
    case 'table':
      return tableToJson(field.value)
    default:
      // What JSON has no number for is told as text: large integers, not-a-number and infinity.
      if (typeof field.value === 'bigint') return String(field.value)
      return typeof field.value === 'number' && !Number.isFinite(field.value) ? String(field.value) : field.value
  }
}

/** Integers become int64, as RabbitMQ's management API has it; null becomes void. */
export function fieldFromJson(json: Json): Field {
  if (json === null) return { type: 'void' }
  if (typeof json === 'boolean') return { type: 'bool', value: json }
  if (typeof json === 'string') return { type: 'text', value: Buffer.from(json) }
  if (typeof json === 'number') return { type: Number.isSafeInteger(json) ? 'int64' : 'float64', value: json }
  if (isList(json)) return { type: 'array', value: json.map(fieldFromJson) }
  return { type: 'table', value: tableFromJson(json) }
}

export function tableFromJson(json: { readonly [name: string]: Json }): FieldTable {
  return Object.entries(json).map(([name, value]) => ({ name, value: fieldFromJson(value) }))
}

function isList(json: Json): json is readonly Json[] {
  return Array.isArray(json)
}
