// Topics, settings and the cluster through Apache Kafka's own tools.
// Promises: each check makes its own topic.
// Does not know: producing, groups.

import { expect, expectMatch, until, type Check } from '../suite.ts'
import type { Tools } from './tools.ts'

function topicChecks(tools: Tools): Check[] {
  return [
    {
      name: 'topics: create, list, describe',
      run: async () => {
        const topic = await tools.topic('lifecycle', 3, 'retention.ms=3600000')
        expectMatch(await tools.call('topics', '--list'), new RegExp(`^${topic}$`, 'm'))
        const described = await tools.call('topics', '--describe', '--topic', topic)
        expectMatch(described, /PartitionCount: 3\s+ReplicationFactor: 1/)
        expectMatch(described, /Configs: .*retention\.ms=3600000/)
        expectMatch(described, /Partition: 2\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+/)
      },
    },
    {
      name: 'topics: create twice is refused',
      run: async () => {
        const topic = await tools.topic('twice')
        expectMatch(await tools.refused('topics', '--create', '--topic', topic), /already exists/)
        await tools.call('topics', '--create', '--if-not-exists', '--topic', topic)
      },
    },
    {
      name: 'topics: an invalid name, setting or count is refused',
      run: async () => {
        const create = ['--create', '--topic']
        expectMatch(await tools.refused('topics', ...create, 'no blanks'), /InvalidTopic|illegal|invalid/i)
        const unknown = await tools.refused('topics', ...create, tools.name('odd'), '--config', 'no.such.setting=1')
        expectMatch(unknown, /no\.such\.setting/)
        const wrong = await tools.refused('topics', ...create, tools.name('odd'), '--config', 'retention.ms=soon')
        expectMatch(wrong, /retention\.ms/)
        const copies = await tools.refused('topics', ...create, tools.name('odd'), '--replication-factor', '3')
        expectMatch(copies, /InvalidReplicationFactor|replication factor/i)
      },
      limitMs: 90_000,
    },
    {
      name: 'topics: partitions are added, never removed',
      run: async () => {
        const topic = await tools.topic('grow', 3)
        await tools.call('topics', '--alter', '--topic', topic, '--partitions', '5')
        expectMatch(await tools.call('topics', '--describe', '--topic', topic), /PartitionCount: 5/)
        const fewer = await tools.refused('topics', '--alter', '--topic', topic, '--partitions', '2')
        expectMatch(fewer, /InvalidPartitions|would not be an increase|currently has/)
      },
    },
    {
      name: 'topics: describe by topic id',
      run: async () => {
        const topic = await tools.topic('by-id')
        const id = /TopicId: (\S+)/.exec(await tools.call('topics', '--describe', '--topic', topic))?.[1] ?? ''
        expect(id !== '', 'no topic id')
        expectMatch(await tools.call('topics', '--describe', '--topic-id', id), new RegExp(`Topic: ${topic}`))
      },
    },
    {
      name: 'topics: delete',
      run: async () => {
        const topic = await tools.topic('delete')
        await tools.call('topics', '--delete', '--topic', topic)
        await until('its end', 10_000, async () => {
          const list = await tools.call('topics', '--list')
          return list.split('\n').includes(topic) ? null : true
        })
      },
    },
    {
      name: 'topics: a deleted name can be made again, empty and with a new id',
      run: async () => {
        const topic = await tools.topic('again')
        await tools.produce(topic, ['old'])
        const before = /TopicId: (\S+)/.exec(await tools.call('topics', '--describe', '--topic', topic))?.[1]
        await tools.call('topics', '--delete', '--topic', topic)
        await until('the second making', 10_000, async () => {
          const said = await tools.refused('topics', '--create', '--topic', topic)
          return said.includes('Created topic') ? true : null
        })
        const after = /TopicId: (\S+)/.exec(await tools.call('topics', '--describe', '--topic', topic))?.[1]
        expect(before !== after, `the id stayed ${before}`)
        expectMatch(await tools.call('get-offsets', '--topic', topic, '--time', '-1'), new RegExp(`${topic}:0:0`))
      },
    },
  ]
}

