// The exchange desk: exchanges declared, checked, deleted, bound and unbound; policies set and deleted.
// Promises: RabbitMQ's judgements in RabbitMQ's words; an answer comes after what it promises is committed.
// Does not know: who asks and whether he may (authorised calls), how messages are routed (topology.ts).

import { fieldDifference, findField } from '../../../base/fields.ts'
import { tableBytes } from '../../../base/field-codec.ts'
import { KiB } from '../../../base/limits.ts'
import type { Decision, MachineLog, MachineRecord } from '../../../log/machine.ts'
import { AppendFailure } from '../../../log/store.ts'
import { refuse, type Refusal } from '../../errors.ts'
import type { BindCall, DeclareExchangeCall, ExchangeView, PolicyCall, PolicyView } from '../../queue-door.ts'
import { isExchangeType, judgeBinding, judgeExchangeArguments, logType } from './exchange-types.ts'
import type { BindingFacts, ExchangeFacts } from '../facts.ts'
import { judgeLogExchange } from './log-exchange.ts'
import { closesLogLoop } from './log-loops.ts'
import type { LogExchanges } from '../parts.ts'
import { judgePolicy, policiesMax } from './policies.ts'
import { compilePattern } from './policies-pattern.ts'
import { bindingRecord, exchangeRecord, policyGone, policyRecord } from './topology-records.ts'
import { removalRecords, type Topology } from './topology.ts'
import type { Removal, VhostTopology } from './topology-vhost.ts'

/** Exchanges of one vhost, the predeclared included. */
const exchangesMax = 100_000
/** Bindings of one vhost. */
const bindingsMax = 1_000_000
/** Arguments of one exchange or binding: they stay in memory. */
const argumentsBytesMax = 64 * KiB

export interface ExchangeDeskHost {
  readonly topology: Topology
  readonly machineLog: MachineLog
  readonly logs: LogExchanges
}

const textOf = (name: string, vhost: string): string => `exchange '${name}' in vhost '${vhost}'`
/** RabbitMQ forbids line ends in names by leaving them out (rabbit_channel:strip_cr_lf). */
const stripped = (name: string): string => name.replaceAll(/[\r\n]/g, '')
const onDefault = (): Refusal => refuse('systemExchange', 'operation not permitted on the default exchange')
const missingExchange = (vhost: string, name: string): Refusal => refuse('exchangeMissing', `no ${textOf(name, vhost)}`)

export class ExchangeDesk {
  readonly #host: ExchangeDeskHost
  /** What is being stored: what finds its work done already waits for it too. */
  readonly #underWay = new Set<Promise<true | Refusal>>()

  constructor(host: ExchangeDeskHost) {
    this.#host = host
  }

  // --- exchanges ---

  async declare(vhost: string, call: DeclareExchangeCall): Promise<true | Refusal> {
    if (!isExchangeType(call.type)) return refuse('exchangeTypeUnknown', `unknown exchange type '${call.type}'`)
    const name = stripped(call.name)
    if (name === '') return onDefault()
    const { durable, autoDelete, internal, type } = call
    const facts: ExchangeFacts = { vhost, name, type, durable, autoDelete, internal, arguments: call.arguments }
    const place = this.#host.topology.of(vhost)
    const there = place.facts(name)
    if (there !== undefined) return inequivalence(there, facts) ?? this.#settled()
    const fault = judgeNewExchange(place, facts) ?? judgeAlternateLoop(place, facts)
    if (fault !== undefined) return fault
    if (type === logType) return judgeLogExchange(facts) ?? this.#follow(this.#host.logs.declare(facts))
    if (durable) return this.#append([exchangeRecord(facts)])
    place.routing.setExchange(facts)
    return true
  }

  /** Passive declare. */
  check(vhost: string, name: string): true | Refusal {
    if (stripped(name) === '') return onDefault()
    return this.#host.topology.of(vhost).facts(stripped(name)) === undefined
      ? missingExchange(vhost, stripped(name))
      : true
  }

