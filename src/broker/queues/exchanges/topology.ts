// The topology: which exchanges, bindings and policies there are in each vhost, and where a message goes.
// Promises: a machine (kind 8): its durable state is what its records say; what is transient lives in memory and
// survives a replay. route() is synchronous and answers the very same array for the same question.
// Does not know: queues' contents, who may do what; how exchanges are declared and deleted (exchange-desk.ts).

import type { Machine, MachineRecord } from '../../../log/machine.ts'
import { CorruptLog } from '../../../log/store.ts'
import { refuse, type Refusal } from '../../errors.ts'
import type { BindCall, ExchangeView, PolicyView } from '../../queue-door.ts'
import type { Binding } from './bindings.ts'
import { isExchangeType } from './exchange-types.ts'
import type { ExchangeFacts, QueueType } from '../facts.ts'
import type { DelaysPart, Destinations, RoutedMessage, Router } from '../parts.ts'
import type { AppliedPolicy } from './policies.ts'
import {
  bindingGone,
  bindingRecord,
  exchangeGone,
  exchangeRecord,
  policyRecord,
  readRecord,
} from './topology-records.ts'
import { isPredeclared, VhostTopology, type Removal, type VhostTopologyHost } from './topology-vhost.ts'

export interface TopologyHost {
  queueExists(vhost: string, name: string): boolean
  /** Only a binding between durable ends is kept. */
  isQueueDurable(vhost: string, name: string): boolean
  /** A number in [0, 1), for exchanges that choose by chance. */
  fraction(): number
}

/** The records that a removal writes: what of it was durable. */
export const removalRecords = (removal: Removal): MachineRecord[] => [
  ...removal.bindings.filter((binding) => binding.isDurable).map(bindingGone),
  ...removal.exchanges.filter((exchange) => exchange.durable).map(exchangeGone),
]

export class Topology implements Machine, Router {
  readonly kind = 8
  readonly #host: TopologyHost
  readonly #vhostHost: VhostTopologyHost
  #vhosts = new Map<string, VhostTopology>()
  /** While the log is replayed: what is known by then. Everybody sees the state before until it is whole. */
  #replaying: Map<string, VhostTopology> | undefined
  #delays: DelaysPart | undefined
  #policiesChanged: (vhost: string) => void = () => undefined
  #cursorsChanged: () => void = () => undefined
  /** What goes with a queue or topic, whose records were given out. */
  readonly #removing = new Map<VhostTopology, Map<string, Removal>>()

