// The topology of one vhost: its exchanges, bindings and policies, and what goes when something is removed.
// Promises: the predeclared exchanges are always there; a removal is planned whole before anything changes: bindings
// with their ends, auto-delete exchanges with the last binding that led from them.
// Does not know: records and the machine log (topology.ts), judgements of calls (exchange-desk.ts).

import { fieldText, findField, noFields } from '../../../base/fields.ts'
import type { Binding } from './bindings.ts'
import type { ExchangeFacts } from '../facts.ts'
import { Policies } from './policies.ts'
import { Routing } from './routing.ts'

/** The exchanges that every vhost has (rabbit_vhost.erl); never declared, never deleted, in no record. */
const predeclared: readonly (readonly [name: string, type: string, internal: boolean])[] = [
  ['', 'direct', false],
  ['amq.direct', 'direct', false],
  ['amq.fanout', 'fanout', false],
  ['amq.topic', 'topic', false],
  ['amq.headers', 'headers', false],
  ['amq.match', 'headers', false],
  ['amq.rabbitmq.trace', 'topic', true],
]
const predeclaredNames = new Set(predeclared.map(([name]) => name))

export const isPredeclared = (name: string): boolean => predeclaredNames.has(name)

/** What goes together. */
export interface Removal {
  readonly exchanges: readonly ExchangeFacts[]
  readonly bindings: readonly Binding[]
}

export interface VhostTopologyHost {
  queueExists(vhost: string, name: string): boolean
  fraction(): number
  cursorsChanged(): void
}

export class VhostTopology {
  readonly vhost: string
  readonly policies = new Policies()
  readonly routing: Routing
  readonly #host: VhostTopologyHost

  constructor(vhost: string, host: VhostTopologyHost) {
    this.vhost = vhost
    this.#host = host
    this.routing = new Routing({
      queueExists: (name) => host.queueExists(vhost, name),
      alternateOf: (exchange) => this.#alternateOf(exchange),
      alternatesOf: (exchange) => this.#alternatesOf(exchange),
      fraction: () => host.fraction(),
      cursorsChanged: () => host.cursorsChanged(),
    })
    for (const [name, type, internal] of predeclared)
      this.routing.setExchange({ vhost, name, type, durable: true, autoDelete: false, internal, arguments: noFields })
  }

  #alternateOf(exchange: ExchangeFacts): string | undefined {
    const said = fieldText(findField(exchange.arguments, 'alternate-exchange'))
    if (said !== undefined) return said
    const setting = this.policies.applied('exchange', exchange.name, undefined)?.definition['alternate-exchange']
    return typeof setting === 'string' ? setting : undefined
  }

  #alternatesOf(exchange: ExchangeFacts): readonly string[] {
    const said = fieldText(findField(exchange.arguments, 'alternate-exchange'))
    if (said !== undefined) return [said]
    const settings = this.policies.matching(exchange.name).map((definition) => definition['alternate-exchange'])
    return settings.filter((setting) => typeof setting === 'string')
  }

  facts(exchange: string): ExchangeFacts | undefined {
    return this.routing.exchange(exchange)?.facts
  }

  /** What goes with these bindings and exchanges. */
  planRemoval(bindings: Iterable<Binding>, exchanges: readonly ExchangeFacts[]): Removal {
    const gone = new Set<Binding>()
    const goneExchanges = new Map<string, ExchangeFacts>()
    const goneFrom = new Map<string, number>()
    const all = this.routing.bindings
    const removeExchange = (facts: ExchangeFacts): void => {
      if (goneExchanges.has(facts.name)) return
      goneExchanges.set(facts.name, facts)
      for (const binding of all.from(facts.name).values()) removeBinding(binding)
      for (const binding of all.to('exchange', facts.name).values()) removeBinding(binding)
    }
    const removeBinding = (binding: Binding): void => {
      if (gone.has(binding)) return
      gone.add(binding)
      const { source } = binding
      const count = (goneFrom.get(source) ?? 0) + 1
      goneFrom.set(source, count)
      const facts = this.facts(source)
      if (facts?.autoDelete === true && count === all.from(source).size) removeExchange(facts)
    }
    for (const facts of exchanges) removeExchange(facts)
    for (const binding of bindings) removeBinding(binding)
    return { exchanges: [...goneExchanges.values()], bindings: [...gone] }
  }

  /** Removes what of it is in no record. */
  dropTransient(removal: Removal): void {
    for (const binding of removal.bindings) if (!binding.isDurable) this.routing.removeBinding(binding)
    for (const exchange of removal.exchanges) if (!exchange.durable) this.routing.removeExchange(exchange.name)
  }

  /** Takes over what is in no record, as far as its ends are still there. */
  takeTransient(before: VhostTopology): void {
    for (const { facts } of before.routing.exchanges())
      if (!facts.durable && this.facts(facts.name) === undefined) this.routing.setExchange(facts)
    for (const binding of before.routing.bindings.all()) if (!binding.isDurable) this.#takeBinding(binding)
  }

  #takeBinding(binding: Binding): void {
    const { source, destination, destinationKind, vhost, routingKey, arguments: args, cursor } = binding
    if (this.facts(source) === undefined || !this.#isThere(destinationKind, destination)) return
    this.routing.addBinding({ vhost, source, destination, destinationKind, routingKey, arguments: args }, false, cursor)
  }

  #isThere(kind: 'queue' | 'exchange', name: string): boolean {
    return kind === 'queue' ? this.#host.queueExists(this.vhost, name) : this.facts(name) !== undefined
  }
}
