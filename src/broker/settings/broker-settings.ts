// Broker settings: Kafka's names for what this node does, and our own for what Kafka has no name for.
// Promises: every value shown is the one in force; what may change while running is marked dynamic, the rest read-only.
// Does not know: topics' defaults beyond their names (topic-settings.ts holds those rows), where values are kept.

import { MiB } from '../../base/limits.ts'
import { booleanOf, judgeValue, numberOf, type SettingRule } from './setting-values.ts'
import { judgeOne } from './topic-policy.ts'
import { topicSettingRows, type TopicSettingRow } from './topic-settings.ts'

export interface BrokerSettingRow extends SettingRule {
  readonly name: string
  readonly byDefault: string | null
  /** May be changed while running; kept in the catalog. */
  readonly isDynamic: boolean
  /** `fixed`: can only be its default here. */
  readonly isFixed?: boolean
  /** The topic setting that this is the default of. */
  readonly topicRow?: TopicSettingRow
  readonly documentation: string
}

const dynamic = { isDynamic: true } as const
const atStart = { isDynamic: false } as const
const fixed = { isDynamic: false, isFixed: true } as const

const topicRows: readonly BrokerSettingRow[] = [
  {
    name: 'auto.create.topics.enable',
    ...atStart,
    type: 'boolean',
    byDefault: 'true',
    documentation: 'Whether a topic that a client asks for by name is made with the defaults when it is missing.',
  },
  {
    name: 'num.partitions',
    ...dynamic,
    type: 'int',
    min: 1,
    byDefault: '1',
    documentation: 'Partitions of a topic that does not say how many.',
  },
  {
    name: 'default.replication.factor',
    ...fixed,
    type: 'int',
    byDefault: '1',
    documentation: 'One node keeps one replica.',
  },
  {
    name: 'delete.topic.enable',
    ...fixed,
    type: 'boolean',
    byDefault: 'true',
    documentation: 'Topics may be deleted.',
  },
]

const diskRows: readonly BrokerSettingRow[] = [
  {
    name: 'retention.budget.bytes',
    ...dynamic,
    type: 'long',
    min: -1,
    byDefault: '-1',
    documentation:
      'All topics together keep at most this many bytes; the oldest segments under cleanup.policy=delete go first. When what is only dropped once consumed passes it alone, producing is refused. -1: no budget.',
  },
  {
    name: 'log.retention.check.interval.ms',
    ...atStart,
    type: 'long',
    min: 1,
    byDefault: '30000',
    documentation: 'How often retention looks for segments to drop.',
  },
  {
    name: 'disk.low.bytes',
    ...dynamic,
    type: 'long',
    min: 0,
    byDefault: String(64 * MiB),
    documentation:
      'Producing is refused while fewer bytes than this are free, until there is room again. Reading, committing offsets and deleting go on.',
  },
  {
    name: 'disk.reserve.bytes',
    ...dynamic,
    type: 'long',
    min: 0,
    byDefault: String(16 * MiB),
    documentation: 'Topics are neither made nor grown while fewer bytes than this are free.',
  },
]

const producerRows: readonly BrokerSettingRow[] = [
  {
    name: 'producer.id.expiration.ms',
    ...atStart,
    type: 'int',
    min: 1,
    byDefault: '86400000',
    documentation: 'A producer that wrote nothing to a partition for this long is forgotten there.',
  },
  {
    name: 'transactional.id.expiration.ms',
    ...fixed,
    type: 'int',
    byDefault: '604800000',
    documentation: 'Transactions are not built yet.',
  },
]

const groupNumber = (
  name: string,
  byDefault: number,
  min: number,
  documentation: string,
  max?: number,
): BrokerSettingRow => ({
  name,
  ...atStart,
  type: 'int',
  min,
  ...(max === undefined ? {} : { max }),
  byDefault: String(byDefault),
  documentation,
})

const groupRows: readonly BrokerSettingRow[] = [
  groupNumber('group.min.session.timeout.ms', 6000, 1, 'The shortest session a group member may ask for.'),
  groupNumber('group.max.session.timeout.ms', 1_800_000, 1, 'The longest session a group member may ask for.'),
  groupNumber(
    'group.initial.rebalance.delay.ms',
    0,
    0,
    'How long an empty group waits for more members before its first rebalance. Kafka waits 3000; here nobody waits unless asked to.',
  ),
  groupNumber('group.max.size', 10_000, 1, 'Most members of one group.'),
  groupNumber('offset.metadata.max.bytes', 4096, 0, 'Most bytes of metadata committed with an offset.'),
  groupNumber(
    'offsets.retention.minutes',
    10_080,
    1,
    'Committed offsets of a group without members are forgotten after this.',
  ),
  groupNumber('offsets.retention.check.interval.ms', 600_000, 1, 'How often expired offsets are looked for.'),
]

