// What stands in for the broker in the tests of this floor: a session that refuses or agrees to everything.
// Promises: typed as the door is, so that a change of the door is noticed here.
// Does not know: how a broker behaves; each test overrides what it is about.

import type { GroupCalls, Produced, ReadOutcome, Session, SettingView, TopicView } from '../../broker/door.ts'
import { refuse, type Refusal, type RefusalName } from '../../broker/errors.ts'
import type { Connection } from '../../base/world.ts'
import type { AnyApi } from '../../wire/kafka/api-table.ts'
import { decodeResponse, encodeRequest, FrameCutter, responseCorrelationId } from '../../wire/kafka/frame.ts'
import type { InputOf, ValueOf } from '../../base/schema.ts'
import { StubConnection, type StubWorld } from '../stub.contract.ts'
import { openKafka, type KafkaConversation } from './connection.ts'

type Overrides = Partial<Omit<Session, 'groups'>> & { readonly groups?: Partial<GroupCalls> }

export const topicId = 'oOoOoOoOoOoOoOoOoOoOoA' as TopicView['id']
export const offsetOf = (value: number): Produced['baseOffset'] => value as Produced['baseOffset']

export const topicView = (name: string, partitions = 2): TopicView => ({ name, id: topicId, partitions })

const settingView: SettingView = {
  name: 'retention.ms',
  value: '1',
  source: 'topic',
  isDefault: false,
  readOnly: false,
  sensitive: false,
  type: 'long',
  documentation: 'How long.',
  synonyms: [{ name: 'log.retention.ms', value: '2', source: 'static' }],
}

export const batchOf = (bytes: number, fill = 0): Buffer => {
  const batch = Buffer.alloc(bytes, fill)
  batch.writeInt32BE(bytes - 12, 8)
  batch[16] = 2
  batch[22] = 0
  return batch
}

export const readOutcome = (chunks: readonly Buffer[], highWatermark = 10): ReadOutcome => ({
  batches: { chunks, bytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0), next: offsetOf(highWatermark) },
  highWatermark: offsetOf(highWatermark),
  lastStable: offsetOf(highWatermark),
  logStart: offsetOf(0),
})

const clusterView = {
  clusterId: 'c-1',
  nodeId: 1,
  startedAtMs: 1,
  dataBytes: 100,
  freeBytes: 1000,
  dataPath: '/data',
}

const agreeingGroups: GroupCalls = {
  join: async (call) => ({
    memberId: 'm',
    generation: 3,
    protocolType: call.protocolType,
    protocolName: 'range',
    leader: 'm',
    skipAssignment: false,
    members: [{ memberId: 'm', instanceId: null, metadata: Buffer.from('meta') }],
  }),
  sync: async () => ({ protocolType: 'consumer', protocolName: 'range', assignment: Buffer.from('mine') }),
  heartbeat: async () => true,
  leave: async ({ members }) => members.map(() => true),
  commit: async ({ offsets }) => offsets.map(() => true),
  fetch: async ({ partitions }) =>
    (partitions ?? [{ topic: { name: 't' }, partition: 0 }]).map(({ partition }) => ({
      topic: 't',
      topicId,
      partition,
      offset: 5,
      leaderEpoch: 0,
      metadata: 'here',
      committedAtMs: 1,
    })),
  describe: async (group) => ({
    group,
    protocolType: 'consumer',
    state: 'Stable',
    type: 'classic',
    protocolName: 'range',
    members: [
      {
        memberId: 'm',
        instanceId: null,
        clientId: 'c',
        clientHost: '/192.0.2.7',
        metadata: Buffer.from('meta'),
        assignment: Buffer.from('mine'),
      },
    ],
  }),
  list: async () => [{ group: 'g', protocolType: 'consumer', state: 'Stable', type: 'classic' }],
  delete: async () => true,
  deleteOffsets: async (_group, partitions) => partitions.map(() => true),
}

