// The Kafka commands against a broker in this process: what they print, what they exit with.
// Promises: everything through the built program, as a user calls it.
// Does not know: serve (serve.test.ts); the same commands against a real Kafka are a matter of compat.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startBroker, type RunningBroker } from '../../src/index.ts'
import { main, odradek, start, type Ended } from './program.ts'

let broker: RunningBroker
let folder = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'odradek-cli-'))
  broker = await startBroker({ store: `file:${join(folder, 'data')}`, logLevel: 'error' })
})
afterAll(async () => {
  await broker.close()
  rmSync(folder, { recursive: true, force: true })
})

const cli = (line: string, input = ''): Promise<Ended> => odradek([...line.split(' '), '--kafka', broker.kafka], input)
/** The output of a command that succeeds. */
async function out(line: string, input = ''): Promise<string> {
  const ended = await cli(line, input)
  expect(ended.err).toBe('')
  expect(ended.code).toBe(0)
  return ended.out
}
const json = async <T>(line: string, input = ''): Promise<T> => JSON.parse(await out(`${line} --json`, input)) as T

test('topics: made, listed, described, altered, deleted', async () => {
  expect(await out('topics create shop.orders --partitions 2 --set retention.ms=1000')).toBe(
    'Created topic shop.orders with 2 partitions.\n',
  )
  expect(await out('topics create shop.orders --if-not-exists')).toBe('Topic shop.orders exists already.\n')
  expect(await cli('topics create shop.orders')).toMatchObject({
    code: 4,
    err: expect.stringMatching(/^odradek: topic shop\.orders: .*\(TOPIC_ALREADY_EXISTS\)\n$/) as unknown,
  })
  expect(await out('topics list')).toContain('shop.orders           2\n')
  await out('topics alter shop.orders --partitions 3 --set segment.ms=60000 --unset retention.ms')
  const { partitions, settings } = await json<{
    partitions: { partition: number; start: number; end: number }[]
    settings: { name: string; value: string; isDefault: boolean }[]
  }>('topics describe shop.orders')
  expect(partitions.map(({ partition, start, end }) => [partition, start, end])).toEqual([
    [0, 0, 0],
    [1, 0, 0],
    [2, 0, 0],
  ])
  expect(settings.filter(({ isDefault }) => !isDefault).map(({ name, value }) => [name, value])).toEqual([
    ['segment.ms', '60000'],
  ])
  expect(await out('topics delete shop.orders')).toBe('Deleted topic shop.orders.\n')
  expect((await cli('topics describe shop.orders')).code).toBe(3)
  expect((await cli('topics delete shop.orders')).code).toBe(3)
})

test('produce and consume: keys, headers, formats, places to start', async () => {
  await out('topics create things --partitions 3')
  await out('produce things --key-separator = --header from=test', 'a=1\nb=2\na=3\nno end of line=4')
  const all = await out('consume things --from-beginning --exit --json')
  const records = all
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { partition: number; key: string; value: string; headers: unknown })
  expect(records.map(({ key, value }) => `${key}=${value}`).sort()).toEqual(['a=1', 'a=3', 'b=2', 'no end of line=4'])
  // The same key in the same partition, in order.
  const ofA = records.filter(({ key }) => key === 'a')
  expect(ofA.map(({ value }) => value)).toEqual(['1', '3'])
  expect(new Set(ofA.map(({ partition }) => partition)).size).toBe(1)
  expect(records[0]?.headers).toEqual([{ name: 'from', value: 'test' }])
  expect(await out('produce things --partition 2 --acks 1', 'x\n')).toMatch(
    /^Produced 1 record to things: partition 2 at offset \d+\.\n$/,
  )
  expect(await out('consume things --partition 2 --offset -1 --exit --format %t/%p:%k=%s\\n')).toBe('things/2:=x\n')
  expect(await out('consume things --from-beginning --max-messages 2')).toMatch(/^.*\n.*\n$/)
  expect(await out('consume things --timestamp 2100-01-01 --exit')).toBe('')
  expect((await cli('consume things --partition 9 --exit')).code).toBe(3)
  expect((await cli('consume nothing.here --exit')).code).toBe(3)
})

