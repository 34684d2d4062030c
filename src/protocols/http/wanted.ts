// Bodies of requests, judged: JSON that must be of a shape.
// Promises: a value of the type asked for, or BadRequest with the name of what is wrong with it.
// Does not know: what the values are for.

import { tableBytes, walkTable } from '../../base/field-codec.ts'
import type { FieldTable } from '../../base/fields.ts'
import { tableFromJson, type Json } from '../../base/field-json.ts'

/** What a handler throws for a body that is not what it must be; answered with 400. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest'
}

const shortBytesMax = 255

/** Names and keys are short strings in messages and on AMQP's wire. */
export function short(name: string, text: string): string {
  if (Buffer.byteLength(text) > shortBytesMax) throw new BadRequest(`${name} has at most ${shortBytesMax} bytes`)
  return text
}

/** A JSON object's members, asked for one by one. */
export class Wanted {
  readonly #members: Readonly<Record<string, unknown>>

  /** Undefined: an empty object. */
  constructor(body: unknown) {
    if (body !== undefined && (typeof body !== 'object' || body === null || Array.isArray(body)))
      throw new BadRequest('the body must be a JSON object')
    this.#members = (body ?? {}) as Readonly<Record<string, unknown>>
  }

  has(name: string): boolean {
    return this.#members[name] !== undefined
  }

  text(name: string, byDefault?: string): string {
    const value = this.#members[name] ?? byDefault
    if (typeof value !== 'string') throw new BadRequest(`${name} must be a string`)
    // JSON can say what UTF-8 cannot: kept like that, a name would be another one when it is read again.
    if (/\p{Surrogate}/u.test(value)) throw new BadRequest(`${name} must be a string of whole characters`)
    return value
  }

  /** One of a few words; the first of them when nothing is said. */
  oneOf<const Word extends string>(name: string, words: readonly [Word, ...Word[]]): Word {
    const value = this.#members[name] ?? words[0]
    const found = words.find((word) => word === value)
    if (found === undefined) throw new BadRequest(`${name} must be one of ${words.join(', ')}`)
    return found
  }

  flag(name: string, byDefault = false): boolean {
    const value = this.#members[name] ?? byDefault
    // RabbitMQ's own tools send both.
    if (value === 'true' || value === 'false') return value === 'true'
    if (typeof value !== 'boolean') throw new BadRequest(`${name} must be true or false`)
    return value
  }

  whole(name: string, byDefault: number, max: number): number {
    const value = this.#members[name] ?? byDefault
    const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
    if (typeof number !== 'number' || !Number.isInteger(number) || number < 0 || number > max)
      throw new BadRequest(`${name} must be a whole number from 0 to ${max}`)
    return number
  }

  object(name: string): Readonly<Record<string, Json>> {
    const value = this.#members[name] ?? {}
    // An empty list is what PHP's clients make of an empty object.
    if (Array.isArray(value) && value.length === 0) return {}
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new BadRequest(`${name} must be a JSON object`)
    return value as Readonly<Record<string, Json>>
  }

  table(name: string): FieldTable {
    const table = tableFromJson(this.object(name))
    // What is deeper or longer than tables may be would be stored, and then nobody could read it.
    const bytes = tableBytes(table)
    walkTable(bytes, 0, bytes.length)
    return table
  }
}
