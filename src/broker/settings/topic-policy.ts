// A topic's policy: its settings judged together and read into the values the broker works with.
// Promises: judgeTopicSettings refuses what topic-settings.ts says is not true here; compilePolicy never fails after it.
// Does not know: where the settings come from or are kept.

import type { CompressionName } from '../../log/batch.ts'
import { codecLoads } from '../../log/compression.ts'
import type { Durability, LogId, LogSettings } from '../../log/store.ts'
import { refuse, type Refusal } from '../errors.ts'
import { booleanOf, judgeValue, listOf, numberOf } from './setting-values.ts'
import { topicSettings, type TopicSettingRow } from './topic-settings.ts'

export interface TopicPolicy {
  /** What a queue has worked off is dropped (cleanup.policy=consumed). */
  readonly dropsConsumed: boolean
  /** Retention applies, consumed or not (cleanup.policy=delete). */
  readonly isRetained: boolean
  /** -1: never. */
  readonly retentionMs: number
  /** -1: no limit. */
  readonly retentionBytes: number
  /** With cleanup.policy=consumed alone: what was worked off stays for this long; 0: not at all, -1: no limit. */
  readonly consumedMs: number
  /** As much of it stays as makes the log this large. 0 with a consumedMs of 0, -1: no limit. */
  readonly consumedBytes: number
  /** Groups without which nothing is dropped as consumed. */
  readonly holdGroups: readonly string[]
  readonly batchBytesMax: number
  readonly stampsAppendTime: boolean
  readonly timestampBeforeMs: number
  readonly timestampAfterMs: number
  readonly compression: CompressionName | 'producer'
  /** undefined: the codec's own default. */
  readonly compressionLevel: number | undefined
  readonly durability: Durability
  readonly segmentBytesMax: number
  readonly segmentAgeMsMax: number
  readonly segmentJitterMs: number
  readonly indexIntervalBytes: number
}

/** Why these overrides of a topic's settings cannot be; undefined when they can. */
export function judgeTopicSettings(overrides: ReadonlyMap<string, string>): Refusal | undefined {
  for (const [name, text] of overrides) {
    const row = topicSettings.get(name)
    if (row === undefined) return refuse('invalidSetting', `Unknown topic config name: ${name}`)
    const refusal = judgeOne(row, text)
    if (refusal !== undefined) return refusal
  }
  if (listOf(overrides.get('consumed.hold.groups') ?? '').length > 0 && !isConsumed(overrides))
    return refuse(
      'invalidSetting',
      'consumed.hold.groups is for topics with cleanup.policy=consumed: without it nothing is dropped as consumed.',
    )
  if (
    overrides.get('durability')?.trim() === 'os' &&
    (asksFlush(overrides, 'flush.messages') || asksFlush(overrides, 'flush.ms'))
  )
    return refuse(
      'invalidSetting',
      'durability=os contradicts flush.messages and flush.ms, which ask for syncs: leave one out.',
    )
  return undefined
}

/** Judges one value against its row: type and bounds first, then whether it can be honoured here. */
export function judgeOne(row: TopicSettingRow, text: string): Refusal | undefined {
  const wrong = judgeValue(row, text)
  if (wrong !== undefined)
    return refuse('invalidSetting', `Invalid value ${text} for configuration ${row.name}: ${wrong}`)
  if (row.kind === 'fixed' && text.trim().toLowerCase() !== row.byDefault)
    return refuse('invalidSetting', `${row.name} can only be ${row.byDefault} here: ${row.documentation}`)
  if (row.name === 'cleanup.policy') return judgeCleanup(text)
  return row.name === 'compression.type' ? judgeCodec(text.trim()) : undefined
}

/** A codec that does not load here could compress nothing: better said now than at each batch. */
function judgeCodec(name: string): Refusal | undefined {
  if (name === 'producer' || name === 'uncompressed' || codecLoads(name as CompressionName)) return undefined
  return refuse('invalidSetting', `compression.type=${name} needs a package that does not load on this machine.`)
}