/** Agrees to everything, and shows one topic `t` of two empty partitions. */
export function agreeingSession({ groups, ...overrides }: Overrides = {}): Session {
  return {
    cluster: () => clusterView,
    lag: async () => ({ atMs: 1, rows: [] }),
    listTopics: () => [topicView('t')],
    describeTopic: (topic) => topicView('name' in topic ? topic.name : 't'),
    findOrCreateTopic: async (name) => topicView(name),
    createTopics: async (topics) => topics.map(({ name }) => ({ ...topicView(name), settings: [settingView] })),
    deleteTopics: async (topics) => topics.map((topic) => topicView('name' in topic ? topic.name : 't')),
    createPartitions: async (name, partitions) => topicView(name, partitions),
    describeSettings: () => [settingView],
    alterSettings: async () => true,
    produce: async () => ({ baseOffset: offsetOf(7), logAppendTimeMs: -1, logStart: offsetOf(0) }),
    read: () => readOutcome([]),
    watch: () => () => {},
    findOffset: async () => ({ offset: 4, timestampMs: 9, leaderEpoch: 0 }),
    epochEnd: async () => ({ epoch: 0, end: 10 }),
    deleteRecords: async () => offsetOf(3),
    describePartition: async () => ({
      start: offsetOf(0),
      committed: offsetOf(10),
      end: offsetOf(10),
      bytes: 50,
    }),
    initProducer: async () => ({ producerId: 4000, producerEpoch: 0 }),
    listProducers: async () => [
      { producerId: 1, producerEpoch: 0, lastSequence: 3, lastTimestampMs: 5, currentTransactionStart: -1 },
    ],
    describeQuotas: () => [
      { entity: { user: 'ann', clientId: null, ip: undefined }, values: new Map([['producer_byte_rate', 1]]) },
    ],
    alterQuotas: async () => true,
    throttle: () => 0,
    get queues(): Session['queues'] {
      throw new Error('Kafka asks for no queues')
    },
    ...overrides,
    groups: { ...agreeingGroups, ...groups },
  }
}

/** Refuses everything that may be refused. */
export function refusingSession(name: RefusalName, why = 'no'): Session {
  const no = refuse(name, why)
  const later = (): Promise<Refusal> => Promise.resolve(no)
  const each = (many: readonly unknown[]): Promise<Refusal[]> => Promise.resolve(many.map(() => no))
  return agreeingSession({
    describeTopic: () => no,
    findOrCreateTopic: later,
    createTopics: each,
    deleteTopics: each,
    createPartitions: later,
    describeSettings: () => no,
    alterSettings: later,
    produce: async () => ({ ...no, records: [{ index: 0, why: 'bad' }] }),
    read: () => no,
    findOffset: later,
    epochEnd: later,
    deleteRecords: later,
    describePartition: later,
    initProducer: later,
    listProducers: later,
    alterQuotas: later,
    groups: {
      join: async ({ memberId }) => ({ ...no, memberId }),
      sync: later,
      heartbeat: later,
      leave: later,
      commit: ({ offsets }) => each(offsets) as Promise<Refusal[]>,
      fetch: later,
      describe: later,
      delete: later,
      deleteOffsets: later,
    },
  })
}

/** A client of one connection, request by request. */
export class StubClient {
  readonly connection = new StubConnection()
  readonly conversation: KafkaConversation
  private readonly world: StubWorld
  private readonly cutter = new FrameCutter(1 << 30)
  private correlation = 0

  constructor(
    world: StubWorld,
    session: Session,
    converse: (connection: Connection) => KafkaConversation = openKafka({ world, openSession: () => session }).converse,
  ) {
    this.world = world
    this.conversation = converse(this.connection)
  }

  /** Sends and answers the correlation id. */
  send<A extends AnyApi>(api: A, version: number, value: InputOf<A['request']>): number {
    this.connection.send(Buffer.concat(encodeRequest(api, version, ++this.correlation, 'stub', value)))
    return this.correlation
  }

  /** Frames that came since the last call. */
  frames(): Buffer[] {
    const bytes = Buffer.concat(this.connection.written.splice(0))
    return this.cutter.push(bytes)
  }

  async ask<A extends AnyApi>(
    api: A,
    version: number,
    value: InputOf<A['request']>,
  ): Promise<ValueOf<A['response']> | undefined> {
    const correlation = this.send(api, version, value)
    await this.world.settle()
    const [frame, ...others] = this.frames()
    if (frame === undefined) return undefined
    if (others.length > 0 || responseCorrelationId(frame) !== correlation) throw new Error('another answer')
    return decodeResponse(api, version, frame)
  }
}
