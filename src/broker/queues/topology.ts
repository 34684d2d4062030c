// The topology: which exchanges, bindings and policies there are in each vhost, and where a message goes.
// Promises: a machine (kind 8): its durable state is what its records say; what is transient lives in memory and
// survives a replay. route() is synchronous and answers the very same array for the same question.
// Does not know: queues' contents, who may do what; how exchanges are declared and deleted (exchange-desk.ts).

import type { Machine, MachineRecord } from '../../log/machine.ts'
import { refuse, type Refusal } from '../errors.ts'
import type { BindCall, ExchangeView, PolicyView } from '../queue-door.ts'
import type { QueueType } from './facts.ts'
import type { Destinations, RoutedMessage, Router } from './parts.ts'

/** The policy and the operators' policy of one queue or exchange, merged. */
export interface AppliedPolicy {
  readonly policy: string | undefined
  readonly operatorPolicy: string | undefined
  readonly definition: Readonly<Record<string, string | number | boolean>>
}

export interface TopologyHost {
  queueExists(vhost: string, name: string): boolean
  /** Only a binding between durable ends is kept. */
  isQueueDurable(vhost: string, name: string): boolean
  /** A number in [0, 1), for exchanges that choose by chance. */
  fraction(): number
}

export class Topology implements Machine, Router {
  readonly kind = 8
  readonly #host: TopologyHost

  constructor(host: TopologyHost) {
    this.#host = host
  }

  route(
    vhost: string,
    exchange: string,
    routingKeys: readonly string[],
    _message: RoutedMessage,
    _fromBroker: boolean,
  ): Destinations | Refusal {
    if (exchange !== '') return refuse('exchangeMissing', `no exchange '${exchange}' in vhost '${vhost}'`)
    return routingKeys.filter((name) => this.#host.queueExists(vhost, name))
  }

  /** Records that delete the durable bindings of a queue, and durable exchanges that go with their last binding. */
  recordsForDeletedQueue(_vhost: string, _name: string): MachineRecord[] {
    return []
  }

  /** Forgets what is only in memory of a deleted queue's bindings: called once its records were appended. */
  queueGone(_vhost: string, _name: string): void {}

  /** What policies say of a queue (whatever its type when none is given) or an exchange; undefined: none applies. */
  policyFor(
    _vhost: string,
    _kind: 'queue' | 'exchange',
    _name: string,
    _queueType?: QueueType,
  ): AppliedPolicy | undefined {
    return undefined
  }

  /** Calls `changed` after a policy of `vhost` was set or deleted. One watcher: the last one given. */
  watchPolicies(_changed: (vhost: string) => void): void {}

  listExchanges(_vhost: string): readonly ExchangeView[] {
    return []
  }

  listBindings(_vhost: string): readonly BindCall[] {
    return []
  }

  listPolicies(_vhost: string): readonly PolicyView[] {
    return []
  }

  apply(_key: Buffer, _value: Buffer | null): void {}

  *entries(): Generator<MachineRecord> {}

  reset(): void {}

  replayed(): void {}
}
