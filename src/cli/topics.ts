// odradek topics: list, create, describe, delete, alter.
// Promises: what is printed is what the brokers answered; a topic that is not there is exit 3, one that is there already 4.
// Does not know: which broker it talks to, ours or a real Kafka.

import { apis } from '../wire/kafka/api-table.ts'
import { withClient, type KafkaFlags } from './command.ts'
import { throwAll, type CommandFailure } from './exit.ts'
import { pairs, wholeNumber } from './flags.ts'
import { earliest, latest, type KafkaClient, type TopicMetadata } from './kafka-client.ts'
import { kafkaFailure } from './kafka-errors.ts'
import { say, sayJson } from './output.ts'
import { bytesText, table, type Cell } from './table.ts'

const requestMs = 30_000
const topicResource = 2

export interface ListTopicsFlags extends KafkaFlags {
  readonly internal?: boolean
}

export function listTopics(flags: ListTopicsFlags): Promise<void> {
  return withClient(flags, async (client) => {
    const { topics } = await client.metadata(null)
    const shown = topics
      .filter((topic) => flags.internal === true || !topic.isInternal)
      .map(({ name, partitions, topicId }) => ({ name: name ?? '', partitions: partitions.length, id: topicId }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    if (flags.json === true) return sayJson(shown)
    if (shown.length === 0) return say('There are no topics. Make one: odradek topics create NAME\n')
    await say(
      table(
        ['TOPIC', 'PARTITIONS'],
        shown.map(({ name, partitions }) => [name, partitions]),
      ),
    )
  })
}

export interface CreateTopicFlags extends KafkaFlags {
  readonly partitions?: string
  readonly replicationFactor?: string
  readonly set?: readonly string[]
  readonly ifNotExists?: boolean
}

export function createTopic(name: string, flags: CreateTopicFlags): Promise<void> {
  const numPartitions = flags.partitions === undefined ? -1 : wholeNumber('--partitions', flags.partitions, 1)
  const replicationFactor =
    flags.replicationFactor === undefined ? -1 : wholeNumber('--replication-factor', flags.replicationFactor, 1, 32767)
  const configs = pairs('--set', flags.set).map(([key, value]) => ({ name: key, value }))
  return withClient(flags, async (client) => {
    const controller = await client.controller()
    const answer = await controller.request(apis.createTopics, {
      topics: [{ name, numPartitions, replicationFactor, configs }],
      timeoutMs: requestMs,
    })
    const topic = answer.topics[0]
    const code = topic?.errorCode ?? -1
    const alreadyExists = 36
    const existed = code === alreadyExists && flags.ifNotExists === true
    if (code !== 0 && !existed) throw kafkaFailure(`topic ${name}`, code, topic?.errorMessage)
    const partitions = topic?.numPartitions ?? -1
    if (flags.json === true) return sayJson({ name, created: !existed, partitions: partitions < 0 ? null : partitions })
    const shape = partitions > 0 ? ` with ${partitions} partition${partitions === 1 ? '' : 's'}` : ''
    await say(existed ? `Topic ${name} exists already.\n` : `Created topic ${name}${shape}.\n`)
  })
}

export function deleteTopics(names: readonly string[], flags: KafkaFlags): Promise<void> {
  return withClient(flags, async (client) => {
    const controller = await client.controller()
    const answer = await controller.request(
      apis.deleteTopics,
      { topicNames: names, timeoutMs: requestMs },
      { versionMax: 5 },
    )
    const failures: CommandFailure[] = []
    for (const { name, errorCode, errorMessage } of answer.responses) {
      if (errorCode !== 0) failures.push(kafkaFailure(`topic ${name}`, errorCode, errorMessage))
      else if (flags.json === true) await sayJson({ name, deleted: true })
      else await say(`Deleted topic ${name}.\n`)
    }
    throwAll(failures)
  })
}

interface PartitionReport {
  readonly partition: number
  readonly leader: number
  readonly replicas: readonly number[]
  readonly inSync: readonly number[]
  readonly start: number
  readonly end: number
  readonly bytes: number | null
}

export function describeTopic(name: string, flags: KafkaFlags): Promise<void> {
  return withClient(flags, async (client) => {
    const topic = await client.topic(name)
    const settings = await settingsOf(client, name)
    const partitions = await partitionReports(client, topic)
    if (flags.json === true) return sayJson({ name, id: topic.topicId, partitions, settings })
    const own = settings.filter(({ isDefault }) => !isDefault)
    await say(`Topic ${name}, id ${topic.topicId}\n\n`)
    const rows = partitions.map(({ partition, leader, replicas, inSync, start, end, bytes }): Cell[] => [
      partition,
      leader,
      replicas.join(','),
      inSync.join(','),
      start,
      end,
      end - start,
      bytes === null ? '-' : bytesText(bytes),
    ])
    await say(table(['PARTITION', 'LEADER', 'REPLICAS', 'IN SYNC', 'START', 'END', 'RECORDS', 'SIZE'], rows))
    await say(own.length === 0 ? '\nAll settings have their defaults.\n' : '\n' + settingsTable(own))
  })
}

const settingsTable = (settings: readonly SettingReport[]): string =>
  table(
    ['SETTING', 'VALUE'],
    settings.map(({ name, value }) => [name, value ?? 'null']),
  )

interface SettingReport {
  readonly name: string
  readonly value: string | null
  readonly isDefault: boolean
}

async function settingsOf(client: KafkaClient, name: string): Promise<SettingReport[]> {
  const broker = await client.any()
  const answer = await broker.request(apis.describeConfigs, {
    resources: [{ resourceType: topicResource, resourceName: name, configurationKeys: null }],
  })
  const result = answer.results[0]
  if (result === undefined) return []
  if (result.errorCode !== 0) throw kafkaFailure(`settings of topic ${name}`, result.errorCode, result.errorMessage)
  const topicSource = 1
  return result.configs
    .map((entry) => ({ name: entry.name, value: entry.value, isDefault: entry.configSource !== topicSource }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

async function partitionReports(client: KafkaClient, topic: TopicMetadata): Promise<PartitionReport[]> {
  const name = topic.name ?? ''
  const numbers = topic.partitions.map(({ partitionIndex }) => partitionIndex)
  const starts = await client.offsets(name, numbers, earliest)
  const ends = await client.offsets(name, numbers, latest)
  const bytes = await bytesOfPartitions(client, name, numbers)
  return topic.partitions
    .map((partition) => ({
      partition: partition.partitionIndex,
      leader: partition.leaderId,
      replicas: partition.replicaNodes,
      inSync: partition.isrNodes,
      start: starts.get(partition.partitionIndex)?.offset ?? -1,
      end: ends.get(partition.partitionIndex)?.offset ?? -1,
      bytes: bytes.get(partition.partitionIndex) ?? null,
    }))
    .sort((a, b) => a.partition - b.partition)
}

/** Bytes on the leaders' disks; empty where a broker does not tell. */
async function bytesOfPartitions(
  client: KafkaClient,
  topic: string,
  partitions: readonly number[],
): Promise<Map<number, number>> {
  const found = new Map<number, number>()
  const leaders = new Set(await Promise.all(partitions.map((partition) => client.leader({ topic, partition }))))
  for (const leader of leaders) {
    if (leader.versionOf(apis.describeLogDirs) === undefined) continue
    const answer = await leader.request(apis.describeLogDirs, { topics: [{ topic, partitions }] })
    for (const { topics } of answer.results) {
      for (const entry of topics) {
        for (const { partitionIndex, partitionSize, isFutureKey } of entry.partitions) {
          if (!isFutureKey) found.set(partitionIndex, Math.max(partitionSize, found.get(partitionIndex) ?? 0))
        }
      }
    }
  }
  return found
}

export interface AlterTopicFlags extends KafkaFlags {
  readonly partitions?: string
  readonly set?: readonly string[]
  readonly unset?: readonly string[]
}

export function alterTopic(name: string, flags: AlterTopicFlags): Promise<void> {
  const count = flags.partitions === undefined ? undefined : wholeNumber('--partitions', flags.partitions, 1)
  const set = 0
  const remove = 1
  const configs = [
    ...pairs('--set', flags.set).map(([key, value]) => ({ name: key, value, configOperation: set })),
    ...(flags.unset ?? []).map((key) => ({ name: key, value: null, configOperation: remove })),
  ]
  return withClient(flags, async (client) => {
    await client.topic(name)
    if (count !== undefined) await addPartitions(client, name, count)
    if (configs.length > 0) {
      const controller = await client.controller()
      const answer = await controller.request(apis.incrementalAlterConfigs, {
        resources: [{ resourceType: topicResource, resourceName: name, configs }],
      })
      const result = answer.responses[0]
      if (result !== undefined && result.errorCode !== 0) {
        throw kafkaFailure(`settings of topic ${name}`, result.errorCode, result.errorMessage)
      }
    }
    if (flags.json === true) return sayJson({ name, altered: true })
    await say(`Altered topic ${name}.\n`)
  })
}

async function addPartitions(client: KafkaClient, name: string, count: number): Promise<void> {
  const controller = await client.controller()
  const answer = await controller.request(apis.createPartitions, {
    topics: [{ name, count, assignments: null }],
    timeoutMs: requestMs,
  })
  const result = answer.results[0]
  if (result !== undefined && result.errorCode !== 0) {
    throw kafkaFailure(`partitions of topic ${name}`, result.errorCode, result.errorMessage)
  }
}
