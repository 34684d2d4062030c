// Dead letters sent back: out of a queue or topic to where they came from, or to wherever one says, a few at a time.
// Promises: from a queue copy and acknowledgement are one atomic append, so each is moved exactly once; from a topic that
// is no queue they are copied. What cannot go where it should stays. A step remembers nothing: its answer says where to
// go on, and what comes later than the first step is none of its business.
// Does not know: who asks, rates, what a message is when it is stored again (redrive-letter.ts).

import { assert } from '../../../base/assert.ts'
import { MiB } from '../../../base/limits.ts'
import type { Clock } from '../../../base/world.ts'
import { AppendFailure, type AppendEntry } from '../../../log/store.ts'
import { isRefusal, refuse, type Refusal } from '../../errors.ts'
import type { RedriveCall, RedrivePlace, RedriveSample, RedriveStep } from '../../queue-door.ts'
import type {
  Ahead,
  LedgersPart,
  MovableLane,
  MovablePart,
  NewMessage,
  QueuePart,
  QueuesPart,
  StoredMessage,
} from '../parts.ts'
import { takesToo } from '../targets.ts'
import { letterFilter, letterOf, redriven, type LetterFilter } from './redrive-letter.ts'

export interface RedriveHost {
  readonly clock: Pick<Clock, 'endOfTurn'>
  readonly queues: Pick<QueuesPart, 'findLog'>
  readonly ledgers: Pick<LedgersPart, 'appendClosing'>
  findMovable(vhost: string, name: string): MovablePart | undefined
  /** Why nothing may be stored now (a full disk); undefined: it may. */
  produceRefusal(): Refusal | undefined
}

/** Messages that one step moves, and looks at. */
export const redriveMovedMax = 512
const lookedMax = 2048
/** Messages that are looked at between two turns of the event loop. */
const lookedATurn = 64
/** Bytes of bodies that one step moves, but for a single larger one. */
const movedBytesMax = 4 * MiB
const samplesMax = 10

/** Asked about each target before anything goes there. */
export type MayWrite = (name: string) => Refusal | undefined

interface Going {
  readonly offset: number
  readonly to: string
  readonly message: NewMessage
}

/** What a look found. */
interface Found {
  readonly going: Going[]
  readonly samples: RedriveSample[]
  looked: number
  filtered: number
  stranded: number
  bytes: number
  /** Where the look had enough. */
  stoppedAt: number | undefined
}

export class Redrive {
  readonly #host: RedriveHost

  constructor(host: RedriveHost) {
    this.#host = host
  }

  async step(vhost: string, call: RedriveCall, mayWrite: MayWrite): Promise<RedriveStep | Refusal> {
    const filter = letterFilter(call.filters)
    if (isRefusal(filter)) return filter
    const source = this.#host.findMovable(vhost, call.source)
    if (source === undefined) return missing(vhost, call.source)
    const refused = this.#judgeTarget(vhost, call, mayWrite) ?? (await source.ready())
    if (refused !== undefined) return refused
    const place = call.place ?? firstPlace(source, call.from)
    const lane = source.lanes.at(place.lane)
    if (lane === undefined || place.lane >= place.ends.length) return emptyStep(undefined)
    const offsets = lane.readyFrom(place.from, place.ends[place.lane], lookedMax)
    if (offsets.length === 0) return emptyStep(nextLane(place, source))
    const found = newFound()
    // Whoever asks for few has few more read than those.
    const many = Math.min(lookedATurn, Math.max(8, call.messagesMax + 1))
    for (let at = 0; at < offsets.length && found.stoppedAt === undefined; at += many) {
      if (at > 0) await new Promise<void>((done) => this.#host.clock.endOfTurn(done))
      const see = (stored: StoredMessage): void => look(stored, lane, call, filter, found)
      const unread = await lane.readEach(offsets.slice(at, at + many), see)
      if (unread !== undefined) return unread
    }
    const next = { ...place, from: found.stoppedAt ?? (offsets.at(-1) ?? 0) + 1 }
    if (call.isDryRun) return { ...counted(found), moved: found.going.length, notTaken: 0, next }
    return this.#move(vhost, source, lane, found, next, mayWrite)
  }

  #judgeTarget(vhost: string, { source, target }: RedriveCall, mayWrite: MayWrite): Refusal | undefined {
    if (target === undefined) return undefined
    if (target === source) return refuse('invalidArgument', `${source} cannot be sent back into itself`)
    const denied = mayWrite(target)
    if (denied !== undefined || this.#host.queues.findLog(vhost, target) !== undefined) return denied
    return this.#host.findMovable(vhost, target) === undefined
      ? missing(vhost, target)
      : refuse('invalidArgument', `nothing can be sent to '${target}': it is a ledger over another topic's log`)
  }

  async #move(
    vhost: string,
    source: MovablePart,
    lane: MovableLane,
    found: Found,
    next: RedrivePlace,
    mayWrite: MayWrite,
  ): Promise<RedriveStep | Refusal> {
    const full = found.going.length === 0 ? undefined : this.#host.produceRefusal()
    if (full !== undefined) return full
    const targets = new Map<string, QueuePart | undefined>()
    for (const { to } of found.going) {
      if (targets.has(to)) continue
      const target = this.#host.queues.findLog(vhost, to)
      targets.set(to, target)
      const refused = target === undefined ? undefined : (mayWrite(to) ?? (await target.ready()))
      if (refused !== undefined) return refused
    }
    // From here on to the append all is decided in one turn.
    if (source.isDeleted) return missing(vhost, source.topic.name)
    const { entries, parts, offsets, stranded, notTaken } = this.#gather(lane, found.going, targets)
    const step = { ...counted(found), moved: offsets.length, stranded: found.stranded + stranded, notTaken, next }
    if (offsets.length === 0) return step
    const outcome = this.#host.ledgers.appendClosing(entries, lane.closings(offsets, 'acked'))
    for (const part of parts) part.appended(outcome)
    try {
      await outcome
    } catch (error) {
      if (!(error instanceof AppendFailure)) throw error
      for (const offset of offsets) lane.letGo(offset)
      return refuse('storageFailed', `nothing more could be moved: ${error.message}`)
    }
    for (const offset of offsets) lane.acknowledge(offset)
    return step
  }

