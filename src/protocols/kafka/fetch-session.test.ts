// Fetch sessions against a naive model: a client that remembers all it was told.
// Promises: what a client knows after an answer is what is true, and nothing was told that it knew already.
// Does not know: records; here a partition has as many bytes to give as the test says.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FetchRequest } from '../../wire/kafka/messages/data.ts'
import type { ValueOf } from '../../base/schema.ts'
import { StubWorld } from '../stub.contract.ts'
import {
  fetchSessionKeptMs,
  FetchSessions,
  type Concluded,
  type FetchContext,
  type PartitionState,
} from './fetch-session.ts'

type Request = ValueOf<typeof FetchRequest>

interface Asked {
  readonly sessionId?: number
  readonly epoch: number
  readonly partitions?: readonly number[]
  readonly offset?: number
  readonly forget?: readonly number[]
}

const request = ({ sessionId = 0, epoch, partitions = [], offset = 0, forget = [] }: Asked): Request =>
  ({
    sessionId,
    sessionEpoch: epoch,
    topics: [
      {
        topic: 't',
        topicId: 'id',
        partitions: partitions.map((partition) => ({
          partition,
          fetchOffset: offset,
          partitionMaxBytes: 100,
          currentLeaderEpoch: 0,
          lastFetchedEpoch: -1,
        })),
      },
    ],
    forgottenTopicsData: [{ topic: 't', topicId: 'id', partitions: forget }],
  }) as unknown as Request

const quiet: PartitionState = { errorCode: 0, highWatermark: 5, logStart: 0, bytes: 0, diverges: false }

function open(sessions: FetchSessions, asked: Asked, byId = false): FetchContext {
  const context = sessions.open(request(asked), byId)
  if ('error' in context) throw new Error(`error ${context.error}`)
  return context
}

const errorOf = (opened: FetchContext | { readonly error: number }): number => ('error' in opened ? opened.error : 0)

function concluded(context: FetchContext, state: PartitionState = quiet): { sessionId: number; told: number[] } {
  const end: Concluded = context.conclude(context.partitions.map(() => state))
  if ('error' in end) throw new Error(`error ${end.error}`)
  return {
    sessionId: end.sessionId,
    told: context.partitions.flatMap((p, index) => (end.told[index] ? p.partition : [])),
  }
}

/** A session over partitions 0, 1, 2 whose first answer was `quiet`. */
function created(slotsMax = 10) {
  const world = new StubWorld()
  const sessions = new FetchSessions(world, slotsMax)
  const { sessionId } = concluded(open(sessions, { epoch: 0, partitions: [0, 1, 2] }))
  return { world, sessions, sessionId }
}

describe('the life of a session', () => {
  test('epoch 0 makes one, epoch -1 makes none and closes the one it names', () => {
    const { sessions, sessionId } = created()
    expect(sessionId).toBeGreaterThan(0)
    expect(sessions.size).toBe(1)
    expect(concluded(open(sessions, { epoch: -1, partitions: [0] })).sessionId).toBe(0)
    expect(sessions.size).toBe(1)
    open(sessions, { sessionId, epoch: -1 })
    expect(sessions.size).toBe(0)
  })

  test('without partitions no session is worth a slot', () => {
    const sessions = new FetchSessions(new StubWorld())
    expect(concluded(open(sessions, { epoch: 0 })).sessionId).toBe(0)
    expect(sessions.size).toBe(0)
  })

  test('an unknown id is 70, an epoch out of turn 71, names for ids 106', () => {
    const { sessions, sessionId } = created()
    expect(errorOf(sessions.open(request({ sessionId: sessionId ^ 1, epoch: 1 }), false))).toBe(70)
    expect(errorOf(sessions.open(request({ sessionId, epoch: 2 }), false))).toBe(71)
    expect(errorOf(sessions.open(request({ sessionId, epoch: 1 }), true))).toBe(106)
    expect(errorOf(sessions.open(request({ sessionId, epoch: 1 }), false))).toBe(0)
    expect(errorOf(sessions.open(request({ sessionId, epoch: 1 }), false))).toBe(71)
  })

  test('after the greatest epoch comes 1', () => {
    const { sessions, sessionId } = created()
    const inner = (sessions as unknown as { sessions: Map<number, { epoch: number }> }).sessions.get(sessionId)
    if (inner !== undefined) inner.epoch = 0x7fff_ffff
    open(sessions, { sessionId, epoch: 0x7fff_ffff })
    expect(inner?.epoch).toBe(1)
  })

  test('a session whose last partition is forgotten is over', () => {
    const { sessions, sessionId } = created()
    const context = open(sessions, { sessionId, epoch: 1, forget: [0, 1, 2] })
    expect(concluded(context)).toEqual({ sessionId: 0, told: [] })
    expect(sessions.size).toBe(0)
  })

  test('an answer whose session was closed or used meanwhile is an error', () => {
    const { sessions, sessionId } = created()
    const parked = open(sessions, { sessionId, epoch: 1 })
    open(sessions, { sessionId, epoch: 2 })
    expect(parked.conclude(parked.partitions.map(() => quiet))).toEqual({ error: 71 })
    const other = open(sessions, { sessionId, epoch: 3 })
    open(sessions, { sessionId, epoch: -1 })
    expect(other.conclude(other.partitions.map(() => quiet))).toEqual({ error: 70 })
  })
})

