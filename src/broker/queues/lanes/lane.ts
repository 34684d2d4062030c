// One lane of a queue: a log of it, its ledger, what is given out of it and what becomes of that.
// Promises: one that cannot be opened or read is tried again, and says so to its queue alone; once void it says nothing
// to anybody, while what was published to it before is still stored.
// Does not know: other lanes, who is next among consumers, which lane a message goes to.

import type { Timer } from '../../../base/world.ts'
import type { AppendEntry } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import type { Refusal } from '../../errors.ts'
import type { Partition } from '../../streams/partition.ts'
import { Dispatch } from './dispatch.ts'
import type {
  ClosedReason,
  DeadLettering,
  MovableLane,
  LaneSource,
  LedgerClosing,
  NewMessage,
  QueueConsumer,
  QueuePart,
  StoredMessage,
} from '../parts.ts'
import { goneRefusal, QueueLog, type PlacedAt, type QueueTools } from './queue-log.ts'
import { QueueRules } from './queue-rules.ts'

/** What lanes ask of their queue. */
export interface LaneHost {
  readonly tools: QueueTools
  readonly queue: QueuePart
  deadLettering(): DeadLettering
  /** There may be more to give out of it, or to look at. */
  woken(lane: Lane): void
  /** What was published to it in this turn is on its way. */
  flushed(): void
  opened(): void
  counted(): void
  timedOut(consumer: QueueConsumer): void
}

interface Opened {
  readonly dispatch: Dispatch
  readonly rules: QueueRules
}

/** Until a log that could not be opened is tried again. */
const retryMs = 1000

export class Lane implements MovableLane {
  readonly queue: QueuePart
  readonly partition: number
  readonly log: QueueLog
  source: LaneSource
  isVoid = false
  /** Its queue has it among those that may have something to give out. */
  isWaitingForTurn = false
  /** Its queue has it among those to look at when nobody takes any more. */
  isToBeLookedAt = false
  #isTrying = false
  #retry: Timer | undefined
  /** Something would have been stored there, had it been open. */
  #isMissed = false
  #isClosed = false
  readonly #host: LaneHost
  #opened: Opened | undefined

  constructor(host: LaneHost, source: LaneSource, partition: Partition, levels: number) {
    this.#host = host
    this.queue = host.queue
    this.source = source
    this.partition = source.partition
    const logHost = { task: this, changed: (isAnew: boolean) => this.#changed(isAnew) }
    this.log = new QueueLog(host.tools, logHost, () => this.topic, partition, levels, {
      number: source.ledger,
      isVolatile: source.isVolatile,
      neutral: this.queue.policy.priorityDefault,
    })
  }

  get topic(): Topic {
    return this.source.topic
  }

  // --- opening ---

  get isOpen(): boolean {
    return this.#opened !== undefined
  }

  /** It could not be opened, and nothing can be stored there. */
  get isOutOfOrder(): boolean {
    return this.log.isFailing && !this.log.canAppend
  }

  /** Publishers do without it, since it is out of order: it is tried again, without them. */
  passedOver(): void {
    this.#isMissed = true
    if (this.#retry === undefined && !this.#isTrying) this.#tryLater()
  }

  get dispatch(): Dispatch {
    return this.#parts().dispatch
  }

  get rules(): QueueRules {
    return this.#parts().rules
  }

  /** Log and ledger are open; the log can be appended to. */
  async ready(): Promise<Refusal | undefined> {
    if (this.isVoid) return goneRefusal()
    if (this.log.canAppend) return undefined
    const refused = await this.log.open()
    return this.isVoid ? goneRefusal() : refused
  }

  /** For what consumers wait for: tried again until it is open. */
  openForGood(): void {
    if (!this.isOpen) this.#try()
  }

  #try(): void {
    if (this.isVoid || this.#isTrying) return
    this.#isTrying = true
    void this.ready().then((refused) => {
      this.#isTrying = false
      if (refused !== undefined && !this.isVoid) this.#tryLater()
    })
  }

  #tryLater(): void {
    if (this.#isClosed) return
    this.#retry?.cancel()
    this.#retry = this.#host.tools.world.clock.after(retryMs, () => {
      this.#retry = undefined
      const isMissed = this.#isMissed
      this.#isMissed = false
      if (isMissed) this.#try()
      else if (this.queue.consumers > 0) this.openForGood()
    })
  }

