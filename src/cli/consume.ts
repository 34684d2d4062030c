// odradek consume: records of a topic to stdout, alone or as a member of a group.
// Promises: records in the order of their partition; with --group, offsets are committed only for what was written out.
// Does not know: how partitions are read (fetcher.ts) or balanced (group-member.ts).

import { withClient, type KafkaFlags } from './command.ts'
import { CommandFailure, exitCodes } from './exit.ts'
import { Fetcher, type FetchedRecord, type Position } from './fetcher.ts'
import { instant, usage, wholeNumber } from './flags.ts'
import { GroupMember } from './group-member.ts'
import { earliest, keyOf, latest, type KafkaClient, type TopicPartition } from './kafka-client.ts'
import { say } from './output.ts'
import { compileFormat, jsonFormat, valueFormat, type RecordFormat } from './record-format.ts'

export interface ConsumeFlags extends KafkaFlags {
  readonly fromBeginning?: boolean
  readonly group?: string
  readonly offset?: string
  readonly timestamp?: string
  readonly partition?: string
  readonly maxMessages?: string
  readonly format?: string
  readonly exit?: boolean
}

/** Where reading begins where no group has committed anything. */
type Start =
  | { readonly at: 'earliest' | 'latest' }
  | { readonly at: 'offset'; readonly offset: number }
  | { readonly at: 'time'; readonly timestampMs: number }

interface Plan {
  readonly topic: string
  readonly start: Start
  readonly partition: number | undefined
  readonly recordsMax: number
  readonly exitAtEnd: boolean
  readonly format: RecordFormat
}

export async function consume(topic: string, flags: ConsumeFlags): Promise<void> {
  const plan = planOf(topic, flags)
  const end = interruption()
  await withClient(flags, async (client) => {
    await client.topic(topic)
    if (flags.group === undefined) await readAlone(client, plan, end)
    else await readInGroup(client, plan, flags.group, end)
  })
}

function planOf(topic: string, flags: ConsumeFlags): Plan {
  const starts = [flags.fromBeginning, flags.offset, flags.timestamp].filter((said) => said !== undefined)
  if (starts.length > 1) throw usage('--from-beginning, --offset and --timestamp exclude each other')
  if (flags.group !== undefined && (flags.offset ?? flags.timestamp ?? flags.partition) !== undefined) {
    throw usage(
      '--group reads where the group is; --offset, --timestamp and --partition exclude it (see "groups reset")',
    )
  }
  if (flags.json === true && flags.format !== undefined) throw usage('--json and --format exclude each other')
  return {
    topic,
    start: startOf(flags),
    partition: flags.partition === undefined ? undefined : wholeNumber('--partition', flags.partition),
    recordsMax: flags.maxMessages === undefined ? Infinity : wholeNumber('--max-messages', flags.maxMessages, 1),
    exitAtEnd: flags.exit === true,
    format: flags.json === true ? jsonFormat : flags.format === undefined ? valueFormat : compileFormat(flags.format),
  }
}

function startOf(flags: ConsumeFlags): Start {
  if (flags.fromBeginning === true) return { at: 'earliest' }
  if (flags.timestamp !== undefined) return { at: 'time', timestampMs: instant('--timestamp', flags.timestamp) }
  if (flags.offset === 'earliest' || flags.offset === 'latest') return { at: flags.offset }
  if (flags.offset !== undefined) {
    return { at: 'offset', offset: wholeNumber('--offset', flags.offset, Number.MIN_SAFE_INTEGER) }
  }
  return { at: 'latest' }
}

/** Set by the first SIGINT or SIGTERM: the round under way is finished, then we leave in order. */
interface Interruption {
  isAsked: boolean
}

function interruption(): Interruption {
  const end: Interruption = { isAsked: false }
  const ask = (): void => {
    if (end.isAsked) process.exit(exitCodes.failure)
    end.isAsked = true
  }
  process.on('SIGINT', ask)
  process.on('SIGTERM', ask)
  return end
}

const warnMoved = (position: Position, why: string): void => {
  process.stderr.write(`odradek: ${keyOf(position)}: ${why}; reading on at offset ${position.offset}\n`)
}

async function readAlone(client: KafkaClient, plan: Plan, end: Interruption): Promise<void> {
  const partitions = await partitionsOf(client, plan)
  const fetcher = new Fetcher(client, warnMoved)
  fetcher.assign(await positionsAt(client, partitions, plan.start))
  let left = plan.recordsMax
  const ends = plan.exitAtEnd ? await endsOf(client, partitions) : undefined
  while (left > 0 && !end.isAsked) {
    if (ends !== undefined && isAtEnd(fetcher.assigned, ends)) return
    const records = upTo(await fetcher.fetch(), left)
    left -= records.length
    await write(records, plan.format)
  }
}

