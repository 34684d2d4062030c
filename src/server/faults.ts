// The faults that a program asks for, until they are used up or healed.
// Promises: the newest that concerns an answer decides its fate; a count counts what it hit; wrong names are TypeErrors.
// Does not know: how an answer is dropped (fault-net.ts), how an append fails (fault-store.ts).

import type { Fault, Faults, ResponsesOf } from './embedding.ts'
import type { Fate, FaultNet, FaultRules } from './fault-net.ts'
import type { DiskFault } from './fault-store.ts'
import { responseNames } from './response-cutter.ts'
import type { ClientProtocol } from './surroundings.ts'

/** One that is in force: it strikes `left` times more. */
class Rule implements Fault {
  hits = 0
  #left: number
  readonly #rules: Set<Rule>
  readonly protocol: ClientProtocol | undefined
  readonly name: string | undefined
  readonly fate: Fate

  constructor(rules: Set<Rule>, times: number, fate: Fate, of: ResponsesOf = {}) {
    this.#rules = rules
    this.#left = times
    this.fate = fate
    this.protocol = of.protocol
    this.name = of.name
    if (times > 0) rules.add(this)
  }

  strike(): this {
    this.hits++
    if (--this.#left <= 0) this.heal()
    return this
  }

  heal(): void {
    this.#rules.delete(this)
  }
}

const protocols: readonly ClientProtocol[] = ['kafka', 'amqp']
const noFate: Fate = { drops: false, cuts: false, delayMs: 0 }

export class FaultDesk implements Faults {
  readonly #responses = new Set<Rule>()
  readonly #refusals = new Set<Rule>()
  readonly #disk = new Map<DiskFault, Set<Rule>>([
    ['full', new Set()],
    ['io', new Set()],
  ])
  readonly #nets = new Map<ClientProtocol, FaultNet>()

  // --- for the broker's surroundings ---

  use(protocol: ClientProtocol, net: FaultNet): FaultNet {
    this.#nets.set(protocol, net)
    return net
  }

  rulesOf(protocol: ClientProtocol): FaultRules {
    const responses = this.#responses
    const refusals = this.#refusals
    return {
      get concernsResponses() {
        return responses.size > 0
      },
      // What answers nothing (a heartbeat) meets no fault, but waits for what is late before it.
      fateOf: (name) => (name === '' ? undefined : newest(responses, protocol, name)?.strike().fate),
      refusesConnection: () => newest(refusals, protocol)?.strike() !== undefined,
    }
  }

  readonly nextAppend = (): DiskFault | undefined => {
    for (const [fault, rules] of this.#disk) {
      for (const rule of rules) {
        rule.strike()
        return fault
      }
    }
    return undefined
  }

  // --- for the program ---

  dropResponses(count: number, of: ResponsesOf & { readonly thenDisconnect?: boolean } = {}): Fault {
    const { thenDisconnect = false, ...rest } = of
    if (typeof thenDisconnect !== 'boolean')
      throw new TypeError(`thenDisconnect: ${thenDisconnect} is not true or false`)
    const fate = { drops: true, cuts: thenDisconnect, delayMs: 0 }
    return new Rule(this.#responses, wholeNumber('count', count), fate, judged(rest))
  }

  delayResponses(byMs: number, of: ResponsesOf = {}): Fault {
    if (!Number.isFinite(byMs) || byMs < 0) throw new TypeError(`byMs: ${byMs} is no time in milliseconds`)
    return new Rule(this.#responses, Infinity, { ...noFate, delayMs: byMs }, judged(of))
  }

  disconnect(protocol?: ClientProtocol): number {
    judged({ protocol })
    let cut = 0
    for (const [name, net] of this.#nets) if (protocol === undefined || protocol === name) cut += net.disconnect()
    return cut
  }

  refuseConnections(protocol?: ClientProtocol): Fault {
    return new Rule(this.#refusals, Infinity, noFate, judged({ protocol }))
  }

  failDisk(as: DiskFault, appends = Infinity): Fault {
    const rules = this.#disk.get(as)
    if (rules === undefined) throw new TypeError(`${JSON.stringify(as)} is no fault of a disk: full or io`)
    return new Rule(rules, appends === Infinity ? appends : wholeNumber('appends', appends), noFate)
  }

  heal(): void {
    for (const rules of [this.#responses, this.#refusals, ...this.#disk.values()]) rules.clear()
  }
}

function newest(rules: ReadonlySet<Rule>, protocol: ClientProtocol, name?: string): Rule | undefined {
  let found: Rule | undefined
  for (const rule of rules) {
    if (rule.protocol !== undefined && rule.protocol !== protocol) continue
    if (rule.name === undefined || rule.name === name) found = rule
  }
  return found
}

/** Of whom: a name says its protocol. */
function judged(of: { protocol?: ClientProtocol | undefined; name?: string }): ResponsesOf {
  const { protocol, name, ...rest } = of
  for (const key of Object.keys(rest)) throw new TypeError(`${JSON.stringify(key)} is no option of this fault`)
  if (protocol !== undefined && !protocols.includes(protocol)) {
    throw new TypeError(`${JSON.stringify(protocol)} is no protocol: kafka or amqp`)
  }
  if (name === undefined) return protocol === undefined ? {} : { protocol }
  const known = protocols.filter((one) => responseNames[one].has(name))
  if (known.length === 0 || (protocol !== undefined && !known.includes(protocol))) {
    throw new TypeError(`${JSON.stringify(name)} is no answer: a request of Kafka's (Produce) or a method (basic.ack)`)
  }
  return { protocol: protocol ?? known[0], name }
}

function wholeNumber(what: string, value: number): number {
  if (!Number.isInteger(value) || value < 0) throw new TypeError(`${what}: ${value} is no whole number`)
  return value
}
