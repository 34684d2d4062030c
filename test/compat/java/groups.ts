// Consumer groups through Apache Kafka's own tools: members that join, and the commands that look at groups and move them.
// Promises: each check uses its own topic and group; long-running consumers are ended before the check does.
// Does not know: settings, segments.

import { expect, expectEqual, expectMatch, until, type Check } from '../suite.ts'
import type { Child } from '../process.ts'
import type { Tools } from './tools.ts'

const COOPERATIVE = 'org.apache.kafka.clients.consumer.CooperativeStickyAssignor'
const ROUND_ROBIN = 'org.apache.kafka.clients.consumer.RoundRobinAssignor'

interface Member {
  readonly child: Child
  said(): string
  /** Partitions held after the newest rebalance. */
  held(): number
  records(): number
}

function member(tools: Tools, topic: string, group: string, ...args: string[]): Member {
  const from = ['--reset-policy', 'earliest', '--session-timeout', '10000']
  const child = tools.begin('verifiable-consumer', '--topic', topic, '--group-id', group, ...from, ...args)
  let said = ''
  child.process.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.process.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const count = (kind: string): number =>
    [...said.matchAll(new RegExp(`\\{.*"name":"${kind}".*\\}`, 'g'))].reduce(
      (sum, match) => sum + (match[0].match(/"partition":/g) ?? []).length,
      0,
    )
  return {
    child,
    said: () => said,
    held: () => count('partitions_assigned') - count('partitions_revoked'),
    records: () =>
      [...said.matchAll(/"name":"records_consumed"[^\n]*?"count":(\d+)|"count":(\d+),[^\n]*"name":"records_consumed"/g)]
        .map((match) => Number(match[1] ?? match[2]))
        .reduce((sum, read) => sum + read, 0),
  }
}

async function filled(tools: Tools, kind: string, partitions: number, count: number): Promise<string> {
  const topic = await tools.topic(kind, partitions)
  const load = ['--max-messages', `${count}`, '--throughput', '-1']
  await tools.call('verifiable-producer', '--topic', topic, ...load)
  return topic
}

function memberChecks(tools: Tools): Check[] {
  const one = (name: string, kind: string, ...args: string[]): Check => ({
    name,
    run: async () => {
      const topic = await filled(tools, kind, 3, 500)
      const consumer = member(tools, topic, `${topic}-g`, ...args)
      try {
        await until('500 records', 25_000, async () => (consumer.records() >= 500 ? true : null))
      } finally {
        await consumer.child.stop()
      }
    },
  })
  const two = (name: string, kind: string, ...args: string[]): Check => ({
    name,
    run: async () => {
      const topic = await filled(tools, kind, 4, 400)
      const group = `${topic}-g`
      const first = member(tools, topic, group, ...args)
      let second: Member | null = null
      try {
        await until('the first to hold four', 25_000, async () => (first.held() === 4 ? true : null))
        const joining = member(tools, topic, group, ...args)
        second = joining
        const split = async (): Promise<true | null> => (first.held() === 2 && joining.held() === 2 ? true : null)
        await until('two and two', 30_000, split)
        await first.child.stop()
        await until('the second to hold four', 30_000, async () => (joining.held() === 4 ? true : null))
        expect(first.records() + joining.records() >= 400, 'records are missing')
      } finally {
        await first.child.stop()
        await second?.child.stop()
      }
    },
    limitMs: 100_000,
  })
  return [
    one('verifiable consumer: classic group', 'classic'),
    one('verifiable consumer: static member', 'static-one', '--group-instance-id', 'compat-1'),
    one('verifiable consumer: KIP-848 group', 'modern', '--group-protocol', 'consumer'),
    two('two verifiable consumers: range', 'range'),
    two('two verifiable consumers: round robin', 'round-robin', '--assignment-strategy', ROUND_ROBIN),
    two('two verifiable consumers: cooperative sticky', 'cooperative', '--assignment-strategy', COOPERATIVE),
  ]
}