  /** One that is not there is deleted already. */
  async delete(vhost: string, givenName: string, ifUnused: boolean): Promise<true | Refusal> {
    const name = stripped(givenName)
    if (name === '') return onDefault()
    if (name.startsWith('amq.'))
      return refuse('systemExchange', `deletion of system ${textOf(name, vhost)} not allowed`)
    const place = this.#host.topology.of(vhost)
    const facts = place.facts(name)
    if (facts === undefined) return this.#settled()
    // Used is one from which bindings lead; those that lead to it do not count.
    if (ifUnused && place.routing.bindings.from(name).size > 0)
      return refuse('exchangeInUse', `${textOf(name, vhost)} in use`)
    const deleted = facts.type === logType ? this.#host.logs.deleteTopic(facts) : undefined
    if (deleted !== undefined) return this.#follow(deleted)
    return this.#remove(place, place.planRemoval([], [facts]))
  }

  // --- bindings ---

  async bind(vhost: string, call: BindCall): Promise<true | Refusal> {
    const facts = bindingFacts(vhost, call)
    const judged = this.#judgeBind(facts)
    if (judged === undefined) return this.#settled()
    if ('refused' in judged) return judged
    if (judged.source.type === logType) return this.#bindToLog(facts)
    if (judged.isDurable) return this.#append([bindingRecord(facts, 0)])
    this.#host.topology.of(vhost).routing.addBinding(facts, false)
    return true
  }

