// Producing and reading through Apache Kafka's own tools, and its segment dumper over our files.
// Promises: each check makes its own topic.
// Does not know: group administration.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, expectEqual, expectMatch, NotHere, type Check } from '../suite.ts'
import type { Tools } from './tools.ts'

function lines(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `value-${index}`)
}

function consoleChecks(tools: Tools): Check[] {
  const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'].map((codec) => ({
    name: `console clients: codec ${codec}`,
    run: async () => {
      const topic = tools.name(`codec-${codec}`)
      await tools.produce(topic, lines(300), '--compression-codec', codec)
      expectEqual(await tools.consume(topic, 300), lines(300), 'values')
    },
  }))
  const acks = ['0', '1', 'all'].map((level) => ({
    name: `console clients: acks ${level}`,
    run: async () => {
      const topic = await tools.topic(`acks-${level}`)
      const properties = level === 'all' ? [] : ['--command-property', 'enable.idempotence=false']
      await tools.produce(topic, lines(5), '--request-required-acks', level, ...properties)
      expectEqual(await tools.consume(topic, 5), lines(5), 'values')
    },
  }))
  return [
    ...codecs,
    ...acks,
    {
      name: 'console clients: keys and headers',
      run: async () => {
        const topic = await tools.topic('user_activity')
        const reader = ['--reader-property', 'parse.key=true', '--reader-property', 'parse.headers=true']
        await tools.produce(topic, ['trace:abc\tuser_123\tclicked'], ...reader)
        const format = ['key', 'headers', 'offset', 'partition', 'timestamp']
        const show = format.flatMap((field) => ['--formatter-property', `print.${field}=true`])
        const [line] = await tools.consume(topic, 1, ...show)
        expectMatch(line ?? '', /^CreateTime:\d+\tPartition:0\tOffset:0\ttrace:abc\tuser_123\tclicked$/)
      },
    },
    {
      name: 'console consumer: from an offset of a partition',
      run: async () => {
        const topic = await tools.topic('offset')
        await tools.produce(topic, lines(6))
        const from = ['--partition', '0', '--offset', '4']
        expectEqual(await tools.consume(topic, 2, ...from), ['value-4', 'value-5'], 'values')
      },
    },
    {
      name: 'console consumer: read_committed on plain data',
      run: async () => {
        const topic = await tools.topic('committed')
        await tools.produce(topic, lines(3))
        expectEqual(await tools.consume(topic, 3, '--isolation-level', 'read_committed'), lines(3), 'values')
      },
    },
    {
      name: 'console consumer: a group goes on where it committed',
      run: async () => {
        const topic = await tools.topic('console-group')
        await tools.produce(topic, lines(4))
        const group = ['--group', tools.name('console-group')]
        expectEqual((await tools.consume(topic, 4, ...group)).length, 4, 'first run')
        await tools.produce(topic, ['later'])
        expectEqual(await tools.consume(topic, 1, ...group), ['later'], 'second run')
      },
    },
  ]
}

function measureChecks(tools: Tools): Check[] {
  const address = tools.context.broker.address
  const perf = (topic: string, count: number, ...properties: string[]): Promise<string> => {
    const load = ['--num-records', `${count}`, '--record-size', '200', '--throughput', '-1']
    return tools.call('producer-perf-test', '--topic', topic, ...load, '--command-property', ...properties)
  }
  return [
    {
      name: 'verifiable producer: every record is acknowledged',
      run: async () => {
        const topic = await tools.topic('verifiable', 3)
        const said = await tools.call(
          'verifiable-producer',
          '--topic',
          topic,
          '--max-messages',
          '1000',
          '--throughput',
          '-1',
        )
        expectMatch(said, /"sent":1000\b/)
        expectMatch(said, /"acked":1000\b/)
      },
    },
    {
      name: 'producer-perf-test and consumer-perf-test',
      run: async () => {
        const topic = await tools.topic('perf', 3)
        expectMatch(await perf(topic, 20_000, 'acks=all', 'compression.type=zstd'), /^20000 records sent/m)
        expectMatch(await perf(topic, 20_000, 'acks=1', 'enable.idempotence=false'), /^20000 records sent/m)
        const limits = ['--num-records', '40000', '--timeout', '20000']
        expectMatch(await tools.call('consumer-perf-test', '--topic', topic, ...limits), /, *4\d{4},/)
      },
      limitMs: 90_000,
    },
    {
      name: 'producer-perf-test: transactional',
      run: async () => {
        const topic = await tools.topic('perf-transactional')
        const load = ['--num-records', '5000', '--record-size', '200', '--throughput', '-1']
        const said = await tools.call(
          'producer-perf-test',
          '--topic',
          topic,
          ...load,
          '--transaction-duration-ms',
          '100',
        )
        expectMatch(said, /5000 records sent/)
      },
    },
    {
      name: 'e2e-latency',
      run: async () => {
        const topic = await tools.topic('latency')
        const load = ['--num-records', '200', '--producer-acks', 'all', '--record-size', '100']
        const said = await tools.bare('e2e-latency', ['--bootstrap-server', address, '--topic', topic, ...load])
        expectMatch(said, /Avg latency: [\d.]+ ms/)
      },
    },
    {
      name: 'get-offsets: earliest, latest, by time, of the greatest timestamp',
      run: async () => {
        const topic = await tools.topic('offsets', 2)
        const before = Date.now()
        await tools.produce(topic, lines(10))
        const at = async (time: string): Promise<number> => {
          const said = await tools.call('get-offsets', '--topic', topic, '--time', time)
          const found = [...said.matchAll(/:\d+:(\d+)$/gm)].map((match) => Number(match[1]))
          return found.reduce((sum, offset) => sum + offset, 0)
        }
        expectEqual(await at('-2'), 0, 'earliest')
        expectEqual(await at('-1'), 10, 'latest')
        expectEqual(await at(`${before}`), 0, 'since before the first')
        expect((await at('-3')) > 0, 'no offset of the greatest timestamp')
      },
      limitMs: 90_000,
    },
    {
      name: 'delete-records',
      run: async () => {
        const topic = await tools.topic('delete-records')
        await tools.produce(topic, lines(5))
        const plan = { partitions: [{ topic, partition: 0, offset: 2 }], version: 1 }
        const file = tools.file('delete-records.json', JSON.stringify(plan))
        expectMatch(await tools.call('delete-records', '--offset-json-file', file), /low_watermark: 2/)
        expectEqual(await tools.consume(topic, 3), ['value-2', 'value-3', 'value-4'], 'values left')
      },
    },
    {
      name: 'transactions: list and describe producers',
      run: async () => {
        const topic = await tools.topic('transactions')
        await tools.produce(topic, ['a'])
        expectMatch(await tools.call('transactions', 'list'), /TransactionalId/)
        const described = await tools.call('transactions', 'describe-producers', '--topic', topic, '--partition', '0')
        expectMatch(described, /ProducerId/)
      },
    },
  ]
}