function commandChecks(tools: Tools): Check[] {
  const groups = (...args: string[]): Promise<string> => tools.call('consumer-groups', ...args)
  const read = async (kind: string, count: number): Promise<{ topic: string; group: string }> => {
    const topic = await filled(tools, kind, 1, count)
    const group = `${topic}-g`
    await tools.consume(topic, count, '--group', group)
    return { topic, group }
  }
  const reset = (group: string, topic: string, ...how: string[]): Promise<string> =>
    groups('--group', group, '--reset-offsets', '--topic', topic, ...how)
  return [
    {
      name: 'consumer-groups: list and describe with offsets and lag',
      run: async () => {
        const { topic, group } = await read('describe', 20)
        expectMatch(await groups('--list'), new RegExp(`^${group}$`, 'm'))
        expectMatch(await groups('--describe', '--group', group), new RegExp(`${topic}\\s+0\\s+20\\s+20\\s+0\\b`))
        expectMatch(await groups('--list', '--state'), new RegExp(`${group}\\s+Empty`))
      },
      limitMs: 90_000,
    },
    {
      name: 'consumer-groups: members and state of a live group',
      run: async () => {
        const topic = await filled(tools, 'live', 2, 10)
        const consumer = member(tools, topic, `${topic}-g`)
        try {
          await until('two partitions', 25_000, async () => (consumer.held() === 2 ? true : null))
          const described = await groups('--describe', '--group', `${topic}-g`, '--members', '--verbose')
          expectMatch(described, new RegExp(`${topic}[:(]0,1`))
          const state = await groups('--describe', '--group', `${topic}-g`, '--state')
          expectMatch(state, /range\s+Stable\s+1/)
          const refused = await tools.refused('consumer-groups', '--delete', '--group', `${topic}-g`)
          expectMatch(refused, /not empty|NonEmptyGroup/i)
        } finally {
          await consumer.child.stop()
        }
      },
      limitMs: 90_000,
    },
    {
      name: 'consumer-groups: reset to earliest, an offset, by shift, to a time',
      run: async () => {
        const { topic, group } = await read('reset', 20)
        const row = (offset: number): RegExp => new RegExp(`${group}\\s+${topic}\\s+0\\s+${offset}\\b`)
        expectMatch(await reset(group, topic, '--to-earliest', '--dry-run'), row(0))
        expectMatch(await reset(group, topic, '--to-earliest', '--execute'), row(0))
        expectMatch(await reset(group, topic, '--to-offset', '7', '--execute'), row(7))
        expectMatch(await reset(group, topic, '--shift-by', '3', '--execute'), row(10))
        expectMatch(await reset(group, topic, '--to-datetime', '2020-01-01T00:00:00.000', '--execute'), row(0))
        expectMatch(await reset(group, topic, '--to-latest', '--execute'), row(20))
        expectMatch(await groups('--describe', '--group', group), new RegExp(`${topic}\\s+0\\s+20\\s+20\\s+0\\b`))
      },
      limitMs: 120_000,
    },
    {
      name: 'consumer-groups: delete offsets, then the group',
      run: async () => {
        const { topic, group } = await read('delete-group', 5)
        expectMatch(await groups('--delete-offsets', '--group', group, '--topic', topic), /Successful/)
        expectMatch(await groups('--delete', '--group', group), /was successful/)
        const names = (await groups('--list')).split('\n')
        expectEqual(names.includes(group), false, 'still listed')
      },
      limitMs: 90_000,
    },
    {
      name: 'groups: list with types',
      run: async () => {
        const { group } = await read('types', 5)
        expectMatch(await tools.call('groups', '--list'), new RegExp(`${group}\\s+Classic\\s+consumer`))
      },
    },
    {
      name: 'share consumer',
      run: async () => {
        const topic = await filled(tools, 'share', 1, 10)
        const group = `${topic}-g`
        const entity = ['--entity-type', 'groups', '--entity-name', group]
        await tools.call('configs', '--alter', ...entity, '--add-config', 'share.auto.offset.reset=earliest')
        const limits = ['--max-messages', '10', '--timeout-ms', '20000']
        const said = await tools.call('console-share-consumer', '--topic', topic, '--group', group, ...limits)
        expectMatch(said, /Processed a total of 10/)
      },
    },
  ]
}

export function groups(tools: Tools): Check[] {
  return [...memberChecks(tools), ...commandChecks(tools)]
}
