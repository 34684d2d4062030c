// The exchange desk: exchanges declared, checked, deleted, bound and unbound; policies set and deleted.
// Promises: RabbitMQ's judgements in RabbitMQ's words; an answer comes after what it promises is committed.
// Does not know: who asks and whether he may (authorised calls), how messages are routed (topology.ts).

import type { MachineLog } from '../../log/machine.ts'
import { refuse, type Refusal } from '../errors.ts'
import type { BindCall, DeclareExchangeCall, ExchangeView, PolicyCall, PolicyView } from '../queue-door.ts'
import type { Topology } from './topology.ts'

export interface ExchangeDeskHost {
  readonly topology: Topology
  readonly machineLog: MachineLog
}

const unbuilt = (): Refusal => refuse('internal', 'exchanges are being built')

export class ExchangeDesk {
  readonly #host: ExchangeDeskHost

  constructor(host: ExchangeDeskHost) {
    this.#host = host
  }

  async declare(_vhost: string, _call: DeclareExchangeCall): Promise<true | Refusal> {
    return unbuilt()
  }

  /** Passive declare. */
  check(vhost: string, name: string): true | Refusal {
    return refuse('exchangeMissing', `no exchange '${name}' in vhost '${vhost}'`)
  }

  async delete(_vhost: string, _name: string, _ifUnused: boolean): Promise<true | Refusal> {
    return unbuilt()
  }

  async bind(_vhost: string, _call: BindCall): Promise<true | Refusal> {
    return unbuilt()
  }

  async unbind(_vhost: string, _call: BindCall): Promise<true | Refusal> {
    return unbuilt()
  }

  listExchanges(vhost: string): readonly ExchangeView[] {
    return this.#host.topology.listExchanges(vhost)
  }

  listBindings(vhost: string): readonly BindCall[] {
    return this.#host.topology.listBindings(vhost)
  }

  listPolicies(vhost: string): readonly PolicyView[] {
    return this.#host.topology.listPolicies(vhost)
  }

  async setPolicy(_vhost: string, _policy: PolicyCall, _isOperators: boolean): Promise<true | Refusal> {
    return unbuilt()
  }

  async deletePolicy(_vhost: string, _name: string, _isOperators: boolean): Promise<true | Refusal> {
    return unbuilt()
  }
}