  /** undefined: it is there already. */
  #judgeBind(
    facts: BindingFacts,
  ): { readonly source: ExchangeFacts; readonly isDurable: boolean } | Refusal | undefined {
    if (isOnDefault(facts)) return onDefault()
    const { vhost } = facts
    const place = this.#host.topology.of(vhost)
    const source = place.facts(facts.source)
    if (source === undefined) return missingExchange(vhost, facts.source)
    const isDurable = this.#destination(facts)
    if (typeof isDurable !== 'boolean') return isDurable
    const fault = judgeBinding(source, facts) ?? judgeArguments(facts.arguments, 'binding', facts.routingKey)
    if (fault !== undefined) return fault
    if (place.routing.bindings.find(facts) !== undefined) return undefined
    if (place.routing.bindings.count >= bindingsMax)
      return refuse(
        'limitReached',
        `cannot bind to ${textOf(facts.source, vhost)}: binding limit of ${bindingsMax} is reached`,
      )
    if (closesLogLoop(place.routing, facts.source, { kind: facts.destinationKind, name: facts.destination }))
      return loopRefusal(`bind ${facts.destinationKind} '${facts.destination}' to ${textOf(facts.source, vhost)}`)
    return { source, isDurable: source.durable && isDurable }
  }

  /** The binding, and where it begins to copy, in one append. */
  async #bindToLog(facts: BindingFacts): Promise<true | Refusal> {
    const { logs, topology, machineLog } = this.#host
    const starts = await logs.findStarts(facts)
    if ('refused' in starts) return starts
    // Things may be others by now.
    const judged = this.#judgeBind(facts)
    if (judged === undefined) return this.#settled()
    if ('refused' in judged) return judged
    if (judged.source.type !== logType) return missingExchange(facts.vhost, facts.source)
    if (!machineLog.ready) return notReady()
    const begun = logs.begin(facts, starts, judged.isDurable)
    // The exchange was deleted meanwhile, and is there again: as if this was asked a moment later.
    if (begun === undefined) return this.#bindToLog(facts)
    const { number, decision } = begun
    if (judged.isDurable) {
      const outcome = await this.#append([bindingRecord(facts, number)], decision)
      if (outcome === true) logs.begun(number, starts)
      return outcome
    }
    topology.of(facts.vhost).routing.addBinding(facts, false, number)
    return true
  }

  /** A binding that is not there is gone already. */
  async unbind(vhost: string, call: BindCall): Promise<true | Refusal> {
    const facts = bindingFacts(vhost, call)
    if (isOnDefault(facts)) return onDefault()
    const place = this.#host.topology.of(vhost)
    const binding = place.routing.bindings.find(facts)
    return binding === undefined ? this.#settled() : this.#remove(place, place.planRemoval([binding], []))
  }

  /** Whether the destination is durable; refused: it is not there. */
  #destination({ vhost, destination, destinationKind }: BindingFacts): boolean | Refusal {
    const { topology } = this.#host
    if (destinationKind === 'exchange')
      return topology.of(vhost).facts(destination)?.durable ?? missingExchange(vhost, destination)
    return topology.queueExists(vhost, destination)
      ? topology.isQueueDurable(vhost, destination)
      : refuse('queueMissing', `no queue '${destination}' in vhost '${vhost}'`)
  }

  // --- policies ---

  async setPolicy(vhost: string, policy: PolicyCall, isOperators: boolean): Promise<true | Refusal> {
    const place = this.#host.topology.of(vhost)
    const { policies } = place
    const fault = judgePolicy(policy, isOperators) ?? judgePolicyLoop(place, policy)
    if (fault !== undefined) return fault
    if (!policies.has(policy.name, isOperators) && policies.count(isOperators) >= policiesMax)
      return refuse('limitReached', `policy limit of ${policiesMax} in vhost '${vhost}' is reached`)
    return this.#append([policyRecord(vhost, policy, isOperators)])
  }

  async deletePolicy(vhost: string, name: string, isOperators: boolean): Promise<true | Refusal> {
    if (!this.#host.topology.of(vhost).policies.has(name, isOperators))
      return refuse('invalidRequest', `${isOperators ? 'operator policy' : 'policy'} '${name}' not found`)
    return this.#append([policyGone(vhost, name, isOperators)])
  }

  // --- lists ---

  listExchanges(vhost: string): readonly ExchangeView[] {
    return this.#host.topology.listExchanges(vhost)
  }

  listBindings(vhost: string): readonly BindCall[] {
    return this.#host.topology.listBindings(vhost)
  }

  listPolicies(vhost: string): readonly PolicyView[] {
    return this.#host.topology.listPolicies(vhost)
  }

  // --- deciding ---

  async #remove(place: VhostTopology, removal: Removal): Promise<true | Refusal> {
    const records = removalRecords(removal)
    if (records.length > 0 && !this.#host.machineLog.ready) return notReady()
    const forgetting = this.#host.logs.forget(removal.bindings)
    if (records.length === 0) {
      place.dropTransient(removal)
      this.#host.logs.forgotten(removal.bindings)
      return true
    }
    const appended = this.#append(records, forgetting)
    place.dropTransient(removal)
    const outcome = await appended
    // The replay brings back what was durable of it; what was not is kept here.
    if (outcome === true) this.#host.logs.forgotten(removal.bindings)
    else this.#takeBack(place.vhost, removal)
    return outcome
  }

  #takeBack(vhost: string, removal: Removal): void {
    const place = this.#host.topology.of(vhost)
    for (const facts of removal.exchanges)
      if (!facts.durable && place.facts(facts.name) === undefined) place.routing.setExchange(facts)
    for (const binding of removal.bindings)
      if (!binding.isDurable) place.routing.addBinding(binding, false, binding.cursor)
  }

  #append(records: readonly MachineRecord[], along?: Decision): Promise<true | Refusal> {
    const { machineLog, topology } = this.#host
    if (!machineLog.ready) return Promise.resolve(notReady())
    const decision = { machine: topology, records }
    const outcome = machineLog.appendAll(along === undefined ? [decision] : [decision, along]).then(
      () => true as const,
      (error: unknown) => {
        if (error instanceof AppendFailure)
          return refuse(
            error.kind === 'full' ? 'storageFull' : 'storageFailed',
            `The change could not be stored: ${error.message}`,
          )
        throw error
      },
    )
    return this.#follow(outcome)
  }

  #follow(outcome: Promise<true | Refusal>): Promise<true | Refusal> {
    this.#underWay.add(outcome)
    const over = (): void => void this.#underWay.delete(outcome)
    outcome.then(over, over)
    return outcome
  }

  /** What is asked for is the case already: once what was decided before is committed. */
  async #settled(): Promise<true | Refusal> {
    // Another call that was refused for what it asked says nothing of this one.
    for (const outcome of await Promise.all(this.#underWay))
      if (outcome !== true && (outcome.refused === 'storageFull' || outcome.refused === 'storageFailed')) return outcome
    return true
  }
}

