// What a binding copies: messages whose routing key its pattern matches and whose headers are what it asks.
// Promises: patterns as the topic exchange has them; with x-match the headers decide as in the headers exchange, with an
// empty pattern they alone.
// Does not know: logs, destinations.

import { findField } from '../../../base/fields.ts'
import { PropertyScan } from '../../../base/property-scan.ts'
import { logHeaderCondition } from '../exchanges/log-exchange.ts'
import { Patterns } from '../exchanges/pattern.ts'
import { meets, type HeaderCondition } from '../exchanges/routing-headers.ts'
import type { BindingFacts } from '../facts.ts'

const carbonCopy = Buffer.from('CC')
const scan = new PropertyScan()

export class CursorCondition {
  readonly #headers: HeaderCondition | undefined
  /** undefined: every key does. */
  readonly #pattern: Patterns<true> | undefined
  #isFound = false
  /** The key asked about last: most are asked about again. */
  #lastKey = ''
  #lastAnswer: boolean | undefined

  constructor(binding: BindingFacts) {
    this.#headers = logHeaderCondition(binding)
    const { routingKey } = binding
    if (routingKey === '#' || (routingKey === '' && this.#headers !== undefined)) return
    this.#pattern = new Patterns()
    this.#pattern.add(routingKey, true)
  }

  /** `keys`: the message's routing key and those of its copies. */
  meets(keys: readonly string[], properties: Buffer): boolean {
    if (!this.#matchesAny(keys)) return false
    if (this.#headers === undefined) return true
    scan.scan(properties)
    return meets(scan.headers() ?? [], this.#headers)
  }

  #matchesAny(keys: readonly string[]): boolean {
    if (this.#pattern === undefined) return true
    for (const key of keys) if (this.#matches(this.#pattern, key)) return true
    return false
  }

  readonly #found = (): void => {
    this.#isFound = true
  }

  #matches(pattern: Patterns<true>, key: string): boolean {
    if (key === this.#lastKey && this.#lastAnswer !== undefined) return this.#lastAnswer
    this.#isFound = false
    pattern.match(key, this.#found)
    this.#lastKey = key
    return (this.#lastAnswer = this.#isFound)
  }
}

/** A stored message's routing key, and those of its header CC (BCC was taken off when it was published). */
export function keysOf(routingKey: string, properties: Buffer): readonly string[] {
  if (!properties.includes(carbonCopy)) return [routingKey]
  scan.scan(properties)
  const copies = findField(scan.headers() ?? [], 'CC')
  if (copies?.type !== 'array') return [routingKey]
  return [routingKey, ...copies.value.flatMap((copy) => (copy.type === 'text' ? [copy.value.toString()] : []))]
}
