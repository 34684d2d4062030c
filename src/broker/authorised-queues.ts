// Queue calls as one client may make them: each is asked about before it reaches exchanges, queues and channels.
// Promises: RabbitMQ's permissions: configure to declare and delete, write to publish and to bind to, read to consume and
// to bind from; what an operator sees or sets needs the cluster. An exclusive queue is its owner's alone.
// Does not know: what exchanges, queues and channels do.

import { fieldText, findField, type FieldTable } from '../base/fields.ts'
import type { Operation } from './access.ts'
import type { SessionIdentity } from './door.ts'
import type { Refusal } from './errors.ts'
import type {
  BindCall,
  Channel,
  ChannelSink,
  ConsumeCall,
  Consumer,
  DeclareExchangeCall,
  Got,
  Publication,
  Published,
  QueueCalls,
} from './queue-door.ts'
import type { ChannelIdentity } from './queues/channels/channel-host.ts'
import type { ExchangeDesk } from './queues/exchanges/exchange-desk.ts'
import type { Redrive } from './queues/dead-letters/redrive.ts'
import { newOwner, type QueueDesk } from './queues/desk/queue-desk.ts'

/** The rooms behind these calls. */
export interface QueueRooms {
  readonly desk: QueueDesk
  readonly exchanges: ExchangeDesk
  readonly redrive: Redrive
  openChannel(identity: ChannelIdentity, sink: ChannelSink): Channel
  storagePressure(): string | undefined
  watchPressure(changed: () => void): () => void
}

/** undefined: allowed. */
export type JudgeQueues = (
  operation: Operation,
  kind: 'queue' | 'exchange' | 'cluster',
  name: string,
) => Refusal | undefined

const clusterName = 'kafka-cluster'

/** RabbitMQ's name for the nameless exchange where permissions are concerned. */
const exchangeName = (name: string): string => (name === '' ? 'amq.default' : name)

export function authorisedQueues(rooms: QueueRooms, identity: SessionIdentity, judge: JudgeQueues): QueueCalls {
  const { desk, exchanges } = rooms
  const { vhost } = identity
  const owner = newOwner()
  const onExchange = (operation: Operation, name: string) => judge(operation, 'exchange', exchangeName(name))
  const judgeBinding = (call: BindCall): Refusal | undefined =>
    (call.destinationKind === 'queue'
      ? judge('write', 'queue', call.destination)
      : onExchange('write', call.destination)) ?? onExchange('read', call.source)
  const mayTouch = (call: BindCall): Refusal | undefined =>
    call.destinationKind === 'queue' ? desk.mayTouch(vhost, owner, call.destination) : undefined
  const operators = (operation: Operation): Refusal | undefined => judge(operation, 'cluster', clusterName)
  const channelIdentity: ChannelIdentity = {
    vhost,
    principal: identity.principal,
    mayImpersonate: false,
    mayUse: (queue) => desk.mayUse(owner, queue.topic),
  }
  return {
    declareExchange: async (call) =>
      onExchange('configure', call.name) ??
      judgeAlternate(call, exchanges.check(vhost, call.name) === true, onExchange) ??
      (await exchanges.declare(vhost, call)),
    checkExchange: (name) => anyOf(onExchange, name) ?? exchanges.check(vhost, name),
    deleteExchange: async (name, ifUnused) =>
      onExchange('configure', name) ?? (await exchanges.delete(vhost, name, ifUnused)),
    bind: async (call) => judgeBinding(call) ?? mayTouch(call) ?? (await exchanges.bind(vhost, call)),
    unbind: async (call) => {
      const denied = judgeBinding(call)
      if (denied !== undefined) return denied
      const locked = mayTouch(call)
      // What is not bound is unbound, whoever asks.
      if (locked !== undefined) return isBound(exchanges.listBindings(vhost), call) ? locked : true
      return exchanges.unbind(vhost, call)
    },
    declareQueue: async (given) => {
      const call = desk.named(given)
      if ('refused' in call) return call
      const denied = judge('configure', 'queue', call.name)
      return denied ?? desk.declare(vhost, owner, call, () => judgeSource(call, judge) ?? judgeDeadLetters(call, judge))
    },
    checkQueue: async (name) =>
      anyOf((operation, one) => judge(operation, 'queue', one), name) ?? (await desk.check(vhost, owner, name)),
    deleteQueue: async (name, only) =>
      judge('configure', 'queue', name) ?? (await desk.delete(vhost, owner, name, only)),
    purgeQueue: async (name) => judge('read', 'queue', name) ?? (await desk.purge(vhost, owner, name)),
    rewindQueue: async (name, to) => judge('configure', 'queue', name) ?? (await desk.rewind(vhost, owner, name, to)),
    openChannel: (sink) => new AuthorisedChannel(rooms.openChannel(channelIdentity, sink), judge),
    storagePressure: () => rooms.storagePressure(),
    watchPressure: (changed) => rooms.watchPressure(changed),
    redrive: async (call) =>
      judge('read', 'queue', call.source) ??
      desk.mayTouch(vhost, owner, call.source) ??
      (await rooms.redrive.step(
        vhost,
        call,
        (target) => judge('write', 'queue', target) ?? desk.mayTouch(vhost, owner, target),
      )),
    listQueues: async () => desk.list(vhost).filter((queue) => judge('describe', 'queue', queue.name) === undefined),
    describeQueue: async (name) => judge('describe', 'queue', name) ?? (await desk.describe(vhost, name)),
    listExchanges: () => operators('describe') ?? exchanges.listExchanges(vhost),
    listBindings: () => operators('describe') ?? exchanges.listBindings(vhost),
    listPolicies: () => operators('describe') ?? exchanges.listPolicies(vhost),
    setPolicy: async (policy, isOperators) =>
      operators('alter') ?? (await exchanges.setPolicy(vhost, policy, isOperators)),
    deletePolicy: async (name, isOperators) =>
      operators('alter') ?? (await exchanges.deletePolicy(vhost, name, isOperators)),
    close: () => desk.closeOwner(owner),
  }
}

