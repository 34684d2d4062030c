// Dead letters: messages that leave a queue for its dead letter exchange or topic, with what happened written on them.
// Promises: copies and closing are one atomic append; until it is decided the messages stay acquired; retried while
// there is no room, or no topic. What goes nowhere (no exchange, no route, a cycle, a full target) is closed and counted.
// Does not know: how queues find the ones that are dead; the headers (death.ts).

import { InvariantError } from '../../../base/assert.ts'
import { MiB } from '../../../base/limits.ts'
import type { Timer, World } from '../../../base/world.ts'
import type { AppendEntry } from '../../../log/store.ts'
import { isRefusal, type Refusal } from '../../errors.ts'
import { firstClosed, takesToo } from '../targets.ts'
import { isCycle, recordDeath, type Dead, type DeathSource, type IsGiven } from './death.ts'
import { isDeadLettered } from '../facts.ts'
import type {
  Ahead,
  ClosedReason,
  DeadLettering,
  DeathReason,
  LanePart,
  LedgersPart,
  NewMessage,
  QueuePart,
  QueuesPart,
  Router,
  StoredMessage,
} from '../parts.ts'

export interface DeadLetterHost {
  readonly world: World
  readonly router: Router
  readonly queues: QueuesPart
  readonly ledgers: LedgersPart
  /** Makes the topic as a produce of a Kafka client would. Refused: it may not, or cannot. */
  makeTopic(vhost: string, name: string): Promise<true | Refusal>
  /** Why nothing may be stored now (a full disk); undefined: it may. */
  produceRefusal(): Refusal | undefined
}

/** One append moves at most so many messages, and so many bytes but for a single larger one. */
const movedMax = 512
const movedBytesMax = 4 * MiB
/** Messages that are read before it is asked how many of them fit. */
const readMax = 32
const retryMsMin = 100
const retryMsMax = 5000

const closedReasons: Readonly<Record<DeathReason, ClosedReason>> = {
  rejected: 'rejected',
  expired: 'expired',
  maxlen: 'maxlen',
  delivery_limit: 'deliveryLimit',
  retention: 'retention',
  malformed: 'malformed',
}

/** A dead letter and where it goes. */
interface Letter {
  /** -1: a publish that its queue refused. */
  readonly offset: number
  readonly message: NewMessage
  readonly targets: readonly QueuePart[]
}

interface Waiting {
  readonly reason: DeathReason
  readonly offsets: number[]
  /** Those before it are moved. */
  at: number
}

/** The dead of one lane, in the order they died. */
interface Line {
  readonly lane: LanePart
  readonly waiting: Waiting[]
  /** How many died, and of how many is done what could be. */
  died: number
  moved: number
  /** Nothing can be done now: it is tried again later. */
  isStuck: boolean
  /** Those who wait until `moved` is so many, or nothing can be done now. */
  readonly watching: { readonly moved: number; readonly done: () => void }[]
}

export class DeadLetters implements DeadLettering {
  readonly #host: DeadLetterHost
  readonly #lines = new Map<LanePart, Line>()
  /** Lines under way. */
  readonly #moving = new Set<Promise<void>>()
  #isClosed = false
  readonly #pauses = new Map<Timer, () => void>()
  /** Topics that are being made for refused publishes, or cannot be for now. */
  readonly #making = new Set<string>()

  constructor(host: DeadLetterHost) {
    this.#host = host
  }

  deadLetter(lane: LanePart, offsets: readonly number[], reason: DeathReason): void {
    let line = this.#lines.get(lane)
    if (line === undefined) {
      line = { lane, waiting: [], died: 0, moved: 0, isStuck: false, watching: [] }
      this.#lines.set(lane, line)
      // All that dies in this turn goes together.
      const begun = line
      this.#host.world.clock.endOfTurn(() => this.#begin(begun))
    }
    line.died += offsets.length
    const last = line.waiting.at(-1)
    if (last?.reason === reason) for (const offset of offsets) last.offsets.push(offset)
    else line.waiting.push({ reason, offsets: [...offsets], at: 0 })
  }

  deadLetterRefused(queue: QueuePart, message: NewMessage): void {
    const topic = this.#topicOf(queue)
    // Its publisher was refused: it is not kept until the topic is there.
    if (queue.policy.deadLetterTopic !== undefined && topic === undefined) {
      void this.#makeSoon(queue, queue.policy.deadLetterTopic)
      return void this.#dropped('noTopic')
    }
    const letter = this.#letterOf(queue, message, 'maxlen', topic)
    if (letter === undefined) return
    this.#host.world.trace.count('deadletters.maxlen')
    // A target that refuses it too does with it what its own overflow says.
    for (const target of letter.targets) target.add(letter.message)
  }

