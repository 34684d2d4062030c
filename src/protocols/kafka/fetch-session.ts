// Fetch sessions, KIP-227: what a client fetches, remembered, so that it and we need to name only what changed.
// Promises: at most so many sessions and partitions of all connections together, the longest unused session going
//   first; the epoch of a session is that of the next request it takes. Behaves as Kafka's FetchSession.java.
// Does not know: records. It is told what was read and says what of it the client must be told.

import type { TopicRef } from '../../broker/door.ts'
import type { World } from '../../base/world.ts'
import type { FetchRequest } from '../../wire/kafka/messages/data.ts'
import { kafkaErrors } from '../errors.ts'
import { topicRef } from './topic-ref.ts'

/** One partition as a client asked for it. */
export interface FetchPartition {
  readonly topic: TopicRef
  /** '' when the request goes by id. */
  readonly name: string
  readonly id: string
  readonly partition: number
  readonly fetchOffset: number
  readonly bytesMax: number
  readonly leaderEpoch: number
  readonly lastFetchedEpoch: number
}

/** What matters of an answer for whether it must be told (again). */
export interface PartitionState {
  readonly errorCode: number
  readonly highWatermark: number
  readonly logStart: number
  readonly bytes: number
  readonly diverges: boolean
}

interface Cached {
  asked: FetchPartition
  /** As last told; -1: tell again whatever it is. */
  highWatermark: number
  logStart: number
}

interface FetchSession {
  readonly id: number
  readonly byId: boolean
  readonly createdAtMs: number
  usedAtMs: number
  /** The epoch its next request must have. */
  epoch: number
  readonly partitions: Map<string, Cached>
}

/** One request's view: what to read, in which order, and what of the result goes out. */
export interface FetchContext {
  readonly partitions: readonly FetchPartition[]
  /** A partition without news may be left out. */
  readonly incremental: boolean
  /** The session id to answer with and which of `states` (as many as partitions) to tell; or an error. */
  conclude(states: readonly (PartitionState | undefined)[]): Concluded
}

export type Concluded = { readonly sessionId: number; readonly told: readonly boolean[] } | { readonly error: number }

/** Kafka's max.incremental.fetch.session.cache.slots. */
export const fetchSessionSlotsMax = 1000
/** Kafka's MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS: so long a session is safe from being evicted. */
export const fetchSessionKeptMs = 120_000

/** Partitions that all sessions together remember, each about 200 bytes; a client beyond gets no session. */
export const fetchSessionPartitionsMax = 200_000

/** Epochs of a request that is not incremental. */
const createEpoch = 0
const closeEpoch = -1

const nextEpoch = (epoch: number): number => (epoch >= 0x7fff_ffff ? 1 : epoch + 1)
const keyOf = (part: FetchPartition): string => `${part.name}${part.id}-${part.partition}`

export class FetchSessions {
  private readonly world: World
  private readonly slotsMax: number
  private readonly partitionsMax: number
  private readonly sessions = new Map<number, FetchSession>()
  private remembered = 0

  constructor(world: World, slotsMax = fetchSessionSlotsMax, partitionsMax = fetchSessionPartitionsMax) {
    this.world = world
    this.slotsMax = slotsMax
    this.partitionsMax = partitionsMax
  }

  get size(): number {
    return this.sessions.size
  }

  /** Partitions of all sessions together. */
  get partitions(): number {
    return this.remembered
  }

  /** The context of a request, or the error that answers it. */
  open(request: FetchRequest, byId: boolean): FetchContext | { readonly error: number } {
    const { sessionId, sessionEpoch } = request
    if (sessionEpoch === createEpoch || sessionEpoch === closeEpoch) {
      if (sessionId !== 0) this.drop(this.sessions.get(sessionId))
      return this.full(partitionsOf(request, byId), byId, sessionEpoch === createEpoch)
    }
    const session = this.sessions.get(sessionId)
    if (session === undefined) return { error: kafkaErrors.FETCH_SESSION_ID_NOT_FOUND }
    if (session.epoch !== sessionEpoch) return { error: kafkaErrors.INVALID_FETCH_SESSION_EPOCH }
    if (session.byId !== byId) return { error: kafkaErrors.FETCH_SESSION_TOPIC_ID_ERROR }
    this.remembered -= session.partitions.size
    update(session, request, byId)
    this.remembered += session.partitions.size
    if (this.remembered > this.partitionsMax) {
      this.drop(session)
      return { error: kafkaErrors.FETCH_SESSION_ID_NOT_FOUND }
    }
    if (session.partitions.size === 0) {
      this.drop(session)
      return this.full([], byId, false)
    }
    session.epoch = nextEpoch(session.epoch)
    session.usedAtMs = this.world.clock.monotonicMs()
    return this.incremental(session)
  }

  private full(partitions: readonly FetchPartition[], byId: boolean, create: boolean): FetchContext {
    return {
      partitions,
      incremental: false,
      conclude: (states) => {
        const told = partitions.map(() => true)
        return { sessionId: create ? this.create(partitions, states, byId) : 0, told }
      },
    }
  }

