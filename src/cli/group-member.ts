// A member of a consumer group: joins, takes its share, keeps its place, commits, leaves (the classic protocol).
// Promises: partitions are balanced with every other consumer that offers `range`; a heartbeat runs while records are
// handled; after a rebalance nothing is committed under the old generation.
// Does not know: fetching, what is done with records.

import type { Timer } from '../base/world.ts'
import { DecodeError } from '../base/bytes.ts'
import { apis, type AnyApi } from '../wire/kafka/api-table.ts'
import type { InputOf, ValueOf } from '../base/schema.ts'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from '../wire/kafka/messages/consumer-protocol.ts'
import { byTopic, type KafkaClient, type TopicPartition } from './kafka-client.ts'
import { CommandFailure } from './exit.ts'
import { errorCodes, isPassing, kafkaFailure } from './kafka-errors.ts'
import { assignRanges } from './range-assignor.ts'

const sessionMs = 30_000
const rebalanceMs = 60_000
const heartbeatMs = 3000
/** Version of the subscription and assignment inside: 1 is what every client reads. */
const protocolVersion = 1

export class GroupMember {
  private readonly client: KafkaClient
  private readonly group: string
  private readonly topics: readonly string[]
  private memberId = ''
  private generation = -1
  private beat: Timer | undefined
  private mustRejoin = true
  private failure: unknown

  constructor(client: KafkaClient, group: string, topics: readonly string[]) {
    this.client = client
    this.group = group
    this.topics = topics
  }

  /** Whether the group has changed since join(): commit, then join again. */
  get isStale(): boolean {
    if (this.failure !== undefined) throw this.failure
    return this.mustRejoin
  }

  /** Joins and waits for this member's share. */
  async join(): Promise<TopicPartition[]> {
    this.beat?.cancel()
    for (;;) {
      const share = await this.joinOnce()
      if (share === undefined) continue
      this.mustRejoin = false
      this.scheduleBeat()
      return share
    }
  }

