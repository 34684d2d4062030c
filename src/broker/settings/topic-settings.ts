// Topic settings: every topic setting of Kafka and our own, with type, default, bounds and what it does here.
// Promises: nothing is accepted and ignored: a row is honoured, or true on one node as it stands, or refuses a change.
// Does not know: who set them (catalog.ts) nor how they are shown (setting-desk.ts).

import { batchBytesMax } from '../../base/limits.ts'
import { longMax, type SettingRule } from './setting-values.ts'

/**
 * honoured: the broker does it. true: nothing is to be done on one node, whatever the value. fixed: only the default
 * is true here, any other value is refused.
 */
type SettingClass = 'honoured' | 'true' | 'fixed'

export interface TopicSettingRow extends SettingRule {
  readonly name: string
  readonly byDefault: string
  readonly kind: SettingClass
  /** Name of the broker setting that gives the default (Kafka's synonym); undefined: there is none. */
  readonly brokerName?: string
  readonly documentation: string
}

const honoured = { kind: 'honoured' } as const
const asItStands = { kind: 'true' } as const
const fixed = { kind: 'fixed' } as const

const day = 24 * 3_600_000

const retentionRows: readonly TopicSettingRow[] = [
  {
    name: 'retention.ms',
    brokerName: 'log.retention.ms',
    ...honoured,
    type: 'long',
    min: -1,
    byDefault: String(7 * day),
    documentation:
      'A segment is dropped when the greatest timestamp in it is older than this many milliseconds. -1: never.',
  },
  {
    name: 'retention.bytes',
    brokerName: 'log.retention.bytes',
    ...honoured,
    type: 'long',
    min: -1,
    byDefault: '-1',
    documentation:
      'The oldest segments of a partition are dropped while it stays at least this many bytes. -1: no limit.',
  },
  {
    name: 'cleanup.policy',
    brokerName: 'log.cleanup.policy',
    ...honoured,
    type: 'list',
    words: ['delete', 'consumed', 'compact'],
    byDefault: 'delete',
    documentation:
      'What is done with old segments. delete drops them by retention. consumed drops them once the queue over the topic has worked them off, and then only what retention.ms and retention.bytes, where the topic sets them, do not keep; without a queue nothing is dropped. compact is not built yet and is refused.',
  },
  {
    name: 'consumed.hold.groups',
    ...honoured,
    type: 'list',
    byDefault: '',
    documentation:
      'Under cleanup.policy=consumed: consumer groups without which nothing is dropped. What one of them has not committed past stays, all of it while a group committed nothing.',
  },
  {
    name: 'segment.bytes',
    brokerName: 'log.segment.bytes',
    ...honoured,
    type: 'int',
    min: 1024,
    byDefault: '1073741824',
    documentation: 'A segment file is closed before it would pass this many bytes; retention drops whole segments.',
  },
  {
    name: 'segment.ms',
    brokerName: 'log.roll.ms',
    ...honoured,
    type: 'long',
    min: 1,
    byDefault: String(7 * day),
    documentation: 'A segment is closed at the next append when its first batch is older than this.',
  },
  {
    name: 'segment.jitter.ms',
    brokerName: 'log.roll.jitter.ms',
    ...honoured,
    type: 'long',
    min: 0,
    byDefault: '0',
    documentation:
      'segment.ms is shortened by a part of this, another part for each partition, so that not all roll at once.',
  },
  {
    name: 'index.interval.bytes',
    brokerName: 'log.index.interval.bytes',
    ...honoured,
    type: 'int',
    min: 0,
    byDefault: '4096',
    documentation: 'At most this many bytes of batches lie between two entries of the offset index.',
  },
  {
    name: 'segment.index.bytes',
    brokerName: 'log.index.size.max.bytes',
    ...fixed,
    type: 'int',
    min: 4,
    byDefault: '10485760',
    documentation: 'An index grows with its segment and is not preallocated, so that there is no size to set.',
  },
  {
    name: 'file.delete.delay.ms',
    brokerName: 'log.segment.delete.delay.ms',
    ...fixed,
    type: 'long',
    min: 0,
    byDefault: '60000',
    documentation: 'Files of dropped segments are removed as soon as no reader has them open.',
  },
  {
    name: 'preallocate',
    brokerName: 'log.preallocate',
    ...fixed,
    type: 'boolean',
    byDefault: 'false',
    documentation: 'Segment files are not allocated ahead; the shared journal is.',
  },
]