describe('what is told', () => {
  test('nothing without news; a new high watermark or log start; records; an error until it is over', () => {
    const { sessions, sessionId } = created()
    let epoch = 1
    const told = (state: PartitionState): number[] =>
      concluded(open(sessions, { sessionId, epoch: epoch++ }), state).told
    expect(told(quiet)).toEqual([])
    expect(told({ ...quiet, highWatermark: 6 })).toEqual([0, 1, 2])
    expect(told({ ...quiet, highWatermark: 6 })).toEqual([])
    expect(told({ ...quiet, highWatermark: 6, logStart: 1 })).toEqual([0, 1, 2])
    expect(told({ ...quiet, highWatermark: 6, logStart: 1, bytes: 10 })).toEqual([0, 1, 2])
    const error = { ...quiet, errorCode: 3, highWatermark: -1, logStart: -1 }
    expect(told(error)).toEqual([0, 1, 2])
    expect(told(error)).toEqual([0, 1, 2])
    expect(told({ ...quiet, highWatermark: 6, logStart: 1 })).toEqual([0, 1, 2])
    expect(told({ ...quiet, highWatermark: 6, logStart: 1 })).toEqual([])
    expect(told({ ...quiet, highWatermark: 6, logStart: 1, diverges: true })).toEqual([0, 1, 2])
  })

  test('what had records goes to the end of the order', () => {
    const { sessions, sessionId } = created()
    const context = open(sessions, { sessionId, epoch: 1 })
    expect(context.partitions.map(({ partition }) => partition)).toEqual([0, 1, 2])
    context.conclude([{ ...quiet, bytes: 10 }, quiet, quiet])
    const next = open(sessions, { sessionId, epoch: 2 })
    expect(next.partitions.map(({ partition }) => partition)).toEqual([1, 2, 0])
  })
})

describe('slots', () => {
  test('a full house makes no session, until one of them has been unused for long', async () => {
    const { world, sessions, sessionId } = created(1)
    const create = (partitions: readonly number[]): number =>
      concluded(open(sessions, { epoch: 0, partitions })).sessionId
    expect(create([0, 1, 2])).toBe(0)
    await world.pass(fetchSessionKeptMs + 1)
    const second = create([0])
    expect(second).not.toBe(0)
    expect(errorOf(sessions.open(request({ sessionId, epoch: 1 }), false))).toBe(70)
    expect(sessions.size).toBe(1)
    expect(world.trace.counters().get('kafka.fetch.sessions.evicted')).toBe(1)
  })

  test('an old session in use gives way to a larger one only', async () => {
    const { world, sessions, sessionId } = created(1)
    await world.pass(fetchSessionKeptMs + 1)
    concluded(open(sessions, { sessionId, epoch: 1 }))
    const create = (partitions: readonly number[]): number =>
      concluded(open(sessions, { epoch: 0, partitions })).sessionId
    expect(create([0, 1, 2])).toBe(0)
    expect(create([0, 1, 2, 3])).not.toBe(0)
  })
})