test.each(['gzip', 'snappy', 'lz4', 'zstd'])('%s there and back', async (codec) => {
  const lines = Array.from({ length: 3000 }, (_, at) => `line ${at} of some that repeat`).join('\n') + '\n'
  const file = join(folder, `${codec}.txt`)
  writeFileSync(file, lines)
  await out(`produce packed.${codec} --file ${file} --compression ${codec}`)
  expect(await out(`consume packed.${codec} --from-beginning --exit`)).toBe(lines)
})

test('bytes that are no text go through unchanged, and as base64 in JSON', async () => {
  const running = start(main, ['produce', 'raw', '--kafka', broker.kafka])
  running.process.stdin?.end(Buffer.from([0xff, 0x00, 0xfe, 0x0a]))
  expect((await running.ended).code).toBe(0)
  expect(await out('consume raw --from-beginning --exit --json')).toContain('"value":{"base64":"/wD+"}')
})

test('groups: lag in records and in time, reset, delete', async () => {
  await out('produce watched', 'a\nb\nc\nd\n')
  expect(await out('consume watched --group readers --from-beginning --max-messages 3')).toBe('a\nb\nc\n')
  const described = await json<{ state: string; offsets: object[] }>('groups describe readers')
  expect(described.state).toBe('Empty')
  expect(described.offsets).toEqual([
    {
      topic: 'watched',
      partition: 0,
      committed: 3,
      start: 0,
      end: 4,
      lag: 1,
      lagMs: expect.any(Number) as unknown,
    },
  ])
  expect(await out('consume watched --group readers --exit')).toBe('d\n')
  expect(await out('groups list')).toMatch(/^readers +Empty +classic$/m)
  expect(await json('groups reset readers --shift-by -2 --dry-run')).toMatchObject({
    dryRun: true,
    partitions: [{ topic: 'watched', partition: 0, from: 4, to: 2 }],
  })
  expect(await out('consume watched --group readers --exit')).toBe('')
  await out('groups reset readers --to-offset 3')
  expect(await out('consume watched --group readers --exit')).toBe('d\n')
  await out('groups reset readers --to-earliest')
  expect(await out('consume watched --group readers --exit')).toBe('a\nb\nc\nd\n')
  await out('groups reset readers --to-datetime 2000-01-01')
  await out('groups reset readers --to-latest')
  expect(await out('groups delete readers')).toBe('Deleted group readers.\n')
  expect((await cli('groups describe readers')).code).toBe(3)
  expect((await cli('groups reset readers --to-latest')).code).toBe(3)
  expect((await cli('groups reset readers')).code).toBe(2)
})

test('two members of a group share the partitions; when one leaves the other has all', async () => {
  await out('topics create shared --partitions 4')
  const args = ['consume', 'shared', '--group', 'sharers', '--from-beginning', '--kafka', broker.kafka]
  const format = ['--format', '%p\\n']
  const first = start(main, [...args, ...format])
  const second = start(main, [...args, ...format])
  const sharesOf = async (): Promise<number[]> => {
    const { members } = await json<{ members: { partitions: unknown[] }[] }>('groups describe sharers')
    return members.map(({ partitions }) => partitions.length)
  }
  await expect.poll(sharesOf, { timeout: 10_000, interval: 100 }).toEqual([2, 2])
  expect((await cli('groups reset sharers --topic shared --to-latest')).err).toContain('stop its consumers first')
  expect((await cli('groups delete sharers')).err).toContain('NON_EMPTY_GROUP')
  for (let partition = 0; partition < 4; partition++) await out(`produce shared --partition ${partition}`, 'x\n')
  second.process.kill('SIGINT')
  const { out: secondOut, code } = await second.ended
  expect(code).toBe(0)
  await expect.poll(sharesOf, { timeout: 10_000, interval: 100 }).toEqual([4])
  await out('produce shared --partition 0', 'y\n')
  await first.line(() => true)
  await expect
    .poll(async () => (await json<{ offsets: { lag: number }[] }>('groups describe sharers')).offsets, {
      timeout: 10_000,
    })
    .toEqual(Array.from({ length: 4 }, () => expect.objectContaining({ lag: 0 }) as unknown))
  first.process.kill('SIGINT')
  const { out: firstOut } = await first.ended
  expect((firstOut + secondOut).split('\n').filter(Boolean).sort()).toEqual(['0', '0', '1', '2', '3'])
})