  /** Holds what goes, and makes the entries of its copies. */
  #gather(lane: MovableLane, going: readonly Going[], targets: ReadonlyMap<string, QueuePart | undefined>) {
    const byPart = new Map<QueuePart, NewMessage[]>()
    const ahead = new Map<QueuePart, Ahead>()
    const offsets: number[] = []
    let [stranded, notTaken] = [0, 0]
    for (const { offset, to, message } of going) {
      const target = targets.get(to)
      if (target === undefined || target.isDeleted) stranded++
      else if (!target.isReady || !takesToo(target, message.bodyBytes, ahead)) notTaken++
      else if (lane.hold(offset, message.bodyBytes)) {
        offsets.push(offset)
        const messages = byPart.get(target)
        if (messages === undefined) byPart.set(target, [message])
        else messages.push(message)
      }
    }
    const entries: AppendEntry[] = []
    for (const [part, messages] of byPart) entries.push(...part.entriesFor(messages))
    assert(entries.length > 0 || offsets.length === 0, 'what is held has copies')
    return { entries, parts: new Set([lane.queue, ...byPart.keys()]), offsets, stranded, notTaken }
  }
}

function look(stored: StoredMessage, lane: MovableLane, call: RedriveCall, filter: LetterFilter, found: Found): void {
  // What a further ledger's filter does not let in was never in the queue.
  if (found.stoppedAt !== undefined || lane.takes?.(stored) === false) return
  const letter = letterOf(stored)
  if (!filter(letter)) {
    found.looked++
    found.filtered++
    return
  }
  const isFull = found.going.length >= Math.min(call.messagesMax, redriveMovedMax)
  if (isFull || (found.bytes > 0 && found.bytes + stored.body.length > movedBytesMax)) {
    found.stoppedAt = stored.offset
    return
  }
  found.looked++
  const to = call.target ?? letter.cameFrom
  const { exchange, routingKey, reason, queue } = letter
  if (found.samples.length < samplesMax)
    found.samples.push({ partition: lane.partition, offset: stored.offset, exchange, routingKey, reason, queue, to })
  if (to === undefined || to === call.source) {
    found.stranded++
    return
  }
  found.bytes += stored.body.length
  found.going.push({ offset: stored.offset, to, message: redriven(stored, letter) })
}

const newFound = (): Found => ({
  going: [],
  samples: [],
  looked: 0,
  filtered: 0,
  stranded: 0,
  bytes: 0,
  stoppedAt: undefined,
})

const counted = ({ looked, filtered, stranded, samples }: Found) => ({ looked, filtered, stranded, samples })

const emptyStep = (next: RedrivePlace | undefined): RedriveStep => ({
  ...counted(newFound()),
  moved: 0,
  notTaken: 0,
  next,
})

const firstPlace = ({ lanes }: MovablePart, from: number): RedrivePlace => ({
  lane: 0,
  from,
  begin: from,
  ends: lanes.map((lane) => lane.end),
})

/** undefined: that was the last. */
function nextLane(place: RedrivePlace, { lanes }: MovablePart): RedrivePlace | undefined {
  const lane = place.lane + 1
  return lane < Math.min(place.ends.length, lanes.length) ? { ...place, lane, from: place.begin } : undefined
}

const missing = (vhost: string, name: string): Refusal =>
  refuse('queueMissing', `no queue or topic '${name}' in vhost '${vhost}'`)