function configChecks(tools: Tools): Check[] {
  const alter = (kind: string, name: string, ...change: string[]): Promise<string> =>
    tools.call('configs', '--alter', '--entity-type', kind, '--entity-name', name, ...change)
  const describe = (kind: string, name: string, ...more: string[]): Promise<string> =>
    tools.call('configs', '--describe', '--entity-type', kind, '--entity-name', name, ...more)
  return [
    {
      name: 'configs: topic settings are altered, described, removed',
      run: async () => {
        const topic = await tools.topic('settings')
        await alter('topics', topic, '--add-config', 'retention.ms=7200000,max.message.bytes=2000000')
        expectMatch(await describe('topics', topic), /retention\.ms=7200000/)
        await alter('topics', topic, '--delete-config', 'retention.ms')
        const left = await describe('topics', topic)
        expect(!left.includes('retention.ms'), 'the removed setting is still described')
        expectMatch(left, /max\.message\.bytes=2000000/)
      },
    },
    {
      name: 'configs: all topic settings with their sources',
      run: async () => {
        const topic = await tools.topic('all-settings')
        const all = await describe('topics', topic, '--all')
        for (const key of ['cleanup.policy=delete', 'segment.bytes=1073741824', 'retention.ms=604800000']) {
          expect(all.includes(key), `no ${key} in: ${all.slice(0, 300)}`)
        }
        expectMatch(all, /DEFAULT_CONFIG/)
      },
    },
    {
      name: 'configs: an unknown topic setting is refused',
      run: async () => {
        const topic = await tools.topic('unknown-setting')
        const args = ['--alter', '--entity-type', 'topics', '--entity-name', topic, '--add-config', 'no.such.setting=1']
        expectMatch(await tools.refused('configs', ...args), /no\.such\.setting/)
      },
    },
    {
      name: 'configs: broker settings are described',
      run: async () => {
        const nodes = await tools.call('broker-api-versions')
        const id = /\(id: (\d+)/.exec(nodes)?.[1] ?? '1'
        expectMatch(await describe('brokers', id, '--all'), /log\.retention|message\.max\.bytes|num\.partitions/)
      },
    },
    {
      name: 'configs: cleanup.policy=compact',
      run: async () => {
        const topic = await tools.topic('compact')
        await alter('topics', topic, '--add-config', 'cleanup.policy=compact')
        expectMatch(await describe('topics', topic), /cleanup\.policy=compact/)
      },
    },
    {
      name: 'configs: client quotas',
      run: async () => {
        const client = tools.name('quota')
        await alter('clients', client, '--add-config', 'producer_byte_rate=104857600')
        expectMatch(await describe('clients', client), /producer_byte_rate=/)
      },
    },
    {
      name: 'configs: SCRAM users',
      run: async () => {
        const user = tools.name('alice')
        await alter('users', user, '--add-config', 'SCRAM-SHA-256=[password=pw]')
        expectMatch(await describe('users', user), /SCRAM-SHA-256/)
      },
    },
  ]
}

function clusterChecks(tools: Tools): Check[] {
  return [
    {
      name: 'broker-api-versions',
      run: async () => {
        const said = await tools.call('broker-api-versions')
        for (const api of ['Produce\\(0\\): ', 'Fetch\\(1\\): ', 'ApiVersions\\(18\\): '])
          expectMatch(said, new RegExp(api))
      },
    },
    {
      name: 'cluster: id and endpoints',
      run: async () => {
        const bootstrap = ['--bootstrap-server', tools.context.broker.address]
        expectMatch(await tools.bare('cluster', ['cluster-id', ...bootstrap]), /Cluster ID: \S+/)
        const endpoints = await tools.bare('cluster', ['list-endpoints', ...bootstrap])
        expectMatch(endpoints, new RegExp(`\\b${tools.context.broker.port}\\b`))
      },
    },
    {
      name: 'log-dirs',
      run: async () => {
        const topic = await tools.topic('log-dirs')
        await tools.produce(topic, ['a', 'b'])
        const said = await tools.call('log-dirs', '--describe', '--topic-list', topic)
        expectMatch(said, new RegExp(`"partition":"${topic}-0"`))
        expectMatch(said, /"size":[1-9]\d*/)
      },
    },
    {
      name: 'features',
      run: async () => expectMatch(await tools.call('features', 'describe'), /SupportedMinVersion/),
    },
    {
      name: 'metadata-quorum: status',
      run: async () => expectMatch(await tools.call('metadata-quorum', 'describe', '--status'), /LeaderId:\s+\d+/),
    },
    {
      name: 'leader-election: not needed',
      run: async () => {
        const topic = await tools.topic('election')
        const said = await tools.refused(
          'leader-election',
          '--election-type',
          'preferred',
          '--topic',
          topic,
          '--partition',
          '0',
        )
        expectMatch(said, /[Vv]alid replica already elected|not needed/)
      },
    },
    {
      name: 'reassign-partitions: none under way',
      run: async () => {
        const said = await tools.call('reassign-partitions', '--list')
        expectMatch(said, /No partition reassignments found/)
      },
    },
    {
      name: 'client-metrics: subscriptions',
      run: async () => {
        const name = tools.name('metrics')
        const metrics = ['--metrics', 'org.apache.kafka.producer', '--interval', '10000']
        await tools.call('client-metrics', '--alter', '--name', name, ...metrics)
        expectMatch(await tools.call('client-metrics', '--describe', '--name', name), /metrics=/)
        await tools.call('client-metrics', '--delete', '--name', name)
      },
    },
    {
      name: 'acls: add, list, remove',
      run: async () => {
        const rule = ['--allow-principal', 'User:bob', '--operation', 'Read', '--topic', tools.name('acl')]
        await tools.call('acls', '--add', ...rule)
        expectMatch(await tools.call('acls', '--list', '--topic', tools.name('acl')), /ALLOW/)
        await tools.call('acls', '--remove', '--force', ...rule)
      },
    },
  ]
}

export function topics(tools: Tools): Check[] {
  return [...clusterChecks(tools), ...topicChecks(tools), ...configChecks(tools)]
}