  #begin(line: Line): void {
    const moved = this.#moveAll(line).finally(() => this.#moving.delete(moved))
    this.#moving.add(moved)
  }

  async #moveAll(line: Line): Promise<void> {
    const { lane, waiting } = line
    let retryMs = retryMsMin
    while (waiting.length > 0 && !this.#isClosed && !lane.isVoid) {
      const [{ reason, offsets, at }] = waiting
      const taken = offsets.slice(at, at + movedMax).sort((a, b) => a - b)
      waiting[0].at += taken.length
      if (waiting[0].at === offsets.length) waiting.shift()
      const kept: number[] = []
      const left = await this.#move(lane, taken, reason, kept)
      line.moved += taken.length - left.length - kept.length
      if (left.length > 0) waiting.unshift({ reason, offsets: [...left], at: 0 })
      // Others pass by what its topic does not take.
      if (kept.length > 0) waiting.push({ reason, offsets: kept, at: 0 })
      line.isStuck = left.length + kept.length === taken.length
      tell(line)
      if (!line.isStuck) retryMs = retryMsMin
      else {
        await this.#pause(retryMs)
        retryMs = Math.min(retryMsMax, retryMs * 2)
      }
    }
    this.#lines.delete(lane)
    line.isStuck = true
    tell(line)
  }

  /**
   * Resolves when the few that died until now have been moved, or have to wait: for those who look where dead letters
   * go. undefined: there is nothing to wait for, or too much.
   */
  settled(): Promise<unknown> | undefined {
    if (this.#lines.size === 0) return undefined
    const waits: Promise<void>[] = []
    for (const line of this.#lines.values()) {
      const { died, moved, watching, isStuck } = line
      if (!isStuck && died - moved <= movedMax) waits.push(new Promise((done) => watching.push({ moved: died, done })))
    }
    return Promise.all(waits)
  }

  /**
   * Answers the offsets that are still to be moved: all of them when it could not be done now; but for those that are
   * `kept`: their topic does not take them.
   */
  async #move(
    lane: LanePart,
    offsets: readonly number[],
    reason: DeathReason,
    kept: number[],
  ): Promise<readonly number[]> {
    const { world } = this.#host
    const { queue } = lane
    if (isDeadLettered(queue.policy) && this.#host.produceRefusal() !== undefined) return offsets
    try {
      const topic = this.#topicOf(queue) ?? (await this.#madeTopic(queue))
      if (topic === undefined && queue.policy.deadLetterTopic !== undefined) return offsets
      const read = await this.#read(lane, offsets, reason, topic)
      if (isRefusal(read)) return offsets
      const { letters, next } = read
      for (let target = firstClosed(letters); target !== undefined; target = firstClosed(letters))
        if ((await target.ready()) !== undefined && !target.isDeleted) return offsets
      // From here on to the append all is decided in one turn.
      if (lane.isVoid || this.#isClosed || topic?.isDeleted === true) return offsets
      const going = topic === undefined ? letters : takenBy(topic, letters)
      const notTaken = new Set(going.length === letters.length ? [] : letters.map(({ offset }) => offset))
      for (const { offset } of going) notTaken.delete(offset)
      const moved = offsets.filter((offset) => !(offset >= (next ?? Infinity)) && !notTaken.has(offset))
      const left = next === undefined ? [] : offsets.filter((offset) => offset >= next)
      if (notTaken.size > 0) world.trace.count('deadletters.waiting.notTaken', notTaken.size)
      if (moved.length > 0) await this.#append(lane, moved, reason, going)
      kept.push(...notTaken)
      return left
    } catch (error) {
      // A refused append, a log that cannot be read: they wait where they are. A bug of ours waits for nothing.
      if (error instanceof InvariantError) throw error
      const values = { queue: lane.queue.topic.name, messages: offsets.length, why: String(error) }
      if (!this.#isClosed) world.trace.warn('dead letters wait', values)
      return offsets
    }
  }

  async #append(
    lane: LanePart,
    offsets: readonly number[],
    reason: DeathReason,
    letters: readonly Letter[],
  ): Promise<void> {
    const [byTarget, refused] = this.#sort(letters)
    const entries: AppendEntry[] = []
    for (const [target, messages] of byTarget) entries.push(...target.entriesFor(messages))
    const outcome = this.#host.ledgers.appendClosing(entries, lane.closings(offsets, closedReasons[reason]))
    for (const target of byTarget.keys()) target.appended(outcome)
    await outcome
    this.#host.world.trace.count(`deadletters.${reason}`, letters.length)
    for (const [target, message] of refused) this.deadLetterRefused(target, message)
  }

  /** The letters, as many as fit one append; `next`: the first that did not. Those gone from the log have none. */
  async #read(
    lane: LanePart,
    offsets: readonly number[],
    reason: DeathReason,
    topic: QueuePart | undefined,
  ): Promise<{ letters: Letter[]; next: number | undefined } | Refusal> {
    const letters: Letter[] = []
    let bytes = 0
    let next: number | undefined
    const { queue } = lane
    if (!isDeadLettered(queue.policy)) return { letters, next }
    const take = (stored: StoredMessage): void => {
      if (next !== undefined) return
      // What its filter does not let in was never in the queue.
      if (reason !== 'malformed' && lane.takes?.(stored) === false) return
      if (bytes > 0 && bytes + stored.body.length > movedBytesMax) {
        next = stored.offset
        return
      }
      const source = sourceOf(lane, stored, topic !== undefined)
      const letter = this.#letterOf(queue, newMessageOf(stored), reason, topic, source)
      if (letter === undefined) return
      bytes += letter.message.bodyBytes + letter.message.properties.length
      letters.push({ ...letter, offset: stored.offset })
    }
    // Not all of them are read when few fit.
    for (let at = 0; at < offsets.length && next === undefined; at += readMax) {
      const refused = await lane.readEach(offsets.slice(at, at + readMax), take, reason === 'malformed')
      if (refused !== undefined) return refused
    }
    return { letters, next }
  }

  /** undefined: it goes nowhere. The message's slices are copied. */
  #letterOf(
    queue: QueuePart,
    message: NewMessage,
    reason: DeathReason,
    topic: QueuePart | undefined,
    source?: DeathSource,
  ): Letter | undefined {
    const { name } = queue.topic
    const { deadLetterExchange, deadLetterRoutingKey } = queue.policy
    const exchange = topic === undefined ? deadLetterExchange : ''
    if (exchange === undefined) return undefined
    const dead = recordDeath(message, name, reason, this.#host.world.clock.nowMs(), source)
    const keys = deadLetterRoutingKey === undefined ? dead.routingKeys : [deadLetterRoutingKey]
    const letter: NewMessage = {
      exchange,
      routingKey: keys[0],
      properties: dead.properties,
      body: message.body,
      bodyBytes: message.bodyBytes,
      isDeadLetter: true,
    }
    const targets =
      topic === undefined
        ? this.#routed(queue.topic.vhost, letter, keys, dead, reason)
        : this.#goesRound(queue.topic.vhost, topic.topic.name, dead, reason)
          ? undefined
          : [topic]
    if (targets === undefined) return undefined
    letter.body = [Buffer.concat(message.body, message.bodyBytes)]
    return { offset: -1, message: letter, targets }
  }

  /** undefined: it goes nowhere. */
  #routed(
    vhost: string,
    letter: NewMessage,
    keys: readonly string[],
    dead: Dead,
    reason: DeathReason,
  ): QueuePart[] | undefined {
    const { router, queues } = this.#host
    const destinations = router.route(vhost, letter.exchange, keys, letter, true)
    if (isRefusal(destinations)) return this.#dropped('noExchange')
    if (destinations.length === 0) return this.#dropped('unroutable')
    const targets: QueuePart[] = []
    for (const destination of destinations) {
      const target = queues.findLog(vhost, destination)
      if (target === undefined || target.isDeleted) continue
      if (this.#goesRound(vhost, destination, dead, reason)) continue
      targets.push(target)
    }
    return targets.length === 0 ? undefined : targets
  }

  /** The dead letter topic as it is; undefined: the queue has none, or it is not there. */
  #topicOf({ topic, policy }: QueuePart): QueuePart | undefined {
    const { deadLetterTopic } = policy
    const found = deadLetterTopic === undefined ? undefined : this.#host.queues.findLog(topic.vhost, deadLetterTopic)
    return found?.isDeleted === true ? undefined : found
  }

  /** undefined: there is none, and it cannot be made now. */
  async #madeTopic(queue: QueuePart): Promise<QueuePart | undefined> {
    const { deadLetterTopic } = queue.policy
    if (deadLetterTopic === undefined) return undefined
    const made = await this.#host.makeTopic(queue.topic.vhost, deadLetterTopic)
    if (!isRefusal(made)) return this.#topicOf(queue)
    this.#host.world.trace.count('deadletters.waiting.noTopic')
    this.#host.world.trace.warn('dead letters wait', { queue: queue.topic.name, topic: deadLetterTopic, why: made.why })
    return undefined
  }

  /** For publishes that were refused, however many: one try after the other. */
  async #makeSoon(queue: QueuePart, name: string): Promise<void> {
    const making = `${queue.topic.vhost}\0${name}`
    if (this.#making.has(making) || this.#isClosed) return
    this.#making.add(making)
    try {
      if ((await this.#madeTopic(queue)) === undefined) await this.#pause(retryMsMax)
    } catch (error) {
      if (error instanceof InvariantError) throw error
      this.#host.world.trace.warn('dead letter topic not made', { topic: name, why: String(error) })
      await this.#pause(retryMsMax)
    } finally {
      this.#making.delete(making)
    }
  }

  /** A client's reject is a decision of somebody's: it may send a message round as often as it likes. */
  #goesRound(vhost: string, destination: string, dead: Dead, reason: DeathReason): boolean {
    if (reason === 'rejected' || !isCycle(destination, dead, isGivenIn(this.#host.queues, vhost))) return false
    this.#dropped('cycle')
    return true
  }

  #dropped(why: 'noExchange' | 'noTopic' | 'unroutable' | 'cycle' | 'overflow'): undefined {
    this.#host.world.trace.count(`deadletters.dropped.${why}`)
    return undefined
  }

  /** What each target gets, and what targets over their limit hand on to their own dead letter exchange. */
  #sort(letters: readonly Letter[]): [Map<QueuePart, NewMessage[]>, [QueuePart, NewMessage][]] {
    const byTarget = new Map<QueuePart, NewMessage[]>()
    const refused: [QueuePart, NewMessage][] = []
    const ahead = new Map<QueuePart, Ahead>()
    for (const { message, targets } of letters)
      for (const target of targets) {
        if (target.isDeleted) continue
        if (!takesToo(target, message.bodyBytes, ahead)) {
          if (target.policy.overflow === 'reject-publish-dlx') refused.push([target, message])
          else this.#dropped('overflow')
          continue
        }
        const messages = byTarget.get(target)
        if (messages === undefined) byTarget.set(target, [message])
        else messages.push(message)
      }
    return [byTarget, refused]
  }

  #pause(delayMs: number): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = this.#host.world.clock.after(delayMs, () => {
        this.#pauses.delete(timer)
        resolve()
      })
      this.#pauses.set(timer, resolve)
    })
  }

  /** What is under way ends; what waits stays acquired. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const [timer, resolve] of this.#pauses) {
      timer.cancel()
      resolve()
    }
    this.#pauses.clear()
    await Promise.allSettled(this.#moving)
  }
}

/** What is stored in a topic is given to the queue of its name, and to those with further ledgers over its logs. */
export const isGivenIn =
  (queues: Pick<QueuesPart, 'find'>, vhost: string): IsGiven =>
  (queue, target) =>
    queue === target || queues.find(vhost, queue)?.lanes.at(0)?.topic.name === target

