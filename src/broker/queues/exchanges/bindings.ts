// Bindings of one vhost: each once, found by what they lead from and what they lead to.
// Promises: a binding is the same when source, destination, key and arguments (in any order) are; walks go in the order
// in which bindings were made.
// Does not know: exchanges' types, what a routing key means, how bindings are stored.

import { tableBytes } from '../../../base/field-codec.ts'
import type { FieldTable } from '../../../base/fields.ts'
import type { BindingFacts } from '../facts.ts'

/** Where bindings lead: one object for each queue or exchange that something is bound to. */
export interface Destination {
  readonly kind: 'queue' | 'exchange'
  readonly name: string
  /** The last routing that came by: it counts once. */
  reachedBy: number
}

export interface Binding extends BindingFacts {
  readonly identity: string
  /** Both ends are durable: kept in the machine log. */
  readonly isDurable: boolean
  /** From an exchange of type x-log: the number of its ledgers, one over each partition of the topic. 0: there are none. */
  readonly cursor: number
  readonly to: Destination
}

type Binds = ReadonlyMap<string, Binding>

const noBindings: Binds = new Map()

const compareNames = (one: { readonly name: string }, other: { readonly name: string }): number =>
  one.name < other.name ? -1 : one.name > other.name ? 1 : 0

/** Arguments in the order in which they are compared: by name, those of one name as they came. */
export function sortedArguments(table: FieldTable): FieldTable {
  return table.length < 2 ? table : table.toSorted(compareNames)
}

/** `args`: the bytes of the sorted arguments. */
const identityOf = (facts: BindingFacts, args: Buffer): string =>
  `${facts.source.length}:${facts.source}${facts.destinationKind[0]}${facts.destination.length}:${facts.destination}` +
  `${facts.routingKey.length}:${facts.routingKey}${args.toString('latin1')}`

const bindingIdentity = (facts: BindingFacts): string => identityOf(facts, tableBytes(sortedArguments(facts.arguments)))

export class Bindings {
  readonly #all = new Map<string, Binding>()
  readonly #bySource = new Map<string, Map<string, Binding>>()
  readonly #byDestination = { queue: new Map<string, Arrivals>(), exchange: new Map<string, Arrivals>() }

  get count(): number {
    return this.#all.size
  }

  all(): IterableIterator<Binding> {
    return this.#all.values()
  }

  find(facts: BindingFacts): Binding | undefined {
    return this.#all.get(bindingIdentity(facts))
  }

  from(source: string): Binds {
    return this.#bySource.get(source) ?? noBindings
  }

  to(kind: 'queue' | 'exchange', name: string): Binds {
    return this.#byDestination[kind].get(name)?.bindings ?? noBindings
  }

  /** undefined: it is there already. */
  add(facts: BindingFacts, isDurable: boolean, cursor: number): Binding | undefined {
    const identity = bindingIdentity(facts)
    if (this.#all.has(identity)) return undefined
    const arrivals = this.#arrivals(facts.destinationKind, facts.destination)
    const binding: Binding = { ...facts, identity, isDurable, cursor, to: arrivals.destination }
    this.#all.set(identity, binding)
    arrivals.bindings.set(identity, binding)
    let departing = this.#bySource.get(facts.source)
    if (departing === undefined) this.#bySource.set(facts.source, (departing = new Map()))
    departing.set(identity, binding)
    return binding
  }

  remove(binding: Binding): void {
    const { identity, source, destination, destinationKind } = binding
    this.#all.delete(identity)
    const departing = this.#bySource.get(source)
    departing?.delete(identity)
    if (departing?.size === 0) this.#bySource.delete(source)
    const arrivals = this.#byDestination[destinationKind].get(destination)
    arrivals?.bindings.delete(identity)
    if (arrivals?.bindings.size === 0) this.#byDestination[destinationKind].delete(destination)
  }

  #arrivals(kind: 'queue' | 'exchange', name: string): Arrivals {
    let arrivals = this.#byDestination[kind].get(name)
    if (arrivals === undefined) {
      arrivals = { destination: { kind, name, reachedBy: 0 }, bindings: new Map() }
      this.#byDestination[kind].set(name, arrivals)
    }
    return arrivals
  }
}

interface Arrivals {
  readonly destination: Destination
  readonly bindings: Map<string, Binding>
}