const durabilityRows: readonly TopicSettingRow[] = [
  {
    name: 'durability',
    ...honoured,
    type: 'string',
    words: ['commit', 'os'],
    brokerName: 'durability',
    byDefault: 'commit',
    documentation:
      'What an acknowledgement means. commit: the record is synced to the disk. os: it is written to the kernel, which survives the process, not a power cut.',
  },
  {
    name: 'flush.messages',
    brokerName: 'log.flush.interval.messages',
    ...honoured,
    type: 'long',
    min: 1,
    byDefault: longMax,
    documentation: 'Any value but the default makes the topic durable by commit, which syncs before each answer.',
  },
  {
    name: 'flush.ms',
    brokerName: 'log.flush.interval.ms',
    ...honoured,
    type: 'long',
    min: 0,
    byDefault: longMax,
    documentation: 'Any value but the default makes the topic durable by commit, which syncs before each answer.',
  },
  {
    name: 'min.insync.replicas',
    brokerName: 'min.insync.replicas',
    ...fixed,
    type: 'int',
    min: 1,
    byDefault: '1',
    documentation: 'A partition has one replica, which is in sync; more could never be met.',
  },
  {
    name: 'unclean.leader.election.enable',
    brokerName: 'unclean.leader.election.enable',
    ...asItStands,
    type: 'boolean',
    byDefault: 'false',
    documentation: 'No election happens on one node, so that none is unclean.',
  },
  {
    name: 'leader.replication.throttled.replicas',
    ...asItStands,
    type: 'list',
    byDefault: '',
    documentation: 'There is no replication that could be throttled.',
  },
  {
    name: 'follower.replication.throttled.replicas',
    ...asItStands,
    type: 'list',
    byDefault: '',
    documentation: 'There is no replication that could be throttled.',
  },
]

const recordRows: readonly TopicSettingRow[] = [
  {
    name: 'max.message.bytes',
    brokerName: 'message.max.bytes',
    ...honoured,
    type: 'int',
    min: 0,
    byDefault: String(batchBytesMax),
    documentation: 'The largest record batch taken, in bytes, as it is sent (compressed, its head included).',
  },
  {
    name: 'message.timestamp.type',
    brokerName: 'log.message.timestamp.type',
    ...honoured,
    type: 'string',
    words: ['CreateTime', 'LogAppendTime'],
    byDefault: 'CreateTime',
    documentation: "Whether records keep the producer's timestamp or get that of the append.",
  },
  {
    name: 'message.timestamp.before.max.ms',
    brokerName: 'log.message.timestamp.before.max.ms',
    ...honoured,
    type: 'long',
    min: 0,
    byDefault: longMax,
    documentation: 'A record whose timestamp lies further in the past than this is refused (CreateTime only).',
  },
  {
    name: 'message.timestamp.after.max.ms',
    brokerName: 'log.message.timestamp.after.max.ms',
    ...honoured,
    type: 'long',
    min: 0,
    byDefault: '3600000',
    documentation: 'A record whose timestamp lies further in the future than this is refused (CreateTime only).',
  },
  {
    name: 'compression.type',
    brokerName: 'compression.type',
    ...honoured,
    type: 'string',
    words: ['uncompressed', 'zstd', 'lz4', 'snappy', 'gzip', 'producer'],
    byDefault: 'producer',
    documentation:
      'producer keeps batches as they were sent, which costs nothing. Any other codec has the broker compress again what came otherwise.',
  },
  {
    name: 'compression.gzip.level',
    brokerName: 'compression.gzip.level',
    ...honoured,
    type: 'int',
    min: -1,
    max: 9,
    byDefault: '-1',
    documentation: 'Level of gzip where compression.type is gzip: 1 to 9, -1 the default of zlib.',
  },
  {
    name: 'compression.lz4.level',
    brokerName: 'compression.lz4.level',
    ...fixed,
    type: 'int',
    min: 1,
    max: 17,
    byDefault: '9',
    documentation: 'The lz4 codec here has one level, so that there is none to set.',
  },
  {
    name: 'compression.zstd.level',
    brokerName: 'compression.zstd.level',
    ...honoured,
    type: 'int',
    min: -131_072,
    max: 22,
    byDefault: '3',
    documentation: 'Level of zstd where compression.type is zstd.',
  },
]

