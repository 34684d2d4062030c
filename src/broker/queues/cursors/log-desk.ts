// The desk of exchanges of type x-log: their topics made and deleted with them, and where their bindings begin.
// Promises: exchange and new topic are one append, so are a binding and its beginning, a removal and the cursors' end. A
// topic that was there before, or is a queue as well, stays when the exchange goes.
// Does not know: judgements of calls (exchange-desk.ts), how is copied (cursor.ts).

import type { Decision, MachineLog, MachineRecord } from '../../../log/machine.ts'
import { AppendFailure, logId } from '../../../log/store.ts'
import type { Catalog, Topic } from '../../catalog.ts'
import { isRefusal, refuse, type Refusal } from '../../errors.ts'
import type { Partitions } from '../../streams/partitions.ts'
import type { Topics } from '../../streams/topics.ts'
import { plannedLog } from '../desk/queue-plans.ts'
import type { World } from '../../../base/world.ts'
import { logPartitionsOf } from '../exchanges/log-exchange.ts'
import { exchangeRecord } from '../exchanges/topology-records.ts'
import type { Topology } from '../exchanges/topology.ts'
import type { BindingFacts, ExchangeFacts } from '../facts.ts'
import type { Ledgers } from '../ledgers/ledgers.ts'
import type { CopyingBinding, CursorStarts, LedgerId, LogExchanges, QueuesPart } from '../parts.ts'
import { startIn } from '../stream/start-in-log.ts'
import { bindingStartOf } from '../stream/stream-start.ts'
import type { Cursors } from './cursors.ts'

/** Ledgers of queues are numbered from 0: those of cursors begin where none of theirs ever will. */
export const cursorNumberMin = 2 ** 20

export interface LogDeskHost {
  readonly world: World
  readonly catalog: Catalog
  readonly machineLog: MachineLog
  readonly topology: Topology
  readonly ledgers: Ledgers
  readonly partitions: Partitions
  readonly queues: QueuesPart
  readonly topics: Pick<Topics, 'createLog' | 'delete'>
}

export class LogDesk implements LogExchanges {
  readonly #host: LogDeskHost
  readonly #cursors: Cursors
  /** The greatest number given to a binding; undefined: nobody looked yet. */
  #last: number | undefined
  /** Ledgers of bindings whose end is decided, by binding. */
  readonly #leaving = new Map<string, { readonly topic: Topic; readonly ids: readonly LedgerId[] }>()

  constructor(host: LogDeskHost, cursors: Cursors) {
    this.#host = host
    this.#cursors = cursors
  }

  // --- exchanges ---

  async declare(facts: ExchangeFacts): Promise<true | Refusal> {
    const { catalog, topics, topology } = this.#host
    const { vhost, name } = facts
    for (;;) {
      const topic = catalog.named(vhost, name)
      if (topic !== undefined) return this.#attach(facts, topic)
      const decision = { machine: topology, records: [exchangeRecord(facts)] }
      const made = await topics.createLog(plannedLog(vhost, name, logPartitionsOf(facts.arguments)), () => [decision])
      if (!isRefusal(made)) return true
      if (made.refused !== 'topicExists') return made
    }
  }

