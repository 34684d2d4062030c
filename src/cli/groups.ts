// odradek groups: list, describe, reset, delete.
// Promises: reset shows what it changes, and with --dry-run changes nothing; a group with members is refused by its broker.
// Does not know: how lag is found (group-offsets.ts).

import { apis } from '../wire/kafka/api-table.ts'
import type { DescribeGroupsResponse } from '../wire/kafka/messages/groups.ts'
import { withClient, type KafkaFlags } from './command.ts'
import { CommandFailure, exitCodes, throwAll } from './exit.ts'
import { instant, usage, wholeNumber } from './flags.ts'
import { partitionsIn } from './group-member.ts'
import { committedOffsets, groupOffsets, type GroupOffset } from './group-offsets.ts'
import { byTopic, earliest, keyOf, latest, type KafkaClient, type TopicPartition } from './kafka-client.ts'
import { errorCodes, kafkaFailure } from './kafka-errors.ts'
import { say, sayJson } from './output.ts'
import { durationText, table } from './table.ts'

type GroupDescription = DescribeGroupsResponse['groups'][number]

export function listGroups(flags: KafkaFlags): Promise<void> {
  return withClient(flags, async (client) => {
    const { brokers } = await client.metadata([])
    const groups = new Map<string, { group: string; state: string; type: string; protocol: string }>()
    // Each broker knows the groups it coordinates.
    for (const { nodeId } of brokers) {
      const broker = await client.node(nodeId)
      const answer = await broker.request(apis.listGroups, {})
      if (answer.errorCode !== 0) throw kafkaFailure('groups', answer.errorCode)
      for (const { groupId, groupState, groupType, protocolType } of answer.groups) {
        groups.set(groupId, { group: groupId, state: groupState, type: groupType, protocol: protocolType })
      }
    }
    const shown = [...groups.values()].sort((a, b) => (a.group < b.group ? -1 : 1))
    if (flags.json === true) return sayJson(shown)
    if (shown.length === 0) return say('There are no groups. One appears when a consumer joins it.\n')
    await say(
      table(
        ['GROUP', 'STATE', 'TYPE'],
        shown.map(({ group, state, type }) => [group, state || '-', type.toLowerCase() || '-']),
      ),
    )
  })
}

