// kcat 1.7.1, Debian's build on librdkafka 2.0.2: the oldest librdkafka still widely installed, on the command line.
// Promises: every check makes its own topic, so that checks may be run alone.
// Does not know: any other client.

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { readFileSync, writeFileSync } from 'node:fs'
import { debianPackage } from '../install.ts'
import { run, start } from '../process.ts'
import {
  expect,
  expectEqual,
  expectMatch,
  runChecks,
  until,
  type Check,
  type Suite,
  type SuiteContext,
} from '../suite.ts'

const CALL_LIMIT_MS = 30_000

class Kcat {
  readonly context: SuiteContext

  constructor(context: SuiteContext) {
    this.context = context
  }

  topic(name: string): string {
    return `kcat-${name}-${this.context.tag}`
  }

  async call(args: readonly string[], input?: string | Buffer): Promise<string> {
    const options = { timeoutMs: CALL_LIMIT_MS, ...(input === undefined ? {} : { input }) }
    const result = await run('kcat', ['-b', this.context.broker.address, ...args], options)
    if (result.timedOut) throw new Error(`kcat ${args.join(' ')} took longer than ${CALL_LIMIT_MS} ms`)
    if (result.code !== 0) throw new Error(`kcat ${args.join(' ')} ended with ${result.code}: ${result.stderr.trim()}`)
    return result.stdout
  }

  produce(topic: string, input: string | Buffer, ...args: string[]): Promise<string> {
    return this.call(['-P', '-t', topic, ...args], input)
  }

  /** All of partition 0, up to its end. */
  consume(topic: string, ...args: string[]): Promise<string> {
    return this.call(['-C', '-t', topic, '-p', '0', '-o', 'beginning', '-e', '-q', ...args])
  }
}