const nodeRows: readonly BrokerSettingRow[] = [
  { name: 'node.id', ...fixed, type: 'int', byDefault: '1', documentation: 'The id of this node.' },
  { name: 'broker.id', ...fixed, type: 'int', byDefault: '1', documentation: 'The id of this node, by its old name.' },
  {
    name: 'listeners',
    ...fixed,
    type: 'list',
    byDefault: '',
    documentation: 'Where Kafka clients connect to. Set with --kafka.',
  },
  {
    name: 'advertised.listeners',
    ...fixed,
    type: 'list',
    byDefault: null,
    documentation: 'What clients are told to connect to; none: the address they came to. Set with --advertise.',
  },
  { name: 'log.dirs', ...fixed, type: 'list', byDefault: '', documentation: 'Where the data is. Set with --data.' },
]

/** Each topic setting that a broker setting is the default of, as that broker setting. */
const defaultRows: readonly BrokerSettingRow[] = topicSettingRows.flatMap((topicRow) =>
  topicRow.brokerName === undefined
    ? []
    : [
        {
          name: topicRow.brokerName,
          type: topicRow.type,
          byDefault: topicRow.byDefault,
          isDynamic: topicRow.kind !== 'fixed',
          isFixed: topicRow.kind === 'fixed',
          topicRow,
          documentation: `Of topics that do not set ${topicRow.name}: ${topicRow.documentation}`,
        },
      ],
)

export const brokerSettingRows: readonly BrokerSettingRow[] = [
  ...topicRows,
  ...diskRows,
  ...producerRows,
  ...groupRows,
  ...nodeRows,
  ...defaultRows,
].sort((one, other) => (one.name < other.name ? -1 : 1))

export const brokerSettings: ReadonlyMap<string, BrokerSettingRow> = new Map(
  brokerSettingRows.map((row) => [row.name, row]),
)

/** Names that Kafka has in several units: what is said in another unit is kept in the one we have. */
const otherUnits: ReadonlyMap<string, { readonly name: string; readonly factor: number }> = new Map([
  ['log.retention.hours', { name: 'log.retention.ms', factor: 3_600_000 }],
  ['log.retention.minutes', { name: 'log.retention.ms', factor: 60_000 }],
  ['log.roll.hours', { name: 'log.roll.ms', factor: 3_600_000 }],
  ['log.roll.jitter.hours', { name: 'log.roll.jitter.ms', factor: 3_600_000 }],
])

/** Why `text` cannot be set; undefined when it can. */
export function judgeBrokerSetting(name: string, text: string): string | undefined {
  const other = otherUnits.get(name)
  if (other !== undefined) return judgeValue({ type: 'int', min: -1 }, text)
  const row = brokerSettings.get(name)
  if (row === undefined) return 'there is no broker setting of this name'
  if (row.topicRow !== undefined) return judgeOne(row.topicRow, text)?.why
  const wrong = judgeValue(row, text)
  if (wrong !== undefined) return wrong
  return row.isFixed === true && text.trim() !== row.byDefault ? `it cannot be set: ${row.documentation}` : undefined
}

/** Judged settings in the units of the table. */
export function normaliseBrokerSettings(
  said: Readonly<Record<string, string | number | boolean>>,
): ReadonlyMap<string, string> {
  const settings = new Map<string, string>()
  for (const [name, value] of Object.entries(said)) {
    const other = otherUnits.get(name)
    if (other === undefined) settings.set(name, String(value).trim())
    // The finer unit wins, as in Kafka.
    else if (!(other.name in said)) {
      const number = Number(value)
      settings.set(other.name, String(number < 0 ? -1 : number * other.factor))
    }
  }
  return settings
}

/** The values in force: changed while running, given at start, or the default. */
export class BrokerSettings {
  readonly #given: ReadonlyMap<string, string>
  readonly #changed: () => ReadonlyMap<string, string>

  constructor(given: ReadonlyMap<string, string>, changed: () => ReadonlyMap<string, string>) {
    this.#given = given
    this.#changed = changed
  }

  given(name: string): string | undefined {
    return this.#given.get(name)
  }

  changed(name: string): string | undefined {
    return this.#changed().get(name)
  }

  text(name: string): string {
    return this.#changed().get(name) ?? this.#given.get(name) ?? brokerSettings.get(name)?.byDefault ?? ''
  }

  number(name: string): number {
    return numberOf(this.text(name))
  }

  boolean(name: string): boolean {
    return booleanOf(this.text(name))
  }
}
