// A consumer group of one member over the classic protocol: joins, reads, commits, and remembers what it was promised.
// Promises: after a crash it finds its group at or after its last acknowledged commit, and never beyond what it committed.
// Does not know: assignors; as the only member it assigns itself everything.

import { apis } from '../../src/wire/kafka/api-table.ts'
import { batchHeadBytes, compressionOf, forEachBatch } from '../../src/log/batch.ts'
import { inflate } from '../../src/log/compression.ts'
import { RecordCursor } from '../../src/log/records.ts'
import { unlessGone, type Place } from './producers.ts'
import { idOf, partitionKey, type PromiseBook } from './promises.ts'
import { fetchVersion, inflateBytesMax } from './read-back.ts'
import type { WireClient } from './wire-client.ts'

const memberIdRequired = 79
const unknownMember = 25
const loading = 14

interface Position extends Place {
  next: number
  /** Last commit that was acknowledged, and last one that was asked for. */
  promised: number
  asked: number
}

export class GroupMember {
  private readonly group: string
  private readonly positions: Position[]
  private memberId = ''
  private generation = -1
  /** Rounds in which the group was found, joined and committed to. */
  resumed = 0
  commits = 0

  constructor(group: string, places: readonly Place[]) {
    this.group = group
    this.positions = places.map((place) => ({ ...place, next: 0, promised: -1, asked: -1 }))
  }

  async run(client: WireClient, book: PromiseBook, complain: (what: string) => void): Promise<void> {
    try {
      if (!(await this.join(client, complain))) return
      await this.findPositions(client, complain)
      this.resumed++
      for (let turn = 0; !client.isGone; turn++) {
        await this.read(client, book, complain)
        await this.commit(client, complain)
        if (turn % 10 === 9) await this.heartbeat(client, complain)
      }
    } catch (error) {
      unlessGone(error)
    }
  }

  private async join(client: WireClient, complain: (what: string) => void): Promise<boolean> {
    for (let attempt = 0; attempt < 50; attempt++) {
      const joined = await client.send(apis.joinGroup, 5, {
        groupId: this.group,
        sessionTimeoutMs: 6000,
        rebalanceTimeoutMs: 6000,
        memberId: this.memberId,
        groupInstanceId: null,
        protocolType: 'consumer',
        protocols: [{ name: 'all', metadata: Buffer.alloc(0) }],
      })
      if (joined.errorCode === memberIdRequired) this.memberId = joined.memberId
      else if (joined.errorCode === unknownMember) this.memberId = ''
      else if (joined.errorCode === 0) {
        this.memberId = joined.memberId
        this.generation = joined.generationId
        const { errorCode } = await client.send(apis.syncGroup, 3, {
          groupId: this.group,
          generationId: this.generation,
          memberId: this.memberId,
          groupInstanceId: null,
          assignments: [{ memberId: this.memberId, assignment: Buffer.from('all') }],
        })
        if (errorCode === 0) return true
        complain(`${this.group}: sync was refused with ${errorCode}`)
        return false
      } else if (joined.errorCode !== loading) {
        complain(`${this.group}: join was refused with ${joined.errorCode}`)
        return false
      }
    }
    complain(`${this.group}: not joined after 50 attempts`)
    return false
  }

  private async findPositions(client: WireClient, complain: (what: string) => void): Promise<void> {
    const { topics, errorCode } = await client.send(apis.offsetFetch, 5, { groupId: this.group, topics: null })
    if (errorCode !== 0) complain(`${this.group}: fetching offsets was refused with ${errorCode}`)
    for (const position of this.positions) {
      const { topic, partition, promised, asked } = position
      const found = topics
        .find(({ name }) => name === topic)
        ?.partitions.find(({ partitionIndex }) => partitionIndex === partition)
      const offset = found?.committedOffset ?? -1
      const key = partitionKey(topic, partition)
      if (offset < promised) complain(`${this.group}: ${key} was committed at ${promised} and is found at ${offset}`)
      if (offset > asked) complain(`${this.group}: ${key} is found at ${offset}, committed was at most ${asked}`)
      position.next = Math.max(0, offset)
      position.promised = position.asked = offset
    }
  }

  private async read(client: WireClient, book: PromiseBook, complain: (what: string) => void): Promise<void> {
    const { responses } = await client.send(apis.fetch, fetchVersion, {
      replicaId: -1,
      maxWaitMs: 20,
      minBytes: 1,
      maxBytes: 1024 * 1024,
      isolationLevel: 0,
      sessionId: 0,
      sessionEpoch: -1,
      topics: this.positions.map(({ topic, partition, next }) => ({
        topic,
        partitions: [{ partition, fetchOffset: next, partitionMaxBytes: 64 * 1024 }],
      })),
      forgottenTopicsData: [],
      rackId: '',
    })
    for (const { topic, partitions } of responses) {
      for (const { partitionIndex, errorCode, records } of partitions) {
        const position = this.positions.find((one) => one.topic === topic && one.partition === partitionIndex)
        if (position === undefined || records === null) continue
        if (errorCode !== 0) complain(`${this.group}: reading ${topic}/${partitionIndex} was refused with ${errorCode}`)
        forEachBatch(records, (head, at) => {
          const section = records.subarray(at + batchHeadBytes, at + head.bytes)
          const cursor = new RecordCursor(inflate(compressionOf(head.attributes) ?? 'none', section, inflateBytesMax))
          while (cursor.next()) {
            const offset = head.baseOffset + cursor.offsetDelta
            if (cursor.value !== null) book.keep(partitionKey(topic, partitionIndex), offset, idOf(cursor.value))
          }
          position.next = head.baseOffset + head.lastOffsetDelta + 1
        })
      }
    }
  }

  private async commit(client: WireClient, complain: (what: string) => void): Promise<void> {
    const moved = this.positions.filter(({ next, asked }) => next > asked)
    if (moved.length === 0) return
    for (const position of moved) position.asked = position.next
    const { topics } = await client.send(apis.offsetCommit, 7, {
      groupId: this.group,
      generationIdOrMemberEpoch: this.generation,
      memberId: this.memberId,
      groupInstanceId: null,
      topics: moved.map(({ topic, partition, asked }) => ({
        name: topic,
        partitions: [{ partitionIndex: partition, committedOffset: asked, committedMetadata: '' }],
      })),
    })
    const refused = topics.flatMap(({ partitions }) => partitions).find(({ errorCode }) => errorCode !== 0)
    if (refused !== undefined) return complain(`${this.group}: a commit was refused with ${refused.errorCode}`)
    this.commits++
    for (const position of moved) position.promised = position.asked
  }

  private async heartbeat(client: WireClient, complain: (what: string) => void): Promise<void> {
    const { errorCode } = await client.send(apis.heartbeat, 3, {
      groupId: this.group,
      generationId: this.generation,
      memberId: this.memberId,
      groupInstanceId: null,
    })
    if (errorCode !== 0) complain(`${this.group}: a heartbeat was refused with ${errorCode}`)
  }
}