async function readInGroup(client: KafkaClient, plan: Plan, group: string, end: Interruption): Promise<void> {
  const member = new GroupMember(client, group, [plan.topic])
  const fetcher = new Fetcher(client, warnMoved)
  let left = plan.recordsMax
  let ends: Map<string, number> | undefined
  while (left > 0 && !end.isAsked) {
    if (member.isStale) {
      const share = await member.join()
      fetcher.assign(await positionsInGroup(client, member, share, plan.start))
      ends = plan.exitAtEnd ? await endsOf(client, share) : undefined
      if (process.stderr.isTTY)
        process.stderr.write(`odradek: reading ${share.map(keyOf).join(', ') || 'nothing yet'}\n`)
    }
    if (ends !== undefined && isAtEnd(fetcher.assigned, ends)) break
    if (fetcher.assigned.length === 0) {
      await client.pause(idleMs)
      continue
    }
    const fetched = await fetcher.fetch()
    const records = upTo(fetched, left)
    left -= records.length
    await write(records, plan.format)
    if (fetched.length > 0) await member.commit(reached(fetcher.assigned, fetched, records.length))
  }
  await member.leave()
}

/** How often a member without partitions looks whether the group has changed. */
const idleMs = 200

/** Positions to commit: behind what was written, where --max-messages cut a round short. */
function reached(
  positions: readonly Position[],
  fetched: readonly FetchedRecord[],
  written: number,
): (TopicPartition & { readonly offset: number })[] {
  const unwritten = new Map<string, number>()
  for (const record of fetched.slice(written)) {
    const key = keyOf(record)
    if (!unwritten.has(key)) unwritten.set(key, record.offset)
  }
  return positions.map((position) => ({ ...position, offset: unwritten.get(keyOf(position)) ?? position.offset }))
}

const upTo = (records: readonly FetchedRecord[], most: number): readonly FetchedRecord[] =>
  records.length <= most ? records : records.slice(0, most)

async function write(records: readonly FetchedRecord[], format: RecordFormat): Promise<void> {
  if (records.length > 0) await say(Buffer.concat(records.map(format)))
}

async function partitionsOf(client: KafkaClient, plan: Plan): Promise<TopicPartition[]> {
  const { partitions } = await client.topic(plan.topic)
  const all = partitions.map(({ partitionIndex }) => ({ topic: plan.topic, partition: partitionIndex }))
  if (plan.partition === undefined) return all
  const one = all.filter(({ partition }) => partition === plan.partition)
  if (one.length > 0) return one
  throw new CommandFailure(
    `topic ${plan.topic} has partitions 0 to ${all.length - 1}; there is no partition ${plan.partition}`,
    exitCodes.notFound,
  )
}

async function endsOf(client: KafkaClient, partitions: readonly TopicPartition[]): Promise<Map<string, number>> {
  const positions = await positionsAt(client, partitions, { at: 'latest' })
  return new Map(positions.map((position) => [keyOf(position), position.offset]))
}

const isAtEnd = (positions: readonly Position[], ends: ReadonlyMap<string, number>): boolean =>
  positions.every((position) => position.offset >= (ends.get(keyOf(position)) ?? 0))

async function positionsAt(
  client: KafkaClient,
  partitions: readonly TopicPartition[],
  start: Start,
): Promise<(TopicPartition & { offset: number })[]> {
  const positions: (TopicPartition & { offset: number })[] = []
  for (const topic of new Set(partitions.map((one) => one.topic))) {
    const numbers = partitions.filter((one) => one.topic === topic).map(({ partition }) => partition)
    const found = await offsetsAt(client, topic, numbers, start)
    for (const partition of numbers) positions.push({ topic, partition, offset: found.get(partition) ?? 0 })
  }
  return positions
}

async function offsetsAt(
  client: KafkaClient,
  topic: string,
  partitions: readonly number[],
  start: Start,
): Promise<Map<number, number>> {
  if (start.at === 'offset' && start.offset >= 0) return new Map(partitions.map((one) => [one, start.offset]))
  const ends = await client.offsets(topic, partitions, latest)
  if (start.at === 'latest') return new Map([...ends].map(([one, { offset }]) => [one, offset]))
  if (start.at === 'time') {
    const found = await client.offsets(topic, partitions, start.timestampMs)
    // Nothing as late as that: read what comes.
    return new Map([...found].map(([one, { offset }]) => [one, offset < 0 ? (ends.get(one)?.offset ?? 0) : offset]))
  }
  const starts = await client.offsets(topic, partitions, earliest)
  const back = start.at === 'offset' ? start.offset : -Infinity
  return new Map([...ends].map(([one, { offset }]) => [one, Math.max(starts.get(one)?.offset ?? 0, offset + back)]))
}

async function positionsInGroup(
  client: KafkaClient,
  member: GroupMember,
  share: readonly TopicPartition[],
  start: Start,
): Promise<(TopicPartition & { offset: number })[]> {
  if (share.length === 0) return []
  const committed = await member.committed(share)
  const fresh = committed.filter(({ offset }) => offset < 0)
  return [...committed.filter(({ offset }) => offset >= 0), ...(await positionsAt(client, fresh, start))]
}
