// The parts of queues/ as they see one another: who asks whom for what.
// Promises: interfaces only, so that no file of the folder needs to know another's insides and no circle arises.
// Does not know: protocols, engines.

import type { FieldTable } from '../../base/fields.ts'
import type { Decision, MachineRecord } from '../../log/machine.ts'
import type { AppendEntry, LogId, TopicId } from '../../log/store.ts'
import type { Topic } from '../catalog.ts'
import type { CancelReason, Receipt } from '../queue-door.ts'
import type { Refusal } from '../errors.ts'
import type { BindingFacts, ExchangeFacts, QueuePolicy } from './facts.ts'
import type { SharedBatch } from './messages/shared-batch.ts'

// --- routing ------------------------------------------------------------------------------------------------------

/** What routing may look at beside names: asked only by exchanges and headers that need it. */
export interface RoutedMessage {
  /** Property flags and list, as published. */
  readonly properties: Buffer
}

/** Names of queues, each once; possibly the very same array for the same question. */
export type Destinations = readonly string[]

export interface Router {
  /** Refused: no such exchange, internal exchange. `fromBroker`: dead letters may go through internal exchanges. */
  route(
    vhost: string,
    exchange: string,
    routingKeys: readonly string[],
    message: RoutedMessage,
    fromBroker: boolean,
  ): Destinations | Refusal
}

/** Messages that wait before they are routed. */
export interface DelaysPart {
  /** Where a message published to a delayed exchange waits, as names of queues; undefined: it goes on at once. */
  destinationsFor(exchange: ExchangeFacts, properties: Buffer): Destinations | undefined
}

/** Where the cursors of a binding begin: an offset for each partition of its exchange's topic, of the one it was then. */
export interface CursorStarts {
  readonly topic: TopicId
  readonly offsets: readonly number[]
}

/** Exchanges of type x-log as the desk of exchanges knows them: who makes their topics, and their bindings' cursors. */
export interface LogExchanges {
  /** Makes the exchange, and its topic with it if there is none. */
  declare(facts: ExchangeFacts): Promise<true | Refusal>
  /** Deletes it with its topic; undefined: the topic is more than that and stays. */
  deleteTopic(facts: ExchangeFacts): Promise<true | Refusal> | undefined
  /** As the topic is now, after all that was published before. */
  findStarts(binding: BindingFacts): Promise<CursorStarts | Refusal>
  /**
   * The number of a new binding's cursors, and what makes them durable, to be appended with the binding. undefined: the
   * topic is another by now.
   */
  begin(
    binding: BindingFacts,
    starts: CursorStarts,
    isDurable: boolean,
  ): { number: number; decision: Decision } | undefined
  /** That is committed. */
  begun(number: number, starts: CursorStarts): void
  /** What forgets the cursors of these bindings, to be appended with their removal; undefined: they have none. */
  forget(bindings: Iterable<CopyingBinding>): Decision | undefined
  /** That is committed. */
  forgotten(bindings: Iterable<CopyingBinding>): void
}

export interface CopyingBinding extends BindingFacts {
  /** The number of its cursors; 0: it has none. */
  readonly cursor: number
}

// --- ledgers ------------------------------------------------------------------------------------------------------

/** A ledger by the log it is over and its number there (0: the queue's own). */
export interface LedgerId {
  readonly log: LogId
  readonly number: number
}

export type ClosedReason =
  | 'acked'
  | 'rejected'
  | 'expired'
  | 'maxlen'
  | 'deliveryLimit'
  | 'purged'
  | 'malformed'
  | 'gap'
  | 'retention'
  | 'control'
  | 'filtered'
  | 'copied'

/** A run of messages of one priority level. May be one object used again. */
export interface BatchNote {
  readonly base: number
  readonly count: number
  /** 0 to levels - 1. What no note speaks of is of level 0 and does not expire by itself. */
  readonly level: number
  /** The earliest time, ms since 1970, at which one of them expires by its own expiration; undefined: none does. */
  readonly earliestExpiryMs: number | undefined
}

/** Offsets of which one or more may be due. May be one object used again. */
export interface ExpiryBlock {
  from: number
  /** The first offset behind it. */
  to: number
  earliestExpiryMs: number
}

/**
 * What became of each offset of one log, for one queue. An offset is ready, acquired (handed out, unsettled) or closed;
 * offsets at or above `end` (what the log has committed) are not known yet.
 */