const compactionRows: readonly TopicSettingRow[] = [
  {
    name: 'delete.retention.ms',
    brokerName: 'log.cleaner.delete.retention.ms',
    ...asItStands,
    type: 'long',
    min: 0,
    byDefault: String(day),
    documentation: 'How long compaction keeps tombstones. Without cleanup.policy=compact it says nothing, as in Kafka.',
  },
  {
    name: 'min.compaction.lag.ms',
    brokerName: 'log.cleaner.min.compaction.lag.ms',
    ...asItStands,
    type: 'long',
    min: 0,
    byDefault: '0',
    documentation: 'How long compaction leaves a record alone. Without cleanup.policy=compact it says nothing.',
  },
  {
    name: 'max.compaction.lag.ms',
    brokerName: 'log.cleaner.max.compaction.lag.ms',
    ...asItStands,
    type: 'long',
    min: 1,
    byDefault: longMax,
    documentation: 'When a record must be compacted at the latest. Without cleanup.policy=compact it says nothing.',
  },
  {
    name: 'min.cleanable.dirty.ratio',
    brokerName: 'log.cleaner.min.cleanable.ratio',
    ...asItStands,
    type: 'double',
    min: 0,
    max: 1,
    byDefault: '0.5',
    documentation:
      'From which share of new records on compaction begins. Without cleanup.policy=compact it says nothing.',
  },
]

const remoteRows: readonly TopicSettingRow[] = [
  {
    name: 'remote.storage.enable',
    ...fixed,
    type: 'boolean',
    byDefault: 'false',
    documentation: 'There is no remote tier.',
  },
  {
    name: 'remote.log.copy.disable',
    ...fixed,
    type: 'boolean',
    byDefault: 'false',
    documentation: 'There is no remote tier.',
  },
  {
    name: 'remote.log.delete.on.disable',
    ...fixed,
    type: 'boolean',
    byDefault: 'false',
    documentation: 'There is no remote tier.',
  },
  {
    name: 'local.retention.ms',
    brokerName: 'log.local.retention.ms',
    ...fixed,
    type: 'long',
    min: -2,
    byDefault: '-2',
    documentation: 'All data is local: retention.ms says how long it stays.',
  },
  {
    name: 'local.retention.bytes',
    brokerName: 'log.local.retention.bytes',
    ...fixed,
    type: 'long',
    min: -2,
    byDefault: '-2',
    documentation: 'All data is local: retention.bytes says how much of it stays.',
  },
]

/** Sorted by name, as operators see them. */
export const topicSettingRows: readonly TopicSettingRow[] = [
  ...retentionRows,
  ...durabilityRows,
  ...recordRows,
  ...compactionRows,
  ...remoteRows,
].sort((one, other) => (one.name < other.name ? -1 : 1))

export const topicSettings: ReadonlyMap<string, TopicSettingRow> = new Map(
  topicSettingRows.map((row) => [row.name, row]),
)