const isBound = (bindings: readonly BindCall[], call: BindCall): boolean =>
  bindings.some(
    (one) =>
      one.source === call.source &&
      one.destination === call.destination &&
      one.destinationKind === call.destinationKind &&
      one.routingKey === call.routingKey,
  )

/** A passive declare needs any permission. */
function anyOf(judge: (operation: Operation, name: string) => Refusal | undefined, name: string): Refusal | undefined {
  return judge('read', name) && judge('write', name) && judge('configure', name)
}

/** Who has a ledger over another's log reads it. */
function judgeSource(call: { readonly arguments: FieldTable }, judge: JudgeQueues): Refusal | undefined {
  const source = fieldText(findField(call.arguments, 'x-log'))
  return source === undefined ? undefined : judge('read', 'queue', source)
}

/** Dead letters leave the queue and enter an exchange or a topic: both must be the client's to use. */
function judgeDeadLetters(
  call: { readonly name: string; readonly arguments: FieldTable },
  judge: JudgeQueues,
): Refusal | undefined {
  const exchange = fieldText(findField(call.arguments, 'x-dead-letter-exchange'))
  const topic = fieldText(findField(call.arguments, 'x-dead-letter-topic'))
  if (topic !== undefined) return judge('read', 'queue', call.name) ?? judge('write', 'queue', topic)
  if (exchange === undefined) return undefined
  return judge('read', 'queue', call.name) ?? judge('write', 'exchange', exchangeName(exchange))
}

/** What an exchange cannot route goes to its alternate. */
function judgeAlternate(
  call: DeclareExchangeCall,
  isThere: boolean,
  judge: (operation: Operation, name: string) => Refusal | undefined,
): Refusal | undefined {
  const alternate = fieldText(findField(call.arguments, 'alternate-exchange'))
  if (isThere || alternate === undefined) return undefined
  return judge('read', call.name) ?? judge('write', alternate)
}

/** A channel whose publishes and consumers are authorised. What was allowed last is not asked again for each message. */
class AuthorisedChannel implements Channel {
  readonly #channel: Channel
  readonly #judge: JudgeQueues
  #writes: string | undefined

  constructor(channel: Channel, judge: JudgeQueues) {
    this.#channel = channel
    this.#judge = judge
  }

  publish(publication: Publication): Published {
    if (publication.exchange !== this.#writes) {
      const denied = this.#judge('write', 'exchange', exchangeName(publication.exchange))
      if (denied !== undefined) return denied
      this.#writes = publication.exchange
    }
    return this.#channel.publish(publication)
  }

  async consume(call: ConsumeCall): Promise<Consumer | Refusal> {
    return this.#judge('read', 'queue', call.queue) ?? this.#channel.consume(call)
  }

  cancel(consumerTag: string): Promise<void> {
    return this.#channel.cancel(consumerTag)
  }

  async get(queue: string, noAck: boolean): Promise<Got | undefined | Refusal> {
    return this.#judge('read', 'queue', queue) ?? this.#channel.get(queue, noAck)
  }

  acknowledge(tag: number, multiple: boolean): true | Refusal {
    return this.#channel.acknowledge(tag, multiple)
  }

  reject(tag: number, multiple: boolean, requeue: boolean, counts: boolean): true | Refusal {
    return this.#channel.reject(tag, multiple, requeue, counts)
  }

  recover(): void {
    this.#channel.recover()
  }

  setPrefetch(count: number, scope: 'consumer' | 'channel'): void {
    this.#channel.setPrefetch(count, scope)
  }

  setFlow(active: boolean): void {
    this.#channel.setFlow(active)
  }

  beginTransactions(): void {
    this.#channel.beginTransactions()
  }

  commit(): Promise<true | Refusal> {
    return this.#channel.commit()
  }

  rollback(): void {
    this.#channel.rollback()
  }

  resume(): void {
    this.#channel.resume()
  }

  close(): void {
    this.#channel.close()
  }
}