export interface LedgerPart {
  readonly id: LedgerId
  readonly isVolatile: boolean
  /** All below is closed. */
  readonly floor: number
  /** The floor as it is committed: where the log may be trimmed. */
  readonly committedFloor: number
  /** Offsets below it are known: ready, acquired or closed. */
  readonly end: number
  readonly ready: number
  readonly acquired: number
  /** Called after what changed was committed, at most once an append: closed offsets, most often a higher floor. */
  onCommitted: (() => void) | undefined
  /**
   * Called after an append was refused and the machine log was read again: what is closed is what the log says; what was
   * closed in memory only is ready again (and was handed out); what is acquired stays so. Counts may have changed.
   */
  onReplayed: (() => void) | undefined
  /** The log has committed up to here; what is new is ready. Lower than before is no fault and changes nothing. */
  extend(end: number): void
  /**
   * Only with priorities or expirations. Told before the append of the batch and appended with it (LedgersPart.append),
   * nothing of it can be lost; told when the batch is committed already, a crash may lose it: see notedEnd.
   */
  note(note: BatchNote): void
  /** All below was looked at for notes: for those who tell notes of batches that are committed already. */
  noted(to: number): void
  /** As stored, possibly a few thousand lower than noted() said last: where to look again after a start. */
  readonly notedEnd: number
  /** The next offset to hand out: the highest level's lowest ready offset; undefined: nothing is ready. */
  peek(): number | undefined
  /** Acquires what peek gave, or any other ready offset. True: it was handed out before (see wasHandedOut). */
  acquire(offset: number): boolean
  /** Whether the ready offset was handed out before (in this run, or below the mark of the last). */
  wasHandedOut(offset: number): boolean
  /** How often it came back in a way that counts. */
  deliveryCount(offset: number): number
  /** Acquired → closed. False: it was not acquired. */
  acknowledge(offset: number): boolean
  /** Acquired → ready, at its place. `counts` adds to the delivery count. Not acquired: nothing happens. */
  giveBack(offset: number, counts: boolean): void
  /** An acquired one came back in a way that counts, and stays acquired. */
  countReturn(offset: number): void
  /** Those that came back in a way that counts, in no order; undefined: none did. */
  counted(): Float64Array | undefined
  /** Ready or acquired → closed. False: it is not known yet, or closed already. */
  close(offset: number, reason: ClosedReason): boolean
  /** Closes everything ready below `below`, of all or from an offset on; answers how many. */
  closeReady(below: number, reason: ClosedReason, from?: number): number
  /** Closes everything below `below`, acquired or not: the log was trimmed. Answers how many. */
  closeBelow(below: number, reason: ClosedReason): number
  /** The lowest ready offset at or after `from`, whatever its level. */
  nextReady(from: number): number | undefined
  nextAcquired(from: number): number | undefined
  /** How many are ready or acquired in [from, to). */
  countOpen(from: number, to: number): number
  isAcquired(offset: number): boolean
  isClosed(offset: number): boolean
  /** Whether every offset of a stored batch, [from, to), is closed: such a batch may be rewritten away. */
  isClosedThroughout(from: number, to: number): boolean
  /** When the first expiration may be due; undefined: none is known. */
  readonly nextExpiryMs: number | undefined
  /** Calls `see` with each block that may hold something due; answer by reprice() once it was looked at. */
  due(nowMs: number, see: (block: ExpiryBlock) => void): void
  /** The earliest expiration left in the block that holds `offset`; undefined: none. */
  reprice(offset: number, earliestExpiryMs: number | undefined): void
}

/** What one ledger has closed of its log, whether it is open or only stored. Of offsets the log has committed. */
export interface LogClosings {
  /** All below is closed, and that is committed. */
  readonly committedFloor: number
  /** The first at or after `from` that is not closed: as high as one likes, it need not exist. */
  nextOpen(from: number): number
  /** The first at or after `from` that is closed; Infinity: none. */
  nextClosed(from: number): number
  /** How many in [from, to) are not closed. */
  countOpen(from: number, to: number): number
}

/**
 * Acquired offsets that an append closes together with what it stores elsewhere: acquired until it is committed, closed
 * then, acquired still when it fails.
 */
export interface LedgerClosing {
  readonly ledger: LedgerPart
  readonly offsets: readonly number[]
  readonly reason: ClosedReason
}