export function describeGroup(group: string, flags: KafkaFlags): Promise<void> {
  return withClient(flags, async (client) => {
    const description = await describe(client, group)
    const offsets = await groupOffsets(client, group)
    const isThere = description !== undefined || offsets.length > 0
    if (!isThere) throw new CommandFailure(`group ${group}: there is no such group`, exitCodes.notFound)
    const members = (description?.members ?? []).map((member) => ({
      memberId: member.memberId,
      clientId: member.clientId,
      host: member.clientHost.replace(/^\//, ''),
      partitions: description?.protocolType === 'consumer' ? partitionsIn(member.memberAssignment) : [],
    }))
    const state = description?.groupState ?? 'unknown'
    const protocol = description?.protocolData ?? ''
    if (flags.json === true) {
      return sayJson({
        group,
        state,
        protocol,
        members,
        offsets: offsets.map((row) => ({ ...row, lagMs: row.lagMs ?? null })),
      })
    }
    await say(`Group ${group}, ${state.toLowerCase()}${protocol === '' ? '' : `, assignor ${protocol}`}\n`)
    await sayOffsets(offsets)
    if (members.length === 0) return say('\nThe group has no members now.\n')
    const rows = members.map(({ memberId, clientId, host, partitions }) => [
      memberId,
      clientId,
      host,
      partitions.map(keyOf).join(' ') || '-',
    ])
    await say('\n' + table(['MEMBER', 'CLIENT', 'HOST', 'PARTITIONS'], rows))
  })
}

async function sayOffsets(offsets: readonly GroupOffset[]): Promise<void> {
  if (offsets.length === 0) return say('It has committed no offsets.\n')
  const rows = offsets.map(({ topic, partition, committed, end, lag, lagMs }) => [
    topic,
    partition,
    committed,
    end,
    lag,
    lagMs === undefined ? '-' : durationText(lagMs),
  ])
  await say('\n' + table(['TOPIC', 'PARTITION', 'COMMITTED', 'END', 'LAG', 'OLDEST UNREAD'], rows))
}

/** undefined: the coordinator knows no group of this name (or one of a protocol that DescribeGroups does not show). */
async function describe(client: KafkaClient, group: string): Promise<GroupDescription | undefined> {
  const found = await client.settle(`group ${group}`, async () => {
    const coordinator = await client.coordinator(group)
    const answer = await coordinator.request(apis.describeGroups, { groups: [group] })
    const description = answer.groups[0]
    if (description === undefined || description.errorCode === errorCodes.groupIdNotFound) return {}
    return description.errorCode === 0 ? { description } : description.errorCode
  })
  return found.description?.groupState === 'Dead' ? undefined : found.description
}

export interface ResetFlags extends KafkaFlags {
  readonly topic?: readonly string[]
  readonly toEarliest?: boolean
  readonly toLatest?: boolean
  readonly toOffset?: string
  readonly toDatetime?: string
  readonly shiftBy?: string
  readonly dryRun?: boolean
}

/** Where one partition's offset goes, before it is kept within the log. */
type Target = (at: {
  readonly committed: number
  readonly start: number
  readonly end: number
  readonly found: number
}) => number

interface Aim {
  readonly target: Target
  /** Asked of ListOffsets for `found`; undefined: not needed. */
  readonly timestampMs?: number
}

function aimOf(flags: ResetFlags): Aim {
  const aims: Aim[] = []
  if (flags.toEarliest === true) aims.push({ target: ({ start }) => start })
  if (flags.toLatest === true) aims.push({ target: ({ end }) => end })
  if (flags.toOffset !== undefined) {
    const offset = wholeNumber('--to-offset', flags.toOffset)
    aims.push({ target: () => offset })
  }
  if (flags.toDatetime !== undefined) {
    const timestampMs = instant('--to-datetime', flags.toDatetime)
    aims.push({ timestampMs, target: ({ found, end }) => (found < 0 ? end : found) })
  }
  if (flags.shiftBy !== undefined) {
    const by = wholeNumber('--shift-by', flags.shiftBy, Number.MIN_SAFE_INTEGER)
    aims.push({ target: ({ committed, start }) => (committed < 0 ? start : committed) + by })
  }
  const [aim] = aims
  if (aim === undefined || aims.length > 1) {
    throw usage('groups reset wants one of --to-earliest, --to-latest, --to-offset, --to-datetime, --shift-by')
  }
  return aim
}

interface Move extends TopicPartition {
  readonly from: number
  readonly to: number
}

export function resetGroup(group: string, flags: ResetFlags): Promise<void> {
  const aim = aimOf(flags)
  return withClient(flags, async (client) => {
    const moves = await movesOf(client, group, aim, flags.topic)
    if (flags.dryRun !== true) await commitMoves(client, group, moves)
    if (flags.json === true) return sayJson({ group, dryRun: flags.dryRun === true, partitions: moves })
    const rows = moves.map(({ topic, partition, from, to }) => [topic, partition, from < 0 ? '-' : from, to])
    await say(table(['TOPIC', 'PARTITION', 'FROM', 'TO'], rows))
    if (flags.dryRun === true) await say('\nNothing was changed (--dry-run).\n')
  })
}

async function movesOf(
  client: KafkaClient,
  group: string,
  aim: Aim,
  topics: readonly string[] | undefined,
): Promise<Move[]> {
  const committed = await committedOffsets(client, group)
  const names = topics ?? [...new Set(committed.map(({ topic }) => topic))]
  if (names.length === 0) {
    throw new CommandFailure(`group ${group} has committed no offsets; name a topic with --topic`, exitCodes.notFound)
  }
  const known = new Map(committed.map((one) => [keyOf(one), one.committed]))
  const moves: Move[] = []
  for (const topic of names) {
    const { partitions } = await client.topic(topic)
    const numbers = partitions.map(({ partitionIndex }) => partitionIndex).sort((a, b) => a - b)
    const starts = await client.offsets(topic, numbers, earliest)
    const ends = await client.offsets(topic, numbers, latest)
    const found = aim.timestampMs === undefined ? undefined : await client.offsets(topic, numbers, aim.timestampMs)
    for (const partition of numbers) {
      const start = starts.get(partition)?.offset ?? 0
      const end = ends.get(partition)?.offset ?? 0
      const from = known.get(keyOf({ topic, partition })) ?? -1
      const to = aim.target({ committed: from, start, end, found: found?.get(partition)?.offset ?? -1 })
      moves.push({ topic, partition, from, to: Math.min(end, Math.max(start, to)) })
    }
  }
  return moves
}

async function commitMoves(client: KafkaClient, group: string, moves: readonly Move[]): Promise<void> {
  const answer = await client.settle(`group ${group}`, async () => {
    const coordinator = await client.coordinator(group)
    const committed = await coordinator.request(
      apis.offsetCommit,
      {
        groupId: group,
        topics: byTopic(moves).map(([name, own]) => ({
          name,
          partitions: own.map(({ partition, to }) => ({
            partitionIndex: partition,
            committedOffset: to,
            committedMetadata: '',
          })),
        })),
      },
      { versionMax: 9 },
    )
    const passing = [errorCodes.coordinatorLoading, errorCodes.coordinatorUnavailable, errorCodes.notCoordinator]
    const code = committed.topics[0]?.partitions[0]?.errorCode ?? 0
    return passing.some((one) => one === code) ? code : committed
  })
  const failures = answer.topics.flatMap(({ name, partitions }) =>
    partitions
      .filter(({ errorCode }) => errorCode !== 0)
      .map(({ partitionIndex, errorCode }) => kafkaFailure(`group ${group}, ${name}-${partitionIndex}`, errorCode)),
  )
  throwAll(failures)
}

export function deleteGroups(groups: readonly string[], flags: KafkaFlags): Promise<void> {
  return withClient(flags, async (client) => {
    const failures: CommandFailure[] = []
    for (const group of groups) {
      const { errorCode, errorMessage } = await client.settle(`group ${group}`, async () => {
        const coordinator = await client.coordinator(group)
        const { results } = await coordinator.request(apis.deleteGroups, { groupsNames: [group] })
        return results[0] ?? -1
      })
      if (errorCode !== 0) failures.push(kafkaFailure(`group ${group}`, errorCode, errorMessage))
      else if (flags.json === true) await sayJson({ group, deleted: true })
      else await say(`Deleted group ${group}.\n`)
    }
    throwAll(failures)
  })
}