  /** A new session's id, or 0 when every slot is taken by one that must be kept. */
  private create(
    partitions: readonly FetchPartition[],
    states: readonly (PartitionState | undefined)[],
    byId: boolean,
  ): number {
    if (partitions.length === 0 || this.remembered + partitions.length > this.partitionsMax) return 0
    if (this.sessions.size >= this.slotsMax && !this.evict(partitions.length)) return 0
    let id = 0
    while (id === 0 || this.sessions.has(id)) id = this.world.random.bytes(4).readUInt32BE() >>> 1
    const nowMs = this.world.clock.monotonicMs()
    const cached = new Map<string, Cached>()
    for (const [index, asked] of partitions.entries()) {
      const entry = { asked, highWatermark: -1, logStart: -1 }
      const state = states[index]
      if (state !== undefined) remember(entry, state)
      cached.set(keyOf(asked), entry)
    }
    this.remembered += cached.size
    this.sessions.set(id, { id, byId, createdAtMs: nowMs, usedAtMs: nowMs, epoch: 1, partitions: cached })
    return id
  }

  /** Frees a slot: that of the longest unused session, or of one smaller than the new, both only when old enough. */
  private evict(partitions: number): boolean {
    const before = this.world.clock.monotonicMs() - fetchSessionKeptMs
    let victim: FetchSession | undefined
    for (const session of this.sessions.values()) {
      if (victim === undefined || session.usedAtMs < victim.usedAtMs) victim = session
    }
    if (victim !== undefined && victim.usedAtMs >= before) {
      victim = undefined
      for (const session of this.sessions.values()) {
        if (session.createdAtMs >= before || session.partitions.size >= partitions) continue
        if (victim === undefined || session.partitions.size < victim.partitions.size) victim = session
      }
    }
    if (victim === undefined) return false
    this.drop(victim)
    this.world.trace.count('kafka.fetch.sessions.evicted')
    return true
  }

  private drop(session: FetchSession | undefined): void {
    if (session === undefined) return
    this.sessions.delete(session.id)
    this.remembered -= session.partitions.size
  }

  private incremental(session: FetchSession): FetchContext {
    const entries = [...session.partitions.entries()]
    const answeredBy = session.epoch
    return {
      partitions: entries.map(([, cached]) => cached.asked),
      incremental: true,
      conclude: (states) => {
        // Another connection may have used, closed or evicted the session while this request was parked.
        if (this.sessions.get(session.id) !== session) return { error: kafkaErrors.FETCH_SESSION_ID_NOT_FOUND }
        if (session.epoch !== answeredBy) return { error: kafkaErrors.INVALID_FETCH_SESSION_EPOCH }
        const told = entries.map(([key, cached], index) => {
          const state = states[index]
          if (state === undefined || !isNews(cached, state)) return false
          remember(cached, state)
          // What had records goes to the end, so that every partition gets its turn.
          if (state.bytes > 0 && session.partitions.get(key) === cached) {
            session.partitions.delete(key)
            session.partitions.set(key, cached)
          }
          return true
        })
        return { sessionId: session.id, told }
      },
    }
  }
}

function update(session: FetchSession, request: FetchRequest, byId: boolean): void {
  for (const asked of partitionsOf(request, byId)) {
    const key = keyOf(asked)
    const cached = session.partitions.get(key)
    if (cached === undefined) session.partitions.set(key, { asked, highWatermark: -1, logStart: -1 })
    else cached.asked = asked
  }
  for (const { topic, topicId, partitions } of request.forgottenTopicsData) {
    for (const partition of partitions) session.partitions.delete(`${byId ? topicId : topic}-${partition}`)
  }
}

function partitionsOf(request: FetchRequest, byId: boolean): FetchPartition[] {
  const found: FetchPartition[] = []
  for (const { topic: name, topicId, partitions } of request.topics) {
    const topic = topicRef(byId, name, topicId)
    for (const { partition, fetchOffset, partitionMaxBytes, currentLeaderEpoch, lastFetchedEpoch } of partitions) {
      found.push({
        topic,
        name: byId ? '' : name,
        id: byId ? topicId : '',
        partition,
        fetchOffset,
        bytesMax: partitionMaxBytes,
        leaderEpoch: currentLeaderEpoch,
        lastFetchedEpoch,
      })
    }
  }
  return found
}

/** CachedPartition.maybeUpdateResponseData. */
function isNews(cached: Cached, state: PartitionState): boolean {
  return (
    state.bytes > 0 ||
    state.errorCode !== kafkaErrors.NONE ||
    state.diverges ||
    state.highWatermark !== cached.highWatermark ||
    state.logStart !== cached.logStart
  )
}

function remember(cached: Cached, state: PartitionState): void {
  // An error is told again until it is gone, and then the partition once more.
  cached.highWatermark = state.errorCode === kafkaErrors.NONE ? state.highWatermark : -1
  cached.logStart = state.logStart
}