export interface LedgersPart {
  /**
   * The ledger, as the machine log says; made when new, with everything below `start` closed. `levels`: how many
   * priority levels. `isVolatile`: of a scratch log, never written. `neutral`: with which level stands what nothing is
   * said of; the last level is then below all others. Open already: the same object.
   */
  open(id: LedgerId, start: number, levels: number, isVolatile: boolean, neutral?: number): LedgerPart
  /** What is closed in a ledger, open or not; nothing, when none is known by that id. Good for one turn. */
  closings(id: LedgerId): LogClosings
  /** The same of those over a log that are being forgotten: they may yet stay. */
  closingsLeaving(log: LogId): readonly LogClosings[]
  /** Resolves when there are none of those. */
  settledLeaving(log: LogId): Promise<void>
  /** Whether messages of it expire by their own expiration: known of ledgers that are not open too. */
  hasExpirations(id: LedgerId): boolean
  /** In memory no more; what is stored of it stays. For queues that fell asleep: nothing is acquired. */
  release(id: LedgerId): void
  /**
   * Deleted with its queue: forgotten in memory, and the records that forget it durably, for the caller to append with
   * its own in the same turn (kind: this machine). None when nothing of it is stored. Refused, that append leaves the
   * ledger as it was; committed, it is told by forgotten().
   */
  recordsForForgotten(id: LedgerId): readonly MachineRecord[]
  forgotten(id: LedgerId): void
  /**
   * A new ledger over a log: everything below `start` is closed. Known at once, and durable by the records, which the
   * caller appends with its own in the same turn. A start of 0 needs none.
   */
  recordsForStart(id: LedgerId, start: number): readonly MachineRecord[]
  /** What recordsForStart() gave is committed: nothing below `start` is held by it. */
  started(id: LedgerId, start: number): void
  /** Writes what is dirty now: a confirm or an answer that follows may be taken for a promise of it. */
  flush(): void
  /**
   * What is dirty in any ledger and `alongside`, in one atomic append; without a call all of a turn is one append at its
   * end. Resolves at the commit. What is closed in the same turn step before a refused append is ready again after it.
   */
  append(alongside: readonly AppendEntry[]): Promise<void>
  /** As append(); the closings are part of it, and take effect at its commit or not at all. */
  appendClosing(alongside: readonly AppendEntry[], closings: readonly LedgerClosing[]): Promise<void>
}

// --- queues at run time -------------------------------------------------------------------------------------------

/** A message to be stored. The object may be used again; slices are copied during the call. */
export interface NewMessage {
  exchange: string
  routingKey: string
  properties: Buffer
  body: readonly Buffer[]
  bodyBytes: number
  /** Its x-death headers were written by us: stored with it, since a client may publish such headers too. */
  isDeadLetter: boolean
}

/** What is acquired by a consumer's side: a channel, or whoever else gives messages out. */
export interface QueueConsumer {
  readonly tag: string
  readonly priority: number
  readonly noAck: boolean
  readonly isExclusive: boolean
  /** Most unsettled deliveries; 0: no limit of its own. */
  readonly prefetch: number
  /** Of basic.consume: where to begin in a stream, filters. */
  readonly arguments: FieldTable
  /** Whether it may be given one more now: credit, flow, and room in its socket. */
  readonly canTake: boolean
  /** The message is valid during the call only. With noAck the queue has closed it already. */
  deliver(message: StoredMessage): void
  cancelled(reason: CancelReason): void
}

/** A message read from its log. The object is used again; slices are valid during the call only. */
export interface StoredMessage {
  lane: LanePart
  offset: number
  redelivered: boolean
  exchange: Buffer
  routingKey: Buffer
  properties: Buffer
  body: Buffer
  isDeadLetter: boolean
  /** Partition and offset stand at the end of its headers: written when it was read, they are no part of it. */
  isPlaced: boolean
}

/** Which log a lane reads, and by which ledger. */
export interface LaneSource {
  /** Whose log it is: the queue's own topic, or the one that a further ledger is over. */
  readonly topic: Topic
  readonly partition: number
  /** The ledger's number over that log; 0: the log's own. */
  readonly ledger: number
  /** The ledger is never written. */
  readonly isVolatile: boolean
}

/** One log of a queue with its ledger: what a delivery comes from, and is settled with. */
export interface LanePart {
  readonly queue: QueuePart
  /** Whose log it is: the queue's own, or the one that a further ledger is over. */
  readonly topic: Topic
  /** Of the log. No two lanes of a queue that are not void have the same. */
  readonly partition: number
  /** The queue is gone, or goes on with another ledger over this log: settling says nothing to anybody any more. */
  readonly isVoid: boolean
  acknowledge(offset: number): void
  giveBack(offset: number, counts: boolean): void
  /** Dropped, or dead-lettered if the queue says where. */
  reject(offset: number): void
  /** Whether a message of the log is one of the queue's at all; without it all are. */
  takes?(message: StoredMessage): boolean
  /** Closes acquired offsets as part of an append that the caller makes in this turn (LedgersPart.appendClosing). */
  closings(offsets: readonly number[], reason: ClosedReason): readonly LedgerClosing[]
  /**
   * Reads messages by ascending offset, whatever became of them; those that cannot be read any more are passed over.
   * A message is valid during its call only. `raw`: for one in a batch that lies, all the batch's bytes are the body.
   * Refused: not all were read, whoever is missing.
   */
  readEach(
    offsets: readonly number[],
    see: (message: StoredMessage) => void,
    raw?: boolean,
  ): Promise<Refusal | undefined>
}

