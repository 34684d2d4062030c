// Routing in one vhost: from exchange, routing keys and headers to the names of queues.
// Promises: each queue once, loops of exchanges tolerated, alternate exchanges where nothing matches; the same question
// gets the very same array until an exchange, binding or policy changes.
// Does not know: how exchanges come and go (topology.ts), what becomes of the message.

import { Bindings, type Binding, type Destination } from './bindings.ts'
import { delayedType, logType, newMatcher } from './exchange-types.ts'
import type { BindingFacts, ExchangeFacts } from '../facts.ts'
import type { Destinations, RoutedMessage } from '../parts.ts'
import { Question, type Dependence, type Matcher } from './routing-matchers.ts'

/** Answers remembered in one vhost. Beyond it all are forgotten: a working set that large gains little from them. */
const routesRememberedMax = 16_384

const nowhere: Destinations = Object.freeze([])

export interface Exchange {
  readonly facts: ExchangeFacts
  /** Messages may have to wait before they are routed. */
  readonly isDelayed: boolean
  /** It is a topic: messages are stored there, and its bindings copy from it (cursors/). */
  readonly isLog: boolean
  /** Where messages go that nothing here matches: by argument, else by policy. */
  alternate: string | undefined
  /** Made when first asked, then kept up. */
  matcher: Matcher | undefined
  readonly byRoutingKey: Map<string, Destinations>
  /** The answer to every question, when it depends on the bindings alone. */
  always: Destinations | undefined
  /** The last routing that came by. */
  reachedBy: number
}

export interface RoutingHost {
  queueExists(name: string): boolean
  /** What argument or policy say. */
  alternateOf(exchange: ExchangeFacts): string | undefined
  /** What they may come to say, when policies go or change their order. */
  alternatesOf(exchange: ExchangeFacts): readonly string[]
  /** In [0, 1). */
  fraction(): number
  /** `cursors` is another. */
  cursorsChanged(): void
}

export class Routing {
  readonly bindings = new Bindings()
  /** Bindings that copy from the topic of an exchange of type x-log. */
  readonly cursors = new Set<Binding>()
  readonly #host: RoutingHost
  readonly #exchanges = new Map<string, Exchange>()
  /** Those that remember answers. */
  readonly #remembering = new Set<Exchange>()
  #remembered = 0
  #logs = 0
  /** Lists of one queue, by its name: most answers are one of them. */
  readonly #singles = new Map<string, Destinations>()
  // The routing under way; used again for each.
  readonly #question = new Question()
  #round = 0
  #matches = 0
  #queues: string[] = []
  readonly #reached: Exchange[] = []

  constructor(host: RoutingHost) {
    this.#host = host
  }

  // --- exchanges and bindings ---

  exchange(name: string): Exchange | undefined {
    return this.#exchanges.get(name)
  }

  exchanges(): IterableIterator<Exchange> {
    return this.#exchanges.values()
  }

  get exchangeCount(): number {
    return this.#exchanges.size
  }

  /** Alternates that an exchange has, or may have when policies of others go. */
  alternatesOf(exchange: ExchangeFacts): readonly string[] {
    return this.#host.alternatesOf(exchange)
  }

  /** Exchanges that are topics. */
  get logCount(): number {
    return this.#logs
  }