test('inspect reads segment files and names damage', async () => {
  await out('produce inspected', 'one\ntwo\n')
  await out('produce inspected --compression gzip', 'three\n')
  const logs = join(folder, 'data', 'logs')
  const { id } = await json<{ id: string }>('topics describe inspected')
  const log = readdirSync(logs).find((name) => name === `${id}-0`) ?? ''
  const segment = join(logs, log, '00000000000000000000.log')
  const inspected = await odradek(['inspect', 'segment', segment, '--records'])
  expect(inspected).toMatchObject({ code: 0, err: '' })
  expect(inspected.out).toContain('2 batches, 3 records')
  expect(inspected.out.match(/"value":"(one|two|three)"/g)).toHaveLength(3)

  const broken = join(folder, 'broken.log')
  const bytes = (await import('node:fs')).readFileSync(segment)
  bytes[70] = (bytes[70] ?? 0) ^ 1
  writeFileSync(broken, Buffer.concat([bytes, Buffer.from('torn')]))
  expect(await odradek(['inspect', 'segment', broken])).toMatchObject({
    code: 1,
    err: `odradek: ${broken}: 1 of 2 batches have a wrong CRC\n`,
  })
  expect((await odradek(['inspect', 'segment', join(folder, 'absent.log')])).code).toBe(3)
})

test('several addresses: the first that answers is enough', async () => {
  const ended = await odradek(['topics', 'list', '--kafka', `127.0.0.1:1,${broker.kafka}`])
  expect(ended).toMatchObject({ code: 0, err: '' })
})

test('an advertised address where nobody is: the line says who sent us there', async () => {
  const lost = await startBroker({ advertise: '127.0.0.1:1', logLevel: 'error' })
  try {
    const { code, err } = await odradek(['topics', 'create', 't', '--kafka', lost.kafka])
    const why = `${lost.kafka} sends its clients there: check what it advertises`
    expect({ code, err }).toEqual({
      code: 5,
      err: `odradek: 127.0.0.1:1 refuses connections: nothing listens there; ${why}\n`,
    })
  } finally {
    await lost.close()
  }
})

test('nobody there is 5, wrong usage is 2, each in a line', async () => {
  const nobody = await odradek(['topics', 'list', '--kafka', '127.0.0.1:1'])
  expect(nobody).toEqual({
    code: 5,
    out: '',
    err: 'odradek: 127.0.0.1:1 refuses connections: nothing listens there; start a broker with "odradek serve", or say where one is with --kafka HOST:PORT\n',
  })
  const usages = [
    'topics list --kafka nowhere',
    'topics create t --partitions none',
    'topics create t --set x',
    'produce t --key a --key-separator b',
    'produce t --compression brotli',
    'produce t --acks 2',
    'consume t --offset x',
    'consume t --from-beginning --offset 1',
    'consume t --group g --offset 1',
    'consume t --timestamp yesterday',
    'consume t --format %x',
    'groups reset g --to-latest --to-earliest',
  ]
  const ended = await Promise.all(usages.map((line) => odradek(line.split(' '))))
  for (const [at, { code, err }] of ended.entries()) {
    expect({ line: usages[at], code, lines: err.split('\n').length }).toEqual({ line: usages[at], code: 2, lines: 2 })
  }
})