/** The segments of partition 0 in the data folder, oldest first; their folder is named by topic id. */
async function segmentsOf(tools: Tools, topic: string): Promise<readonly string[]> {
  const { dataDir } = tools.context.broker
  if (dataDir === null) throw new NotHere('the data folder of this broker is not known')
  const said = await tools.call('topics', '--describe', '--topic', topic)
  const id = /TopicId: (\S+)/.exec(said)?.[1] ?? ''
  const hex = Buffer.from(id, 'base64url').toString('hex')
  const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  const spellings = [id, hex, uuid].map((spelled) => join(dataDir, 'logs', `${spelled}-0`))
  const folder = spellings.find((candidate) => existsSync(candidate))
  if (folder === undefined) throw new Error(`no folder of ${id} in ${readdirSync(join(dataDir, 'logs')).join(' ')}`)
  const names = readdirSync(folder).filter((file) => file.endsWith('.log'))
  if (names.length === 0) throw new Error(`no segment in ${folder}`)
  return names.sort().map((file) => join(folder, file))
}

function fileChecks(tools: Tools): Check[] {
  return [
    {
      name: 'dump-log reads our segments',
      run: async () => {
        const topic = await tools.topic('dump')
        await tools.produce(topic, lines(20), '--compression-codec', 'zstd')
        await tools.produce(topic, lines(5))
        const segments = await segmentsOf(tools, topic)
        const said = await tools.bare('dump-log', [
          '--files',
          segments.join(','),
          '--deep-iteration',
          '--print-data-log',
        ])
        expectMatch(said, /compresscodec: zstd/)
        expectMatch(said, /isvalid: true/)
        expect(!said.includes('isvalid: false'), 'a batch is not valid')
        expectEqual([...said.matchAll(/payload: value-\d+/g)].length, 25, 'records')
        expectMatch(said, /lastOffset: 24/)
      },
    },
    {
      name: 'dump-log finds our indexes sane',
      run: async () => {
        // The newest segment may keep its index in memory; those before it have theirs beside them.
        const topic = await tools.topic('dump-index', 1, 'segment.bytes=1048576')
        const load = ['--num-records', '6000', '--record-size', '500', '--throughput', '-1']
        await tools.call('producer-perf-test', '--topic', topic, ...load)
        const [segment = '', ...later] = await segmentsOf(tools, topic)
        expect(later.length > 0, 'one segment only')
        const files = ['index', 'timeindex'].map((ending) => segment.replace(/log$/, ending)).filter(existsSync)
        if (files.length === 0) throw new Error('no index beside the segment')
        const said = await tools.bare('dump-log', ['--files', files.join(','), '--index-sanity-check'])
        expectMatch(said, /passed sanity check/)
        expect(!/Found|mismatch|not.*sane/i.test(said), said.slice(0, 300))
      },
    },
  ]
}

export function records(tools: Tools): Check[] {
  return [...consoleChecks(tools), ...measureChecks(tools), ...fileChecks(tools)]
}