/** A lane whose messages may be moved elsewhere. */
export interface MovableLane extends LanePart {
  /** Below it all is known. */
  readonly end: number
  /** Offsets from `from` on and below `below` that nobody holds, ascending, at most so many. */
  readyFrom(from: number, below: number, messagesMax: number): number[]
  /** Out of everybody's reach until it is closed or let go. False: it is not ready any more. */
  hold(offset: number, bodyBytes: number): boolean
  letGo(offset: number): void
}

/** A queue or topic whose messages may be moved elsewhere. */
export interface MovablePart extends QueuePart {
  readonly lanes: readonly MovableLane[]
}

/** Messages on their way into a queue, which does not know of them yet. */
export interface Ahead {
  readonly messages: number
  readonly bytes: number
}

/** One queue at run time: its lanes, and who is given what they hold. */
export interface QueuePart {
  readonly topic: Topic
  readonly policy: QueuePolicy
  readonly isDeleted: boolean
  /** By partition; those that are void are gone from here. */
  readonly lanes: readonly LanePart[]
  /** Every log can be appended to, counts are known. Opens them if need be. */
  ready(): Promise<Refusal | undefined>
  readonly isReady: boolean
  /** As ready(), but logs that cannot be opened now are done without; refused when none can. */
  opened(): Promise<Refusal | undefined>
  /** Ready messages. Valid once ready. */
  readonly messages: number
  /** Handed out, unsettled; those that wait for their next try are not among them. */
  readonly unacknowledged: number
  /** Came back, and wait until they are ready again. */
  readonly delayed: number
  readonly consumers: number
  /** Stores one message with the others of this turn. Opens the queue if need be. `shared`: other queues store it too. */
  add(message: NewMessage, shared?: SharedBatch): Receipt | Refusal
  /** Several messages as entries of one atomic append, placed after all that was added before. Only when ready. */
  entriesFor(messages: readonly NewMessage[]): readonly AppendEntry[]
  /** The outcome of the append that carried the entries. */
  appended(outcome: Promise<void>): void
  /**
   * Whether add() would take a message: false over its limit when that refuses (not when it drops the head). `ahead`:
   * what goes into it by the same append, before this one.
   */
  accepts(bodyBytes: number, ahead?: Ahead): boolean
  /** Resolves when all that was added before is stored or refused. */
  settled(): Promise<void>
  /** Registers a consumer; nothing is delivered before resume(). */
  consume(consumer: QueueConsumer): Refusal | undefined
  cancel(consumer: QueueConsumer): void
  /** Something changed for its consumers: deliver what can be delivered, at the end of this turn. */
  resume(): void
  /** The next message for get(), acquired (or closed when noAck); undefined: empty. Slices are the caller's. */
  take(noAck: boolean): Promise<StoredMessage | undefined | Refusal>
  /** Closes all ready messages. */
  purge(): Promise<number | Refusal>
  /** Arguments or policies changed. */
  setPolicy(policy: QueuePolicy): void
  /** The queue is gone: consumers are told, waiting receipts count as stored. */
  drop(reason: CancelReason): void
  /** Nothing under way any more; for the broker's end. */
  close(): Promise<void>
}

/** Numbers that only rise, whatever happens to the process. */
export interface EpochsPart {
  /** Higher than all before, those of earlier runs included. undefined: not now; `ready` is called to ask again. */
  next(ready: () => void): number | undefined
}

/** Queues at run time, by vhost and name. */
export interface QueuesPart {
  find(vhost: string, name: string): QueuePart | undefined
  /** Where messages may be stored by that name: the queue, or the topic that is none. It has no ledger then. */
  findLog(vhost: string, name: string): QueuePart | undefined
  /** The topic or queue of that name as a stream: what consumes from it takes nothing away. */
  findStream(vhost: string, name: string): QueuePart | undefined
}

/** As RabbitMQ has them in x-death, and `malformed` of our own: a batch of Kafka's clients that lies. */
export type DeathReason = 'rejected' | 'expired' | 'maxlen' | 'delivery_limit' | 'malformed' | 'retention'

/** Messages leave a queue for its dead letter exchange: one atomic append of their copies and the closing. */
export interface DeadLettering {
  /** The offsets are acquired and stay so until the append is decided. Never fails: retried while there is no room. */
  deadLetter(lane: LanePart, offsets: readonly number[], reason: DeathReason): void
  /** A message that the queue did not take (reject-publish-dlx). Its slices are copied during the call. */
  deadLetterRefused(queue: QueuePart, message: NewMessage): void
}
