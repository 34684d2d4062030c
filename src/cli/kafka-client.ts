// A Kafka cluster as the commands see it: topics, leaders, coordinators, offsets; of one broker or of many.
// Promises: a request goes to the broker it concerns, again after leaders or coordinators have moved, for a bounded time.
// Does not know: what the commands print.

import type { Clock } from '../base/world.ts'
import { parseAddress, printAddress, type Address } from '../server/address.ts'
import { apis } from '../wire/kafka/api-table.ts'
import type { MetadataResponse } from '../wire/kafka/messages/cluster.ts'
import { CommandFailure, exitCodes } from './exit.ts'
import { KafkaConnection } from './kafka-connection.ts'
import { errorCodes, isPassing, kafkaFailure } from './kafka-errors.ts'

export type TopicMetadata = MetadataResponse['topics'][number]

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** How long leaders and coordinators may take to settle. */
const settleMs = 15_000
const settlePauseMs = 200

/** Timestamps with a meaning of their own in ListOffsets. */
export const earliest = -2
export const latest = -1

const startOne = 'start a broker with "odradek serve", or say where one is with --kafka HOST:PORT'

export class KafkaClient {
  readonly clock: Clock
  private readonly bootstrap: readonly Address[]
  private readonly open = new Map<string, Promise<KafkaConnection>>()
  private nodes = new Map<number, Address>()
  private readonly leaders = new Map<string, number>()
  private readonly coordinators = new Map<string, Address>()
  private controllerId = -1

  constructor(bootstrap: readonly Address[], clock: Clock) {
    this.bootstrap = bootstrap
    this.clock = clock
  }

  /** `--kafka`: HOST:PORT, several separated by commas. */
  static to(text: string, clock: Clock): KafkaClient {
    const addresses = text.split(',').map((part) => {
      const address = parseAddress(part.trim())
      if (address === undefined) {
        throw new CommandFailure(`--kafka: ${JSON.stringify(part)} is not HOST:PORT`, exitCodes.usage)
      }
      return address
    })
    return new KafkaClient(addresses, clock)
  }

  private async connection(address: Address, advice = startOne): Promise<KafkaConnection> {
    const name = printAddress(address)
    const known = this.open.get(name)
    if (known !== undefined) {
      const connection = await known.catch(() => undefined)
      if (connection !== undefined && !connection.isLost) return connection
    }
    const fresh = KafkaConnection.open(address, this.clock, advice)
    this.open.set(name, fresh)
    return fresh
  }