  #changed(isAnew: boolean): void {
    if (this.isVoid) return
    if (this.log.isOpen) this.#parts().rules.extended(isAnew)
    this.#host.woken(this)
  }

  #parts(): Opened {
    if (this.#opened !== undefined) return this.#opened
    const { tools } = this.#host
    const { ledger, reading, log } = this.log
    const rules = new QueueRules({
      world: tools.world,
      lane: this,
      ledger,
      reading,
      log,
      writer: tools.writer,
      deadLettering: () => this.#host.deadLettering(),
      flushLater: () => tools.turns.flushLater(this),
      counted: () => this.#host.counted(),
      woken: () => this.#host.woken(this),
      timedOut: (consumer) => this.#host.timedOut(consumer),
    })
    const dispatch = new Dispatch(tools.world, this, ledger, reading, rules, () => this.#host.woken(this))
    this.#opened = { dispatch, rules }
    this.#host.opened()
    return this.#opened
  }

  // --- storing ---

  /** At the end of a turn: appends what it brought, and passes on what leaves. */
  flush(): void {
    this.log.flush()
    if (this.isVoid) return
    this.#opened?.rules.departures.flush()
    this.#host.flushed()
  }

  entriesFor(messages: readonly NewMessage[], placeOf: (message: NewMessage) => PlacedAt): readonly AppendEntry[] {
    this.flush()
    return this.log.entriesFor(messages, placeOf)
  }

  // --- what becomes of messages ---

  acknowledge(offset: number): void {
    if (this.isVoid) return
    this.log.ledger.acknowledge(offset)
    this.#opened?.rules.settled(offset)
  }

  giveBack(offset: number, counts: boolean): void {
    if (this.isVoid) return
    this.#parts().rules.giveBack(offset, counts)
    this.#host.woken(this)
  }

  giveBackFrom(consumer: QueueConsumer): void {
    if (this.#opened === undefined) return
    this.#opened.rules.giveBackFrom(consumer)
    this.#host.woken(this)
  }

  reject(offset: number): void {
    if (!this.isVoid) this.#parts().rules.reject(offset)
  }

  takes(message: StoredMessage): boolean {
    return this.#parts().rules.takes(message)
  }

  get end(): number {
    return this.log.ledger.end
  }

  readyFrom(from: number, below: number, messagesMax: number): number[] {
    const { ledger } = this.log
    const offsets: number[] = []
    for (let at = ledger.nextReady(from); at !== undefined && at < below; at = ledger.nextReady(at + 1)) {
      if (offsets.length === messagesMax) break
      offsets.push(at)
    }
    return offsets
  }

  hold(offset: number, bodyBytes: number): boolean {
    return !this.isVoid && this.rules.hold(offset, bodyBytes)
  }

  letGo(offset: number): void {
    if (this.isVoid) return
    this.rules.letGo(offset)
    this.#host.woken(this)
  }

  closings(offsets: readonly number[], reason: ClosedReason): readonly LedgerClosing[] {
    return [{ ledger: this.log.ledger, offsets, reason }]
  }

  async readEach(
    offsets: readonly number[],
    see: (message: StoredMessage) => void,
    raw = false,
  ): Promise<Refusal | undefined> {
    const refused = await this.ready()
    if (refused !== undefined) return refused
    const isWhole = await this.#parts().dispatch.readEach(offsets, see, raw)
    return isWhole ? undefined : goneRefusal()
  }

  // --- the end ---

  /** The queue is gone: what waits counts as stored. */
  drop(): void {
    this.#leave()
    this.log.drop()
  }

  /** The queue goes on without this lane: what was published to it is stored yet, and settling does nothing. */
  leave(): void {
    this.flush()
    this.#leave()
    this.log.leave()
  }

  #leave(): void {
    this.isVoid = true
    this.close()
  }

  close(): void {
    this.#isClosed = true
    this.#retry?.cancel()
    this.#opened?.dispatch.close()
    this.#opened?.rules.close()
  }
}
