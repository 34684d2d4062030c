// Where a group is: its committed offsets against the logs they point into, in records and in time.
// Promises: lag in time is the age of the oldest record the group has not read, not a guess from rates.
// Does not know: members, what is printed.

import { apis } from '../wire/kafka/api-table.ts'
import { Fetcher } from './fetcher.ts'
import { earliest, keyOf, latest, type KafkaClient, type TopicPartition } from './kafka-client.ts'
import { errorCodes, kafkaFailure } from './kafka-errors.ts'

export interface GroupOffset extends TopicPartition {
  readonly committed: number
  readonly start: number
  readonly end: number
  /** Records between committed and end; offsets that hold no record count, as in Kafka's own tools. */
  readonly lag: number
  /** Age of the oldest unread record; undefined when there is none. */
  readonly lagMs: number | undefined
}

/** All that the group has committed; topics deleted meanwhile are left out. */
export async function committedOffsets(
  client: KafkaClient,
  group: string,
): Promise<(TopicPartition & { readonly committed: number })[]> {
  const answer = await client.settle(`group ${group}`, async () => {
    const coordinator = await client.coordinator(group)
    const offsets = await coordinator.request(apis.offsetFetch, { groupId: group, topics: null }, { versionMax: 7 })
    return offsets.errorCode === 0 ? offsets : offsets.errorCode
  })
  const { topics: existing } = await client.metadata(answer.topics.map(({ name }) => name))
  const gone = new Set(
    existing.filter(({ errorCode }) => errorCode === errorCodes.unknownTopicOrPartition).map(({ name }) => name),
  )
  return answer.topics
    .filter(({ name }) => !gone.has(name))
    .flatMap(({ name, partitions }) =>
      partitions.map(({ partitionIndex, committedOffset, errorCode }) => {
        if (errorCode !== 0) throw kafkaFailure(`offset of ${name}-${partitionIndex}`, errorCode)
        return { topic: name, partition: partitionIndex, committed: committedOffset }
      }),
    )
    .filter(({ committed }) => committed >= 0)
    .sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1))
}

export async function groupOffsets(client: KafkaClient, group: string): Promise<GroupOffset[]> {
  const committed = await committedOffsets(client, group)
  const rows: GroupOffset[] = []
  for (const topic of new Set(committed.map((one) => one.topic))) {
    const own = committed.filter((one) => one.topic === topic)
    const numbers = own.map(({ partition }) => partition)
    const starts = await client.offsets(topic, numbers, earliest)
    const ends = await client.offsets(topic, numbers, latest)
    for (const { partition, committed: at } of own) {
      const start = starts.get(partition)?.offset ?? 0
      const end = ends.get(partition)?.offset ?? 0
      const lag = Math.max(0, end - Math.max(at, start))
      const lagMs = lag === 0 ? undefined : await ageOfRecordAt(client, { topic, partition }, Math.max(at, start))
      rows.push({ topic, partition, committed: at, start, end, lag, lagMs })
    }
  }
  return rows
}

/** How long ago the first record at or after `offset` was stamped. */
async function ageOfRecordAt(client: KafkaClient, at: TopicPartition, offset: number): Promise<number | undefined> {
  // One byte: the first batch comes whole, whatever its size, and no more than it.
  const fetcher = new Fetcher(client, () => {}, 1)
  fetcher.assign([{ ...at, offset }])
  const first = (await fetcher.fetch()).find((record) => keyOf(record) === keyOf(at))
  return first === undefined ? undefined : Math.max(0, client.clock.nowMs() - first.timestampMs)
}