  setExchange(facts: ExchangeFacts): void {
    this.removeExchange(facts.name)
    const isLog = facts.type === logType
    if (isLog) this.#logs++
    this.#exchanges.set(facts.name, {
      facts,
      isDelayed: facts.type === delayedType,
      isLog,
      alternate: this.#host.alternateOf(facts),
      matcher: undefined,
      byRoutingKey: new Map(),
      always: undefined,
      reachedBy: 0,
    })
  }

  removeExchange(name: string): void {
    this.forgetRoutes()
    if (this.#exchanges.get(name)?.isLog === true) this.#logs--
    this.#exchanges.delete(name)
  }

  /** `cursor`: the number of its ledgers, when it leads from a topic. */
  addBinding(facts: BindingFacts, isDurable: boolean, cursor = 0): void {
    const binding = this.bindings.add(facts, isDurable, cursor)
    if (binding === undefined) return
    if (cursor > 0) {
      this.cursors.add(binding)
      return this.#host.cursorsChanged()
    }
    this.forgetRoutes()
    this.#exchanges.get(binding.source)?.matcher?.add(binding)
  }

  removeBinding(binding: Binding): void {
    this.forgetRoutes()
    this.bindings.remove(binding)
    this.#exchanges.get(binding.source)?.matcher?.remove(binding)
    if (this.cursors.delete(binding)) this.#host.cursorsChanged()
  }

  policiesChanged(): void {
    this.forgetRoutes()
    for (const exchange of this.#exchanges.values()) exchange.alternate = this.#host.alternateOf(exchange.facts)
  }

  forgetRoutes(): void {
    for (const exchange of this.#remembering) {
      exchange.byRoutingKey.clear()
      exchange.always = undefined
    }
    this.#remembering.clear()
    this.#remembered = 0
  }

  /** Behind a name is another queue or topic than before: no array of names that was given out is given out again. */
  forgetNames(): void {
    this.forgetRoutes()
    this.#singles.clear()
  }

  // --- routing ---

  /** By the default exchange: the routing key is the queue's name. */
  routeToQueues(routingKeys: readonly string[]): Destinations {
    if (routingKeys.length !== 1) return [...new Set(routingKeys)].filter((name) => this.#host.queueExists(name))
    const name = routingKeys[0]
    return this.#host.queueExists(name) ? this.#single(name) : nowhere
  }

  route(exchange: Exchange, routingKeys: readonly string[], message: RoutedMessage): Destinations {
    if (exchange.always !== undefined) return exchange.always
    if (exchange.isLog) return this.#single(exchange.facts.name)
    if (routingKeys.length === 1) {
      const known = exchange.byRoutingKey.get(routingKeys[0])
      if (known !== undefined) return known
    }
    return this.#find(exchange, routingKeys, message)
  }

  #find(exchange: Exchange, routingKeys: readonly string[], message: RoutedMessage): Destinations {
    const round = ++this.#round
    const reached = this.#reached
    this.#queues = []
    this.#question.about(routingKeys, message)
    reached.length = 0
    reached.push(exchange)
    exchange.reachedBy = round
    let dependence: Dependence = 'bindings'
    for (let at = 0; at < reached.length; at++) {
      const { alternate, isLog, facts } = reached[at]
      if (isLog) {
        // Its bindings are followed when the message is stored.
        if (!this.#queues.includes(facts.name)) this.#queues.push(facts.name)
        continue
      }
      const matcher = (reached[at].matcher ??= this.#newMatcher(reached[at]))
      if (dependence !== 'message' && matcher.dependsOn !== 'bindings') dependence = matcher.dependsOn
      this.#matches = 0
      matcher.match(this.#question, this.#found)
      if (this.#matches === 0 && alternate !== undefined) this.#reachExchange(alternate)
    }
    const queues = this.#queues
    const answer = queues.length === 0 ? nowhere : queues.length === 1 ? this.#single(queues[0]) : queues
    if (dependence !== 'message') this.#remember(exchange, dependence, routingKeys, answer)
    return answer
  }

  readonly #found = (destination: Destination): void => {
    this.#matches++
    if (destination.reachedBy === this.#round) return
    destination.reachedBy = this.#round
    if (destination.kind === 'queue') this.#reachQueue(destination.name)
    else this.#reachExchange(destination.name)
  }

  /** An exchange of that name may be the same topic, and was reached before. */
  #reachQueue(name: string): void {
    const mayBeThere = this.#logs > 0 && this.#exchanges.get(name)?.isLog === true
    if (!mayBeThere || !this.#queues.includes(name)) this.#queues.push(name)
  }

  #reachExchange(name: string): void {
    const exchange = this.#exchanges.get(name)
    if (exchange === undefined || exchange.reachedBy === this.#round) return
    exchange.reachedBy = this.#round
    this.#reached.push(exchange)
  }

  #newMatcher(exchange: Exchange): Matcher {
    const matcher = newMatcher(exchange.facts, this.#host.fraction)
    for (const binding of this.bindings.from(exchange.facts.name).values()) matcher.add(binding)
    return matcher
  }

  #remember(exchange: Exchange, dependence: Dependence, routingKeys: readonly string[], answer: Destinations): void {
    if (dependence !== 'bindings' && routingKeys.length !== 1) return
    if (this.#remembered >= routesRememberedMax) this.forgetRoutes()
    this.#remembering.add(exchange)
    this.#remembered++
    if (dependence === 'bindings') exchange.always = answer
    else exchange.byRoutingKey.set(routingKeys[0], answer)
  }

  #single(name: string): Destinations {
    let single = this.#singles.get(name)
    if (single === undefined) {
      if (this.#singles.size >= routesRememberedMax) this.#singles.clear()
      this.#singles.set(name, (single = [name]))
    }
    return single
  }
}