  constructor(host: TopologyHost) {
    this.#host = host
    this.#vhostHost = {
      queueExists: (vhost, name) => host.queueExists(vhost, name),
      fraction: () => host.fraction(),
      cursorsChanged: () => this.#cursorsChanged(),
    }
  }

  // --- routing ---

  route(
    vhost: string,
    exchange: string,
    routingKeys: readonly string[],
    message: RoutedMessage,
    fromBroker: boolean,
  ): Destinations | Refusal {
    const { routing } = this.of(vhost)
    if (exchange === '') return routing.routeToQueues(routingKeys)
    const found = routing.exchange(exchange)
    if (found === undefined) return refuse('exchangeMissing', `no exchange '${exchange}' in vhost '${vhost}'`)
    if (found.facts.internal && !fromBroker)
      return refuse('internalExchange', `cannot publish to internal exchange '${exchange}' in vhost '${vhost}'`)
    if (found.isDelayed) {
      const waiting = this.#delays?.destinationsFor(found.facts, message.properties)
      if (waiting !== undefined) return waiting
    }
    return routing.route(found, routingKeys, message)
  }

  /** Who keeps messages of delayed exchanges until they are due; without him they go on at once. */
  delayBy(delays: DelaysPart): void {
    this.#delays = delays
  }

  // --- what there is ---

  /** A vhost's exchanges, bindings and policies as decided. */
  of(vhost: string): VhostTopology {
    return this.#in(this.#vhosts, vhost)
  }

  #in(vhosts: Map<string, VhostTopology>, vhost: string): VhostTopology {
    let found = vhosts.get(vhost)
    if (found === undefined) vhosts.set(vhost, (found = new VhostTopology(vhost, this.#vhostHost)))
    return found
  }

  queueExists(vhost: string, name: string): boolean {
    return this.#host.queueExists(vhost, name)
  }

  isQueueDurable(vhost: string, name: string): boolean {
    return this.#host.isQueueDurable(vhost, name)
  }

  /** What policies say of a queue (whatever its type when none is given) or an exchange; undefined: none applies. */
  policyFor(vhost: string, kind: 'queue' | 'exchange', name: string, queueType?: QueueType): AppliedPolicy | undefined {
    return this.of(vhost).policies.applied(kind, name, queueType)
  }

  /** Calls `changed` after a policy of `vhost` was set or deleted. One watcher: the last one given. */
  watchPolicies(changed: (vhost: string) => void): void {
    this.#policiesChanged = changed
  }

  /** Whether a topic is an exchange of type x-log as well. */
  isLog(vhost: string, name: string): boolean {
    return this.of(vhost).routing.exchange(name)?.isLog === true
  }

  /** Bindings that copy from the topic of an exchange of type x-log. */
  *cursors(): Generator<Binding> {
    for (const { routing } of this.#vhosts.values()) yield* routing.cursors
  }

  /** Calls `changed` after a binding came or went that copies; also when all may be others. One watcher. */
  watchCursors(changed: () => void): void {
    this.#cursorsChanged = changed
  }

  listExchanges(vhost: string): readonly ExchangeView[] {
    const place = this.of(vhost)
    return Array.from(place.routing.exchanges(), ({ facts }) => ({
      name: facts.name,
      type: facts.type,
      durable: facts.durable,
      autoDelete: facts.autoDelete,
      internal: facts.internal,
      arguments: facts.arguments,
      policy: place.policies.applied('exchange', facts.name, undefined)?.policy,
    }))
  }

  /** Those of the default exchange go without saying. */
  listBindings(vhost: string): readonly BindCall[] {
    return Array.from(this.of(vhost).routing.bindings.all(), (binding) => ({
      source: binding.source,
      destination: binding.destination,
      destinationKind: binding.destinationKind,
      routingKey: binding.routingKey,
      arguments: binding.arguments,
    }))
  }

  listPolicies(vhost: string): readonly PolicyView[] {
    return this.of(vhost).policies.list()
  }

  // --- queues and topics that go ---

  /**
   * What goes with a queue, and with its topic if that goes as well: bindings that lead there, the exchange that the topic
   * is, exchanges that go with their last binding. Its records (removalRecords) are appended with the deletion, followed
   * by gone().
   */
  removalWith(vhost: string, name: string, isTopicGone: boolean): Removal {
    const place = this.of(vhost)
    const removal = place.planRemoval(...this.#goingWith(place, name, isTopicGone))
    let removals = this.#removing.get(place)
    if (removals === undefined) this.#removing.set(place, (removals = new Map()))
    removals.set(name, removal)
    return removal
  }

  #goingWith(place: VhostTopology, name: string, isTopicGone: boolean): [Binding[], ExchangeFacts[]] {
    const exchange = isTopicGone && this.isLog(place.vhost, name) ? place.facts(name) : undefined
    return [[...place.routing.bindings.to('queue', name).values()], exchange === undefined ? [] : [exchange]]
  }

  /** Forgets what is only in memory of what went, once its records are committed. Answers the bindings that went with it. */
  gone(vhost: string, name: string, isTopicGone: boolean): readonly Binding[] {
    const place = this.of(vhost)
    const removal = this.#removing.get(place)?.get(name)
    this.#removing.get(place)?.delete(name)
    if (removal !== undefined) place.dropTransient(removal)
    // Whatever was bound since the records were made.
    place.dropTransient(place.planRemoval(...this.#goingWith(place, name, isTopicGone)))
    // Who stores by the name comes to the topic that stays.
    if (!isTopicGone) place.routing.forgetNames()
    return removal?.bindings ?? []
  }

  // --- the machine ---

  apply(key: Buffer, value: Buffer | null): void {
    const record = readRecord(key, value)
    const place = this.#in(this.#replaying ?? this.#vhosts, record.vhost)
    switch (record.kind) {
      case 'exchange': {
        if (record.facts === undefined) return place.routing.removeExchange(record.name)
        if (!isExchangeType(record.facts.type))
          throw new CorruptLog(`an exchange of type ${record.facts.type}, which this program does not know`)
        return place.routing.setExchange(record.facts)
      }
      case 'binding': {
        if (record.cursor !== undefined) return place.routing.addBinding(record.facts, true, record.cursor)
        const binding = place.routing.bindings.find(record.facts)
        if (binding?.isDurable === true) place.routing.removeBinding(binding)
        return
      }
      case 'policy':
        if (record.policy === undefined) place.policies.delete(record.name, record.isOperators)
        else place.policies.set(record.policy)
        if (this.#replaying !== undefined) return
        place.routing.policiesChanged()
        return this.#policiesChanged(record.vhost)
    }
  }

  *entries(): Generator<MachineRecord> {
    for (const { vhost, routing, policies } of this.#vhosts.values()) {
      for (const { facts } of routing.exchanges())
        if (facts.durable && !isPredeclared(facts.name)) yield exchangeRecord(facts)
      for (const binding of routing.bindings.all()) if (binding.isDurable) yield bindingRecord(binding, binding.cursor)
      for (const policy of policies.list()) yield policyRecord(vhost, policy, policy.isOperators)
    }
  }

  reset(): void {
    this.#replaying = new Map()
  }

  replayed(): void {
    const replayed = this.#replaying
    if (replayed === undefined) return
    this.#replaying = undefined
    for (const place of replayed.values()) place.routing.policiesChanged()
    for (const before of this.#vhosts.values()) this.#in(replayed, before.vhost).takeTransient(before)
    this.#vhosts = replayed
    this.#removing.clear()
    this.#cursorsChanged()
    for (const vhost of replayed.keys()) this.#policiesChanged(vhost)
  }
}