  async #attach(facts: ExchangeFacts, topic: Topic): Promise<true | Refusal> {
    const { machineLog, topology } = this.#host
    const why = whyNotALog(facts, topic)
    if (why !== undefined)
      return refuse('inequivalentDeclaration', `exchange '${facts.name}' in vhost '${facts.vhost}' cannot be: ${why}`)
    // Somebody was faster.
    if (topology.isLog(facts.vhost, facts.name)) return true
    try {
      await machineLog.append(topology, [exchangeRecord(facts)])
      return true
    } catch (error) {
      if (!(error instanceof AppendFailure)) throw error
      return refuse('storageFailed', `The exchange could not be stored: ${error.message}`)
    }
  }

  deleteTopic(facts: ExchangeFacts): Promise<true | Refusal> | undefined {
    const { catalog, topics } = this.#host
    const topic = catalog.named(facts.vhost, facts.name)
    if (topic === undefined || topic.origin === 'kafka' || topic.queue !== undefined) return undefined
    if (catalog.further(topic.id).length > 0) return undefined
    return topics.delete(topic, true).then((refused) => refused ?? true)
  }

  // --- bindings ---

  async findStarts(binding: BindingFacts): Promise<CursorStarts | Refusal> {
    const { catalog, queues, partitions, world } = this.#host
    const { vhost, source } = binding
    const log = queues.findLog(vhost, source)
    if (log === undefined) return missing(binding)
    // What was published before is not from now on.
    const refused = await log.ready()
    if (refused !== undefined) return refused
    await log.settled()
    const topic = catalog.named(vhost, source)
    if (topic === undefined) return missing(binding)
    const start = bindingStartOf(binding, world.clock.nowMs())
    const offsets: number[] = []
    for (let index = 0; index < topic.partitions; index++) {
      const opened = await partitions.of(topic, index)?.open(topic.policy)
      if (opened === undefined) return missing(binding)
      if (isRefusal(opened)) return opened
      offsets.push(await startIn(opened, start, world.clock))
    }
    return { topic: topic.id, offsets }
  }

  begin(
    binding: BindingFacts,
    { topic: topicId, offsets }: CursorStarts,
    isDurable: boolean,
  ): { number: number; decision: Decision } | undefined {
    const { catalog, ledgers, topology } = this.#host
    const topic = catalog.named(binding.vhost, binding.source)
    if (topic?.id !== topicId) return undefined
    if (this.#last === undefined) {
      this.#last = cursorNumberMin - 1
      for (const { cursor } of topology.cursors()) this.#last = Math.max(this.#last, cursor)
    }
    const number = ++this.#last
    if (!isDurable) this.#cursors.startAt(topic, number, offsets)
    const records = isDurable
      ? offsets.flatMap((start, index) => ledgers.recordsForStart({ log: logId(topicId, index), number }, start))
      : []
    return { number, decision: { machine: ledgers, records } }
  }

  begun(number: number, { topic, offsets }: CursorStarts): void {
    for (const [index, start] of offsets.entries())
      this.#host.ledgers.started({ log: logId(topic, index), number }, start)
  }

  forget(bindings: Iterable<CopyingBinding>): Decision | undefined {
    const { ledgers, catalog } = this.#host
    const records: MachineRecord[] = []
    for (const binding of bindings) {
      const topic = binding.cursor === 0 ? undefined : catalog.named(binding.vhost, binding.source)
      if (topic === undefined) continue
      this.#cursors.stop(topic, binding.cursor)
      const ids = ledgersOf(topic, binding.cursor)
      this.#leaving.set(nameOf(binding), { topic, ids })
      for (const id of ids) records.push(...ledgers.recordsForForgotten(id))
    }
    return records.length === 0 ? undefined : { machine: ledgers, records }
  }

  forgotten(bindings: Iterable<CopyingBinding>): void {
    const { ledgers, catalog } = this.#host
    for (const binding of bindings) {
      const left = this.#leaving.get(nameOf(binding))
      if (left === undefined) continue
      this.#leaving.delete(nameOf(binding))
      for (const id of left.ids) ledgers.forgotten(id)
      this.#cursors.ended(left.topic, binding.cursor)
      // What it held may go.
      const topic = catalog.byId(left.topic.id)
      if (topic !== undefined) this.#cursors.closed(topic)
    }
  }
}

const ledgersOf = (topic: Topic, number: number): LedgerId[] =>
  Array.from({ length: topic.partitions }, (_, index) => ({ log: logId(topic.id, index), number }))

const nameOf = ({ vhost, source, cursor }: CopyingBinding): string => `${vhost}\0${source}\0${cursor}`

const missing = ({ vhost, source }: BindingFacts): Refusal =>
  refuse('exchangeMissing', `no exchange '${source}' in vhost '${vhost}'`)

/** Why the topic that is there cannot be an exchange too. */
function whyNotALog(facts: ExchangeFacts, topic: Topic): string | undefined {
  if (topic.over !== undefined) return "the queue of that name is a further ledger over another topic's log"
  if (topic.isVolatile) return 'the queue of that name is not durable'
  const partitions = logPartitionsOf(facts.arguments)
  return partitions === undefined || partitions === topic.partitions
    ? undefined
    : `the topic of that name has ${topic.partitions} partitions, not ${partitions}`
}