test('partitions are bounded too: who asks for more gets no session, or loses the one it has', () => {
  const sessions = new FetchSessions(new StubWorld(), 10, 4)
  const { sessionId } = concluded(open(sessions, { epoch: 0, partitions: [0, 1, 2] }))
  expect(sessionId).not.toBe(0)
  expect(concluded(open(sessions, { epoch: 0, partitions: [0, 1] })).sessionId).toBe(0)
  concluded(open(sessions, { sessionId, epoch: 1, partitions: [3] }))
  expect(sessions.partitions).toBe(4)
  concluded(open(sessions, { sessionId, epoch: 2, partitions: [4], forget: [0] }))
  expect(sessions.partitions).toBe(4)
  expect(errorOf(sessions.open(request({ sessionId, epoch: 3, partitions: [5] }), false))).toBe(70)
  expect([sessions.size, sessions.partitions]).toEqual([0, 0])
})

interface Step {
  readonly states: readonly PartitionState[]
  readonly add: readonly number[]
  readonly forget: readonly number[]
  readonly left: readonly boolean[]
}

const partitionsMax = 5
const anyState: fc.Arbitrary<PartitionState> = fc.record({
  errorCode: fc.constantFrom(0, 0, 0, 3),
  highWatermark: fc.nat(3),
  logStart: fc.nat(2),
  bytes: fc.constantFrom(0, 0, 50),
  diverges: fc.constant(false),
})
const some = fc.subarray([...Array(partitionsMax).keys()])
const anyStep: fc.Arbitrary<Step> = fc.record({
  states: fc.array(anyState, { minLength: partitionsMax, maxLength: partitionsMax }),
  add: some,
  forget: some,
  left: fc.array(fc.boolean(), { minLength: partitionsMax, maxLength: partitionsMax }),
})

/** What a client knows of a partition: undefined after an error or before it was told anything. */
type Known = Pick<PartitionState, 'highWatermark' | 'logStart'> | undefined

test('a client of a session knows what a client of full fetches knows', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { minLength: 1, maxLength: 20 }), (steps) => {
      const sessions = new FetchSessions(new StubWorld())
      const known = new Map<number, Known>()
      let sessionId = 0
      let epoch = 0
      for (const { states, add, forget, left } of steps) {
        const gone = epoch === 0 ? [] : forget.filter((partition) => !add.includes(partition))
        for (const partition of add) if (!known.has(partition)) known.set(partition, undefined)
        for (const partition of gone) known.delete(partition)
        const context = open(sessions, { sessionId, epoch, partitions: add, forget: gone })
        expect(new Set(context.partitions.map(({ partition }) => partition))).toEqual(new Set(known.keys()))
        // An incremental answer may leave out what there was no room for.
        const given = context.partitions.map(({ partition }) =>
          context.incremental && left[partition] ? undefined : states[partition],
        )
        const end = context.conclude(given)
        if ('error' in end) throw new Error(`error ${end.error}`)
        for (const [index, { partition }] of context.partitions.entries()) {
          const state = given[index]
          const before = known.get(partition)
          if (end.told[index] && state !== undefined) {
            known.set(partition, state.errorCode === 0 ? state : undefined)
            const isNews =
              !context.incremental ||
              before === undefined ||
              state.bytes > 0 ||
              state.errorCode !== 0 ||
              before.highWatermark !== state.highWatermark ||
              before.logStart !== state.logStart
            expect(isNews).toBe(true)
          }
          if (state !== undefined && state.errorCode === 0) expect(known.get(partition)).toMatchObject(pick(state))
        }
        expect(sessions.partitions).toBe(end.sessionId === 0 ? 0 : known.size)
        sessionId = end.sessionId
        epoch = sessionId === 0 ? 0 : epoch + 1
        if (sessionId === 0) known.clear()
      }
    }),
    { numRuns: 500 },
  )
})

const pick = ({ highWatermark, logStart }: PartitionState) => ({ highWatermark, logStart })