  private async joinOnce(): Promise<TopicPartition[] | undefined> {
    const joined = await this.ask(apis.joinGroup, {
      groupId: this.group,
      sessionTimeoutMs: sessionMs,
      rebalanceTimeoutMs: rebalanceMs,
      memberId: this.memberId,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: this.subscription() }],
    })
    if (joined.errorCode === errorCodes.memberIdRequired) {
      this.memberId = joined.memberId
      return undefined
    }
    if (this.hasLostPlace(joined.errorCode)) return undefined
    if (joined.errorCode !== 0) throw kafkaFailure(`group ${this.group}`, joined.errorCode)
    this.memberId = joined.memberId
    this.generation = joined.generationId
    const assignments = joined.leader === joined.memberId ? await this.assignAll(joined.members) : []
    const synced = await this.ask(apis.syncGroup, {
      groupId: this.group,
      generationId: this.generation,
      memberId: this.memberId,
      protocolType: 'consumer',
      protocolName: joined.protocolName,
      assignments,
    })
    if (this.hasLostPlace(synced.errorCode)) return undefined
    if (synced.errorCode !== 0) throw kafkaFailure(`group ${this.group}`, synced.errorCode)
    return partitionsIn(synced.assignment)
  }

  /** The coordinator wants a new join; an id it does not know any more is dropped. */
  private hasLostPlace(code: number): boolean {
    if (code === errorCodes.unknownMember || code === errorCodes.illegalGeneration) this.memberId = ''
    return (
      code === errorCodes.unknownMember ||
      code === errorCodes.illegalGeneration ||
      code === errorCodes.rebalanceInProgress
    )
  }

  private subscription(): Buffer {
    return encodeSubscription(protocolVersion, { topics: this.topics })
  }

  private async assignAll(
    members: readonly { readonly memberId: string; readonly metadata: Buffer }[],
  ): Promise<{ memberId: string; assignment: Buffer }[]> {
    const subscriptions = members.map(({ memberId, metadata }) => ({ memberId, topics: topicsIn(metadata) }))
    const wanted = [...new Set(subscriptions.flatMap(({ topics }) => topics))]
    const { topics } = await this.client.metadata(wanted)
    const partitionsOf = new Map(topics.map(({ name, partitions }) => [name ?? '', partitions.length]))
    return [...assignRanges(subscriptions, partitionsOf)].map(([memberId, share]) => ({
      memberId,
      assignment: encodeAssignment(protocolVersion, {
        assignedPartitions: [...share].map(([topic, partitions]) => ({ topic, partitions })),
      }),
    }))
  }

  private scheduleBeat(): void {
    this.beat = this.client.clock.after(heartbeatMs, () => {
      this.heartbeat().catch((error: unknown) => {
        this.failure = error
      })
    })
  }

  private async heartbeat(): Promise<void> {
    const { errorCode } = await this.ask(apis.heartbeat, {
      groupId: this.group,
      generationId: this.generation,
      memberId: this.memberId,
    })
    if (this.hasLostPlace(errorCode)) this.mustRejoin = true
    else if (errorCode !== 0) throw kafkaFailure(`group ${this.group}`, errorCode)
    else this.scheduleBeat()
  }

  /** Where the group is in these partitions; -1 where it has committed nothing. */
  async committed(partitions: readonly TopicPartition[]): Promise<(TopicPartition & { offset: number })[]> {
    const { topics, errorCode } = await this.ask(
      apis.offsetFetch,
      {
        groupId: this.group,
        topics: byTopic(partitions).map(([name, own]) => ({
          name,
          partitionIndexes: own.map(({ partition }) => partition),
        })),
      },
      7,
    )
    if (errorCode !== 0) throw kafkaFailure(`group ${this.group}`, errorCode)
    return topics.flatMap(({ name, partitions: own }) =>
      own.map(({ partitionIndex, committedOffset }) => ({
        topic: name,
        partition: partitionIndex,
        offset: committedOffset,
      })),
    )
  }

  /** Commits the next offsets to be read. A generation that is gone commits nothing: the new owners read on from before. */
  async commit(positions: readonly (TopicPartition & { readonly offset: number })[]): Promise<void> {
    if (positions.length === 0 || this.memberId === '') return
    const { topics } = await this.ask(
      apis.offsetCommit,
      {
        groupId: this.group,
        generationIdOrMemberEpoch: this.generation,
        memberId: this.memberId,
        topics: byTopic(positions).map(([name, own]) => ({
          name,
          partitions: own.map(({ partition, offset }) => ({
            partitionIndex: partition,
            committedOffset: offset,
            committedMetadata: '',
          })),
        })),
      },
      9,
    )
    for (const { name, partitions } of topics) {
      for (const { partitionIndex, errorCode } of partitions) {
        if (this.hasLostPlace(errorCode)) this.mustRejoin = true
        else if (errorCode !== 0) throw kafkaFailure(`commit of ${name}-${partitionIndex}`, errorCode)
      }
    }
  }

  async leave(): Promise<void> {
    this.beat?.cancel()
    if (this.memberId === '') return
    await this.ask(apis.leaveGroup, { groupId: this.group, memberId: this.memberId }, 2)
    this.memberId = ''
  }

  /** Asks the coordinator, again when it has moved. */
  private async ask<A extends AnyApi>(
    api: A,
    value: InputOf<A['request']>,
    versionMax?: number,
  ): Promise<ValueOf<A['response']>> {
    const options = { timeoutMs: rebalanceMs + sessionMs, ...(versionMax === undefined ? {} : { versionMax }) }
    return (await this.client.settle(`group ${this.group}`, async () => {
      const coordinator = await this.client.coordinator(this.group)
      const answer = (await coordinator.request(api, value, options)) as object & { readonly errorCode?: number }
      return answer.errorCode !== undefined && isPassing(answer.errorCode) ? answer.errorCode : answer
    })) as ValueOf<A['response']>
  }
}

function topicsIn(metadata: Buffer): readonly string[] {
  return saidByMember('a subscription', () => decodeSubscription(metadata)).topics
}

export function partitionsIn(assignment: Buffer): TopicPartition[] {
  if (assignment.length === 0) return []
  const { assignedPartitions } = saidByMember('an assignment', () => decodeAssignment(assignment))
  return assignedPartitions.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })))
}

/** What another member wrote, or its fault said plainly. */
function saidByMember<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    throw new CommandFailure(`a member of the group sent ${what} that cannot be read`)
  }
}