const notReady = (): Refusal =>
  refuse('storageFailed', 'Exchanges and bindings are being recovered after a failed write: try again.')

function bindingFacts(vhost: string, call: BindCall): BindingFacts {
  const { destinationKind, routingKey } = call
  const source = stripped(call.source)
  return {
    vhost,
    source,
    destination: stripped(call.destination),
    destinationKind,
    routingKey,
    arguments: call.arguments,
  }
}

const isOnDefault = (facts: BindingFacts): boolean =>
  facts.source === '' || (facts.destinationKind === 'exchange' && facts.destination === '')

const loopRefusal = (what: string): Refusal =>
  refuse('inequivalentDeclaration', `cannot ${what}: what an exchange of type x-log stores would come back to it`)

/** By an alternate exchange, which may have been named before there was one. */
function judgeAlternateLoop(place: VhostTopology, facts: ExchangeFacts): Refusal | undefined {
  if (facts.type === logType) return undefined
  for (const alternate of place.routing.alternatesOf(facts))
    if (closesLogLoop(place.routing, facts.name, { kind: 'exchange', name: alternate }))
      return loopRefusal(`declare ${textOf(facts.name, facts.vhost)} with the alternate '${alternate}'`)
  return undefined
}

/** By the alternate that a policy gives to exchanges there are; those to come are judged when they are declared. */
function judgePolicyLoop({ routing, vhost }: VhostTopology, policy: PolicyCall): Refusal | undefined {
  const alternate = policy.definition['alternate-exchange']
  if (typeof alternate !== 'string' || routing.logCount === 0) return undefined
  const pattern = compilePattern(policy.pattern)
  if (typeof pattern === 'string') return undefined
  for (const { facts, isLog } of routing.exchanges())
    if (
      !isLog &&
      pattern.matches(facts.name) &&
      closesLogLoop(routing, facts.name, { kind: 'exchange', name: alternate })
    )
      return loopRefusal(`set '${alternate}' as the alternate of ${textOf(facts.name, vhost)}`)
  return undefined
}

function judgeNewExchange(place: VhostTopology, facts: ExchangeFacts): Refusal | undefined {
  const { name, vhost } = facts
  if (name.startsWith('amq.')) return refuse('reservedName', `exchange name '${name}' contains reserved prefix 'amq.*'`)
  if (place.routing.exchangeCount >= exchangesMax)
    return refuse('limitReached', `cannot declare ${textOf(name, vhost)}: exchange limit of ${exchangesMax} is reached`)
  return judgeExchangeArguments(facts) ?? judgeArguments(facts.arguments, 'exchange', name)
}

function judgeArguments(table: ExchangeFacts['arguments'], what: string, name: string): Refusal | undefined {
  if (table.length === 0) return undefined
  const bytes = tableBytes(table).length
  return bytes <= argumentsBytesMax
    ? undefined
    : refuse(
        'invalidArgument',
        `arguments of ${what} '${name}' have ${bytes} bytes, at most ${argumentsBytesMax} are kept`,
      )
}

/** RabbitMQ compares the first alone (rabbit_exchange:assert_args_equivalence); without the other a wrong route is silent. */
const comparedArguments = ['alternate-exchange', 'x-delayed-type', 'x-partitions']

function inequivalence(current: ExchangeFacts, asked: ExchangeFacts): Refusal | undefined {
  const pairs = [
    ['type', current.type, asked.type],
    ['durable', current.durable, asked.durable],
    ['auto_delete', current.autoDelete, asked.autoDelete],
    ['internal', current.internal, asked.internal],
  ] as const
  for (const [name, one, other] of pairs)
    if (one !== other) return unequal(current, name, `received '${String(other)}' but current is '${String(one)}'`)
  for (const name of comparedArguments) {
    const difference = fieldDifference(findField(current.arguments, name), findField(asked.arguments, name))
    if (difference !== undefined) return unequal(current, name, difference)
  }
  return undefined
}

const unequal = ({ name, vhost }: ExchangeFacts, argument: string, difference: string): Refusal =>
  refuse('inequivalentDeclaration', `inequivalent arg '${argument}' for ${textOf(name, vhost)}: ${difference}`)