  /** Any broker: the first bootstrap address that answers. */
  async any(): Promise<KafkaConnection> {
    let failure: unknown
    for (const address of this.bootstrap) {
      try {
        return await this.connection(address)
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  async node(id: number): Promise<KafkaConnection> {
    const address = this.nodes.get(id)
    if (address === undefined) return this.any()
    const sender = this.bootstrap.map(printAddress).join(',')
    return this.connection(address, `${sender} sends its clients there: check what it advertises`)
  }

  /** Topics by name, or all of them; never makes one. */
  async metadata(topics: readonly string[] | null, allowAutoTopicCreation = false): Promise<MetadataResponse> {
    const broker = await this.any()
    const answer = await broker.request(apis.metadata, {
      topics: topics === null ? null : topics.map((name) => ({ name })),
      allowAutoTopicCreation,
    })
    this.nodes = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    this.controllerId = answer.controllerId
    for (const { name, partitions } of answer.topics) {
      for (const { partitionIndex, leaderId } of partitions) {
        if (leaderId >= 0) this.leaders.set(keyOf({ topic: name ?? '', partition: partitionIndex }), leaderId)
      }
    }
    return answer
  }

  /** One topic that exists and has leaders; NOT_FOUND ends the command unless it may be made by asking for it. */
  async topic(name: string, mayCreate = false): Promise<TopicMetadata> {
    return this.settle(`topic ${name}`, async () => {
      const { topics } = await this.metadata([name], mayCreate)
      const topic = topics[0]
      if (topic === undefined) return errorCodes.unknownTopicOrPartition
      if (topic.errorCode !== 0) {
        // A topic that asking creates is not there at once.
        const isComing = mayCreate && topic.errorCode === errorCodes.unknownTopicOrPartition
        return isComing ? errorCodes.leaderNotAvailable : topic.errorCode
      }
      return topic.partitions.some(({ leaderId }) => leaderId < 0) ? errorCodes.leaderNotAvailable : topic
    })
  }

  /** Where topics are made and changed. On Kafka from 4.0 on every broker forwards it. */
  async controller(): Promise<KafkaConnection> {
    if (this.controllerId < 0) await this.metadata([])
    return this.node(this.controllerId)
  }

  async leader(at: TopicPartition): Promise<KafkaConnection> {
    if (!this.leaders.has(keyOf(at))) await this.metadata([at.topic])
    return this.node(this.leaders.get(keyOf(at)) ?? -1)
  }

  /** Leaders or coordinators have moved: ask again at the next use. */
  forgetPlaces(): void {
    this.leaders.clear()
    this.coordinators.clear()
  }

  async coordinator(group: string): Promise<KafkaConnection> {
    const known = this.coordinators.get(group)
    if (known !== undefined) return this.connection(known)
    return this.settle(`group ${group}`, async () => {
      const broker = await this.any()
      const answer = await broker.request(apis.findCoordinator, { key: group, keyType: 0 }, { versionMax: 3 })
      if (answer.errorCode !== 0) return answer.errorCode
      const address = { host: answer.host, port: answer.port }
      this.coordinators.set(group, address)
      return this.connection(address)
    })
  }

  /** Runs `attempt` until it answers a value; a code that passes by itself is tried again, any other one ends it. */
  async settle<T extends object>(what: string, attempt: () => Promise<T | number>): Promise<T> {
    const deadline = this.clock.monotonicMs() + settleMs
    for (;;) {
      const outcome = await attempt()
      if (typeof outcome !== 'number') return outcome
      if (!isPassing(outcome) || this.clock.monotonicMs() > deadline) throw kafkaFailure(what, outcome)
      this.forgetPlaces()
      await this.pause(settlePauseMs)
    }
  }

  pause(forMs: number): Promise<void> {
    return new Promise((resolve) => void this.clock.after(forMs, resolve))
  }

  /** Offsets by time: `earliest`, `latest` or milliseconds; a time with no later record answers -1. */
  async offsets(
    topic: string,
    partitions: readonly number[],
    timestamp: number,
  ): Promise<Map<number, { readonly offset: number; readonly timestamp: number }>> {
    const found = new Map<number, { offset: number; timestamp: number }>()
    const byLeader = new Map<KafkaConnection, number[]>()
    for (const partition of partitions) {
      const leader = await this.leader({ topic, partition })
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), partition])
    }
    for (const [leader, own] of byLeader) {
      const answer = await leader.request(apis.listOffsets, {
        replicaId: -1,
        topics: [{ name: topic, partitions: own.map((partitionIndex) => ({ partitionIndex, timestamp })) }],
      })
      for (const { partitionIndex, errorCode, offset, timestamp: at } of answer.topics[0]?.partitions ?? []) {
        if (errorCode !== 0) throw kafkaFailure(`offsets of ${topic}-${partitionIndex}`, errorCode)
        found.set(partitionIndex, { offset, timestamp: at })
      }
    }
    return found
  }

  async close(): Promise<void> {
    for (const pending of this.open.values()) (await pending.catch(() => undefined))?.close()
  }
}

export const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}-${partition}`

/** The partitions of each topic together, as most requests want them. */
export function byTopic<T extends TopicPartition>(partitions: readonly T[]): [topic: string, partitions: T[]][] {
  const topics = new Map<string, T[]>()
  for (const one of partitions) {
    const own = topics.get(one.topic)
    if (own === undefined) topics.set(one.topic, [one])
    else own.push(one)
  }
  return [...topics]
}
