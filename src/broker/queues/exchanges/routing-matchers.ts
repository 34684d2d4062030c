// Matchers: for each type of exchange, which of its bindings a message goes by.
// Promises: kept up by adding and removing one binding at a time; a match calls for each destination at least once.
// Does not know: exchanges bound to exchanges, alternate exchanges, caches (routing.ts).

import { fieldToJson } from '../../../base/field-json.ts'
import { fieldText, findField, noFields, type FieldTable } from '../../../base/fields.ts'
import { PropertyScan } from '../../../base/property-scan.ts'
import { readProperties } from '../../../base/properties.ts'
import type { Binding, Destination } from './bindings.ts'
import type { RoutedMessage } from '../parts.ts'
import { Patterns } from './pattern.ts'
import { headerCondition, meets, type HeaderCondition } from './routing-headers.ts'
import { chosenByHash, hash32 } from './routing-hash.ts'

/** What a message is routed by: one object used again for each. */
export class Question {
  routingKeys: readonly string[] = []
  #message: RoutedMessage | undefined
  #headers: FieldTable | undefined
  readonly #scan = new PropertyScan()

  about(routingKeys: readonly string[], message: RoutedMessage): void {
    this.routingKeys = routingKeys
    this.#message = message
    this.#headers = undefined
  }

  /** Read when the first exchange asks. */
  get headers(): FieldTable {
    return (this.#headers ??= this.#readHeaders())
  }

  get properties(): Buffer | undefined {
    return this.#message?.properties
  }

  #readHeaders(): FieldTable {
    if (this.#message === undefined) return noFields
    this.#scan.scan(this.#message.properties)
    return this.#scan.headers() ?? noFields
  }
}

export type Found = (destination: Destination) => void

/** What the answer depends on: nothing but the bindings, also on routing keys, or on more than that. */
export type Dependence = 'bindings' | 'key' | 'message'

export interface Matcher {
  readonly dependsOn: Dependence
  add(binding: Binding): void
  remove(binding: Binding): void
  match(question: Question, found: Found): void
}

/** Destinations with how many bindings lead there. */
class Counted {
  readonly counts = new Map<Destination, number>()

  add(destination: Destination): void {
    this.counts.set(destination, (this.counts.get(destination) ?? 0) + 1)
  }

  /** True when it was the last. */
  remove(destination: Destination): boolean {
    const count = this.counts.get(destination) ?? 0
    if (count > 1) this.counts.set(destination, count - 1)
    else this.counts.delete(destination)
    return this.counts.size === 0
  }
}

export function fanoutMatcher(): Matcher {
  const bound = new Counted()
  return {
    dependsOn: 'bindings',
    add: (binding) => bound.add(binding.to),
    remove: (binding) => void bound.remove(binding.to),
    match: (_question, found) => {
      for (const destination of bound.counts.keys()) found(destination)
    },
  }
}

export function directMatcher(): Matcher {
  const byKey = new Map<string, Counted>()
  return {
    dependsOn: 'key',
    add: ({ routingKey, to }) => {
      let bound = byKey.get(routingKey)
      if (bound === undefined) byKey.set(routingKey, (bound = new Counted()))
      bound.add(to)
    },
    remove: ({ routingKey, to }) => {
      if (byKey.get(routingKey)?.remove(to) === true) byKey.delete(routingKey)
    },
    match: (question, found) => {
      for (const key of question.routingKeys) {
        const bound = byKey.get(key)
        if (bound !== undefined) for (const destination of bound.counts.keys()) found(destination)
      }
    },
  }
}

export function topicMatcher(): Matcher {
  const patterns = new Patterns<Destination>()
  return {
    dependsOn: 'key',
    add: ({ routingKey, to }) => patterns.add(routingKey, to),
    remove: ({ routingKey, to }) => patterns.remove(routingKey, to),
    match: (question, found) => {
      for (const key of question.routingKeys) patterns.match(key, found)
    },
  }
}

export function headersMatcher(): Matcher {
  const conditions = new Map<Binding, HeaderCondition>()
  return {
    dependsOn: 'message',
    add: (binding) => void conditions.set(binding, headerCondition(binding.arguments)),
    remove: (binding) => void conditions.delete(binding),
    match: (question, found) => {
      if (conditions.size === 0) return
      const { headers } = question
      for (const [binding, condition] of conditions) if (meets(headers, condition)) found(binding.to)
    },
  }
}

/** One of the destinations by chance, each as likely as it has bindings. */
export function randomMatcher(fraction: () => number): Matcher {
  let bindings: Binding[] = []
  return {
    dependsOn: 'message',
    add: (binding) => void bindings.push(binding),
    remove: (binding) => {
      bindings = bindings.filter((one) => one !== binding)
    },
    match: (_question, found) => {
      if (bindings.length > 0) found(bindings[Math.floor(fraction() * bindings.length)].to)
    },
  }
}

/** The destination at `hash of the routing key mod count`, in the order of their names. */
export function modulusMatcher(): Matcher {
  const bound = new Counted()
  let sorted: readonly Destination[] | undefined
  return {
    dependsOn: 'key',
    add: (binding) => {
      bound.add(binding.to)
      sorted = undefined
    },
    remove: (binding) => {
      bound.remove(binding.to)
      sorted = undefined
    },
    match: (question, found) => {
      sorted ??= [...bound.counts.keys()].sort((one, other) => (one.name < other.name ? -1 : 1))
      if (sorted.length > 0) found(sorted[hash32(question.routingKeys[0]) % sorted.length])
    },
  }
}

interface Candidate {
  readonly to: Destination
  readonly hash: number
  readonly weight: number
}

/** By the hash of the routing key, of a header or of a property; the binding key is the weight. */
export function consistentHashMatcher(args: FieldTable): Matcher {
  const header = fieldText(findField(args, 'hash-header'))
  const property = fieldText(findField(args, 'hash-property'))
  const bindings = new Set<Binding>()
  let candidates: readonly Candidate[] | undefined
  const valueOf =
    header !== undefined
      ? (question: Question): string => headerText(question.headers, header)
      : property !== undefined
        ? (question: Question): string => propertyText(question.properties, property)
        : (question: Question): string => question.routingKeys[0]
  return {
    dependsOn: header === undefined && property === undefined ? 'key' : 'message',
    add: (binding) => {
      bindings.add(binding)
      candidates = undefined
    },
    remove: (binding) => {
      bindings.delete(binding)
      candidates = undefined
    },
    match: (question, found) => {
      candidates ??= candidatesOf(bindings)
      const chosen = chosenByHash(candidates, valueOf(question))
      if (chosen !== undefined) found(chosen.to)
    },
  }
}

/** A destination bound twice has the weight of its first binding, as in RabbitMQ. */
function candidatesOf(bindings: Iterable<Binding>): readonly Candidate[] {
  const candidates = new Map<Destination, Candidate>()
  for (const { to, routingKey } of bindings)
    if (!candidates.has(to))
      candidates.set(to, { to, hash: hash32(to.name, to.kind === 'queue' ? 0 : 1), weight: Number(routingKey) })
  return [...candidates.values()]
}

function headerText(headers: FieldTable, name: string): string {
  const value = findField(headers, name)
  return value === undefined ? '' : (fieldText(value) ?? JSON.stringify(fieldToJson(value)))
}

function propertyText(properties: Buffer | undefined, name: string): string {
  if (properties === undefined) return ''
  const { messageId, correlationId, timestamp } = readProperties(properties)
  if (name === 'timestamp') return String(timestamp ?? '')
  return (name === 'message_id' ? messageId : correlationId) ?? ''
}