/** A dead letter topic that refuses a message, by its size or for want of room, may take it later: it waits. */
function takenBy(topic: QueuePart, letters: readonly Letter[]): readonly Letter[] {
  if (topic.policy.overflow === 'reject-publish-dlx') return letters
  const ahead = new Map<QueuePart, Ahead>()
  return letters.filter(({ message: { bodyBytes } }) => takesToo(topic, bodyBytes, ahead))
}

/**
 * Where a message was, for those that look for it there: a record of Kafka's clients, in a topic of theirs or of several
 * partitions, or when its copy lies in a topic. Of all others RabbitMQ's headers tell, and nothing is added.
 */
function sourceOf(
  { topic, partition }: LanePart,
  { offset, isPlaced }: StoredMessage,
  isForTopic: boolean,
): DeathSource | undefined {
  return isPlaced || isForTopic ? { topic: topic.name, partition, offset, isPlaced } : undefined
}

/** Tells those whose dead letters are moved; all of them when nothing more is done for now. */
function tell({ moved, watching, isStuck }: Line): void {
  let told = 0
  while (told < watching.length && (isStuck || watching[told].moved <= moved)) watching[told++].done()
  watching.splice(0, told)
}

function newMessageOf(stored: StoredMessage): NewMessage {
  return {
    exchange: stored.exchange.toString(),
    routingKey: stored.routingKey.toString(),
    properties: stored.properties,
    body: [stored.body],
    bodyBytes: stored.body.length,
    isDeadLetter: stored.isDeadLetter,
  }
}