function lines(count: number, prefix: string): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${index}`)
}

async function roundTrip(kcat: Kcat, name: string, args: readonly string[]): Promise<void> {
  const topic = kcat.topic(name)
  const sent = lines(500, `${name}-of-a-longer-value`)
  await kcat.produce(topic, `${sent.join('\n')}\n`, ...args)
  const got = (await kcat.consume(topic, '-X', 'check.crcs=true')).trim().split('\n')
  expectEqual(got.length, sent.length, 'messages read')
  expectEqual(got, sent, 'values')
}

function metadataChecks(kcat: Kcat): Check[] {
  return [
    {
      name: 'metadata lists the broker and its controller',
      run: async () => expectMatch(await kcat.call(['-L']), /broker \d+ at .*:\d+ \(controller\)/),
    },
    {
      name: 'metadata of one topic as JSON',
      run: async () => {
        const topic = kcat.topic('metadata')
        await kcat.produce(topic, 'one\n')
        const text = await kcat.call(['-L', '-J', '-t', topic])
        expectMatch(text, new RegExp(`"topic":"${topic}"`))
        expectMatch(text, /"partition":0,"leader":\d+/)
      },
    },
  ]
}

function produceChecks(kcat: Kcat): Check[] {
  const codecs = ['gzip', 'snappy', 'lz4', 'zstd'].map((codec) => ({
    name: `codec ${codec}`,
    run: () => roundTrip(kcat, codec, ['-z', codec]),
  }))
  const acks = ['0', '1', 'all'].map((level) => ({
    name: `acks ${level}`,
    run: async () => {
      const topic = kcat.topic(`acks-${level}`)
      await kcat.produce(topic, 'seed\n')
      await kcat.produce(topic, 'value\n', '-X', `acks=${level}`)
      await until('the value', 10_000, async () => ((await kcat.consume(topic)) === 'seed\nvalue\n' ? true : null))
    },
  }))
  return [
    { name: 'values without compression', run: () => roundTrip(kcat, 'plain', []) },
    ...codecs,
    ...acks,
    {
      name: 'keys',
      run: async () => {
        const topic = kcat.topic('keys')
        await kcat.produce(topic, 'user_123:clicked\nuser_124:left\n', '-K:')
        expectEqual(await kcat.consume(topic, '-K:'), 'user_123:clicked\nuser_124:left\n', 'keys and values')
      },
    },
    {
      name: 'headers',
      run: async () => {
        const topic = kcat.topic('headers')
        await kcat.produce(topic, 'value\n', '-H', 'trace=abc', '-H', 'trace=def', '-H', 'none')
        expectMatch(await kcat.consume(topic, '-f', '%h %s\n'), /^trace=abc,trace=def,none=NULL value\n$/)
      },
    },
    {
      name: 'a null value and an empty key',
      run: async () => {
        const topic = kcat.topic('null')
        await kcat.produce(topic, 'gone:\n:kept\n', '-K:', '-Z')
        const out = await kcat.consume(topic, '-f', '%k|%K|%s|%S\n')
        expectEqual(out, 'gone|4||-1\n|-1|kept|4\n', 'key, key length, value, value length')
      },
    },
    {
      name: 'one value of 900 kB, byte for byte',
      run: async () => {
        const topic = kcat.topic('large')
        const file = join(kcat.context.workDir, 'large')
        const value = randomBytes(450_000).toString('hex')
        writeFileSync(file, value)
        await kcat.call(['-P', '-t', topic, file])
        expect((await kcat.consume(topic, '-f', '%s')) === readFileSync(file, 'utf8'), 'the value differs')
      },
    },
    {
      name: 'idempotent producer',
      run: () => roundTrip(kcat, 'idempotent', ['-X', 'enable.idempotence=true', '-X', 'linger.ms=1']),
    },
    {
      name: 'transactional producer',
      run: () => roundTrip(kcat, 'transactional', ['-X', `transactional.id=kcat-${kcat.context.tag}`]),
    },
  ]
}

function readChecks(kcat: Kcat): Check[] {
  return [
    {
      name: 'offsets: absolute, from the end, limited',
      run: async () => {
        const topic = kcat.topic('offsets')
        await kcat.produce(topic, `${lines(10, 'v').join('\n')}\n`)
        const from = (offset: string, ...more: string[]): Promise<string> =>
          kcat.call(['-C', '-t', topic, '-p', '0', '-o', offset, '-e', '-q', '-f', '%o ', ...more])
        expectEqual(await from('7'), '7 8 9 ', 'from 7')
        expectEqual(await from('-2'), '8 9 ', 'the last two')
        expectEqual(await from('beginning', '-c', '3'), '0 1 2 ', 'the first three')
      },
    },
    {
      name: 'an offset beyond the end is reset',
      run: async () => {
        const topic = kcat.topic('beyond')
        await kcat.produce(topic, 'a\nb\n')
        const args = ['-C', '-t', topic, '-p', '0', '-o', '1000', '-e', '-q', '-X', 'topic.auto.offset.reset=earliest']
        expectEqual(await kcat.call(args), 'a\nb\n', 'values after the reset')
      },
    },
    {
      name: 'offset by time',
      run: async () => {
        const topic = kcat.topic('by-time')
        await kcat.produce(topic, 'before\n')
        await new Promise((resolve) => setTimeout(resolve, 30))
        const middle = Date.now()
        await new Promise((resolve) => setTimeout(resolve, 30))
        await kcat.produce(topic, 'after\n')
        const ask = (time: number): Promise<string> => kcat.call(['-Q', '-t', `${topic}:0:${time}`])
        expectMatch(await ask(middle), /\[0\] offset 1$/m)
        expectMatch(await ask(-2), /\[0\] offset 0$/m)
        expectMatch(await ask(-1), /\[0\] offset 2$/m)
        const out = await kcat.call(['-C', '-t', topic, '-p', '0', '-o', `s@${middle}`, '-e', '-q'])
        expectEqual(out, 'after\n', 'values since the middle')
      },
    },
    {
      name: "timestamps are the producer's",
      run: async () => {
        const topic = kcat.topic('timestamps')
        const before = Date.now()
        await kcat.produce(topic, 'value\n')
        const stamp = Number(await kcat.consume(topic, '-f', '%T'))
        expect(stamp >= before && stamp <= Date.now(), `timestamp ${stamp} is not between ${before} and now`)
      },
    },
    {
      name: 'isolation read_committed on plain data',
      run: async () => {
        const topic = kcat.topic('isolation')
        await kcat.produce(topic, 'a\nb\n')
        expectEqual(await kcat.consume(topic, '-X', 'isolation.level=read_committed'), 'a\nb\n', 'values')
      },
    },
    {
      name: 'a waiting consumer is woken by a later produce',
      run: async () => {
        const topic = kcat.topic('waiting')
        await kcat.produce(topic, 'first\n')
        const args = [
          '-b',
          kcat.context.broker.address,
          '-C',
          '-t',
          topic,
          '-p',
          '0',
          '-o',
          'beginning',
          '-u',
          '-c',
          '2',
        ]
        const waiting = start('kcat', [...args, '-X', 'fetch.wait.max.ms=20000', '-q'])
        let out = ''
        waiting.process.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()))
        await until('the first value', 10_000, async () => (out === 'first\n' ? true : null))
        await new Promise((resolve) => setTimeout(resolve, 300))
        const sent = performance.now()
        await kcat.produce(topic, 'second\n')
        await until('the second value', 10_000, async () => (out === 'first\nsecond\n' ? true : null))
        const took = performance.now() - sent
        await waiting.stop()
        expect(took < 5_000, `the waiting fetch was answered after ${took.toFixed(0)} ms`)
      },
    },
  ]
}

function groupChecks(kcat: Kcat): Check[] {
  const balanced = (topic: string, group: string, count: number, ...more: string[]): Promise<string> =>
    kcat.call(['-G', group, '-c', `${count}`, '-q', '-X', 'auto.offset.reset=earliest', ...more, topic])
  return [
    {
      name: 'balanced consumer',
      run: async () => {
        const topic = kcat.topic('balanced')
        await kcat.produce(topic, `${lines(10, 'v').join('\n')}\n`)
        const out = await balanced(topic, `${topic}-g`, 10)
        expectEqual(out.trim().split('\n'), lines(10, 'v'), 'values')
      },
    },
    {
      name: 'balanced consumer goes on where it committed',
      run: async () => {
        const topic = kcat.topic('goes-on')
        await kcat.produce(topic, `${lines(4, 'v').join('\n')}\n`)
        expectEqual(await balanced(topic, `${topic}-g`, 4), `${lines(4, 'v').join('\n')}\n`, 'first run')
        await kcat.produce(topic, 'v-4\nv-5\n')
        expectEqual(await balanced(topic, `${topic}-g`, 2), 'v-4\nv-5\n', 'second run')
      },
    },
    {
      name: 'balanced consumer with a static member id',
      run: async () => {
        const topic = kcat.topic('static')
        await kcat.produce(topic, 'a\nb\n')
        const member = ['-X', 'group.instance.id=kcat-1', '-X', 'session.timeout.ms=6000']
        expectEqual(await balanced(topic, `${topic}-g`, 1, ...member), 'a\n', 'first run')
        expectEqual(await balanced(topic, `${topic}-g`, 1, ...member), 'b\n', 'the same member again')
      },
    },
    {
      name: 'balanced consumer, cooperative-sticky',
      run: async () => {
        const topic = kcat.topic('cooperative')
        await kcat.produce(topic, 'a\nb\n')
        const strategy = ['-X', 'partition.assignment.strategy=cooperative-sticky']
        expectEqual(await balanced(topic, `${topic}-g`, 2, ...strategy), 'a\nb\n', 'values')
      },
    },
    {
      name: 'balanced consumer subscribed by pattern',
      run: async () => {
        const topic = kcat.topic('pattern')
        await kcat.produce(topic, 'a\nb\n')
        const out = await balanced(`^kcat-patt.*${kcat.context.tag}`, `${topic}-g`, 2)
        expectEqual(out, 'a\nb\n', 'values')
      },
    },
  ]
}

export const suite: Suite = {
  name: 'kcat',
  needs: [],
  limitMinutes: 4,
  run: async (context) => {
    await debianPackage('kcat', 'kcat')
    const kcat = new Kcat(context)
    const checks = [...metadataChecks(kcat), ...produceChecks(kcat), ...readChecks(kcat), ...groupChecks(kcat)]
    return runChecks(context, checks)
  },
}