function judgeCleanup(text: string): Refusal | undefined {
  const policies = listOf(text)
  if (policies.includes('compact'))
    return refuse(
      'policyViolation',
      'cleanup.policy=compact is not built yet: use delete, with retention.ms=-1 to keep everything.',
    )
  return policies.length === 0
    ? refuse(
        'invalidSetting',
        'Invalid value for configuration cleanup.policy: it must name a policy; keep everything with retention.ms=-1.',
      )
    : undefined
}

const isConsumed = (overrides: ReadonlyMap<string, string>): boolean =>
  listOf(overrides.get('cleanup.policy') ?? '').includes('consumed')

const asksFlush = (values: ReadonlyMap<string, string>, name: string): boolean => {
  const text = values.get(name)
  return text !== undefined && text.trim() !== topicSettings.get(name)?.byDefault
}

/** `value` gives the effective text of every topic setting; `isOwn`: whether the topic sets it itself. */
export function compilePolicy(
  value: (name: string) => string,
  isOwn: (name: string) => boolean = () => true,
): TopicPolicy {
  const number = (name: string): number => numberOf(value(name))
  const flushes = ['flush.messages', 'flush.ms'].some(
    (name) => value(name).trim() !== topicSettings.get(name)?.byDefault,
  )
  const compression = value('compression.type').trim()
  const cleanup = listOf(value('cleanup.policy'))
  // Consumed alone: what nobody worked off stays, however old or much it is.
  const retains = cleanup.includes('delete')
  // Of what is worked off nothing stays unless the topic itself asks for it: the broker's defaults are for the others.
  const keeps = !retains && (isOwn('retention.ms') || isOwn('retention.bytes'))
  const kept = (name: string): number => (!keeps ? 0 : isOwn(name) ? number(name) : -1)
  return {
    dropsConsumed: cleanup.includes('consumed'),
    isRetained: retains,
    consumedMs: kept('retention.ms'),
    consumedBytes: kept('retention.bytes'),
    holdGroups: listOf(value('consumed.hold.groups')),
    retentionMs: retains ? number('retention.ms') : -1,
    retentionBytes: retains ? number('retention.bytes') : -1,
    batchBytesMax: number('max.message.bytes'),
    stampsAppendTime: value('message.timestamp.type').trim() === 'LogAppendTime',
    timestampBeforeMs: number('message.timestamp.before.max.ms'),
    timestampAfterMs: number('message.timestamp.after.max.ms'),
    compression: compression === 'uncompressed' ? 'none' : (compression as CompressionName | 'producer'),
    compressionLevel:
      compression === 'gzip' || compression === 'zstd' ? number(`compression.${compression}.level`) : undefined,
    durability: flushes || value('durability').trim() === 'commit' ? 'commit' : 'os',
    segmentBytesMax: number('segment.bytes'),
    segmentAgeMsMax: number('segment.ms'),
    segmentJitterMs: number('segment.jitter.ms'),
    indexIntervalBytes: number('index.interval.bytes'),
  }
}

/** A log's settings. The jitter is taken from the log's name, so that it is another for each and the same at each start. */
export function logSettingsOf(policy: TopicPolicy, id: LogId): LogSettings {
  let segmentAgeMsMax = policy.segmentAgeMsMax
  if (policy.segmentJitterMs > 0) {
    let hash = 0
    for (let at = 0; at < id.length; at++) hash = (Math.imul(hash, 31) + id.charCodeAt(at)) >>> 0
    segmentAgeMsMax -= Math.floor(Math.min(policy.segmentJitterMs, policy.segmentAgeMsMax) * (hash / 0x1_0000_0000))
  }
  return {
    durability: policy.durability,
    segmentBytesMax: policy.segmentBytesMax,
    segmentAgeMsMax,
    indexIntervalBytes: policy.indexIntervalBytes,
  }
}

/** Judged overrides as they are kept. */
export function normalisedAll(overrides: ReadonlyMap<string, string>): Map<string, string> {
  const kept = new Map<string, string>()
  for (const [name, text] of overrides) {
    const row = topicSettings.get(name)
    if (row !== undefined) kept.set(name, normalised(row, text))
  }
  return kept
}

/** Values are kept as they came, but trimmed; a boolean in Kafka's spelling. */
function normalised(row: TopicSettingRow, text: string): string {
  if (row.type === 'boolean') return String(booleanOf(text))
  return row.type === 'list' ? listOf(text).join(',') : text.trim()
}
