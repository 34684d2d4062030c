// `odradek serve` as a process: its ready line, its end, and the one line for each thing that prevents a start.
// Promises: free ports and fresh folders only; no process is left behind.
// Does not know: what clients do (cli.test.ts, examples.test.ts).

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { main, odradek, start, type Running } from './program.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'odradek-serve-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Ready {
  readonly ready: true
  readonly kafka: string
  readonly data: string | null
  readonly pid: number
  readonly startMs: number
}

async function ready(running: Running): Promise<Ready> {
  return JSON.parse(await running.line((line) => line.startsWith('{"ready":true'))) as Ready
}

const fresh = ['serve', '--kafka', '127.0.0.1:0', '--json', '--log-level', 'error']

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s ends it with 0 in under two seconds, also with a client connected',
  async (signal) => {
    const running = start(main, [...fresh, '--store', 'memory:'])
    const { kafka, data, pid, startMs } = await ready(running)
    expect(kafka).toMatch(/^127\.0\.0\.1:\d+$/)
    expect(data).toBe(null)
    expect(pid).toBe(running.process.pid)
    expect(startMs).toBeGreaterThan(0)
    const socket = net.connect(Number(kafka.split(':')[1]), '127.0.0.1')
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.on('error', () => {})
    const asked = performance.now()
    running.process.kill(signal)
    const { code, err } = await running.ended
    socket.destroy()
    expect(err).toBe('')
    expect(code).toBe(0)
    expect(performance.now() - asked).toBeLessThan(2000)
  },
)

test('what was produced is there after an orderly end and a new start', async () => {
  const data = join(folder, 'kept')
  const first = start(main, [...fresh, '--data', data])
  const told = await ready(first)
  expect(told.data).toBe(data)
  const produced = await odradek(['produce', 'orders', '--kafka', told.kafka], 'one\ntwo\n')
  expect(produced).toMatchObject({ code: 0, out: 'Produced 2 records to orders: partition 0 at offsets 0 to 1.\n' })
  first.process.kill('SIGTERM')
  expect((await first.ended).code).toBe(0)

  const second = start(main, [...fresh, '--data', data])
  const { kafka } = await ready(second)
  const consumed = await odradek(['consume', 'orders', '--from-beginning', '--exit', '--kafka', kafka])
  expect(consumed).toEqual({ code: 0, out: 'one\ntwo\n', err: '' })

  const locked = await odradek([...fresh, '--data', data])
  expect(locked).toEqual({
    code: 1,
    out: '',
    err: `odradek: ${data} is in use by process ${second.process.pid}: stop it, or choose another folder with --data DIR\n`,
  })
  second.process.kill('SIGTERM')
  expect((await second.ended).code).toBe(0)
})

test('it ends in time also with a parked fetch, a group and an unread answer', async () => {
  const running = start(main, [...fresh, '--store', 'memory:'])
  const { kafka } = await ready(running)
  await odradek(['topics', 'create', 'quiet', '--kafka', kafka])
  const alone = start(main, ['consume', 'quiet', '--kafka', kafka])
  const member = start(main, ['consume', 'quiet', '--group', 'g', '--kafka', kafka])
  await expect
    .poll(async () => (await odradek(['groups', 'describe', 'g', '--kafka', kafka])).out, { timeout: 10_000 })
    .toContain('quiet-0')
  const asked = performance.now()
  running.process.kill('SIGTERM')
  const { code } = await running.ended
  expect(code).toBe(0)
  expect(performance.now() - asked).toBeLessThan(2000)
  for (const consumer of [alone, member]) {
    const ended = await consumer.ended
    expect(ended.code).toBe(5)
    expect(ended.err).toMatch(/^odradek: (the broker at )?127\.0\.0\.1:\d+ (closed the connection|refuses connections)/)
  }
})

/** A disk whose syncs fail once a file of this name is there. */
const brokenDisk = `
import fs from 'node:fs'
const sync = fs.fdatasync
fs.fdatasync = (fd, done) =>
  fs.existsSync(process.env.TEST_BROKEN_DISK)
    ? done(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }))
    : sync(fd, done)`

test('a sync that fails ends the process with one line; what was acknowledged is there at the next start', async () => {
  const data = join(folder, 'failing')
  const broken = join(folder, 'broken')
  const running = start(main, ['serve', '--kafka', '127.0.0.1:0', '--json', '--log-level', 'silent', '--data', data], {
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(brokenDisk)}`,
    TEST_BROKEN_DISK: broken,
  })
  const { kafka } = await ready(running)
  expect((await odradek(['produce', 'orders', '--kafka', kafka], 'kept\n')).code).toBe(0)
  writeFileSync(broken, '')
  expect((await odradek(['produce', 'orders', '--kafka', kafka], 'never acknowledged\n')).code).not.toBe(0)
  const { code, err } = await running.ended
  expect(code).toBe(1)
  expect(err).toMatch(/^odradek: .*fdatasync.*\n$/)

  const again = start(main, [...fresh, '--data', data])
  const told = await ready(again)
  const consumed = await odradek([
    'consume',
    'orders',
    '--from-beginning',
    '--max-messages',
    '1',
    '--kafka',
    told.kafka,
  ])
  expect(consumed.out).toBe('kept\n')
  again.process.kill('SIGTERM')
  expect((await again.ended).code).toBe(0)
})

test('people are told where, what is promised and what to try', async () => {
  const running = start(main, [
    'serve',
    '--kafka',
    '127.0.0.1:0',
    '--data',
    join(folder, 'human'),
    '--durability',
    'os',
  ])
  await running.line((line) => line.startsWith('Ctrl-C'))
  running.process.kill('SIGTERM')
  const { out, code } = await running.ended
  expect(code).toBe(0)
  expect(out).toMatch(/^Odradek \S+ is ready after \d+ ms\.\n/)
  expect(out).toMatch(/Kafka clients +127\.0\.0\.1:\d+\n/)
  expect(out).toContain(join(folder, 'human'))
  expect(out).toContain('os: what is acknowledged survives the end of this process, NOT a power cut')
  expect(out).toMatch(/produce orders --kafka 127\.0\.0\.1:\d+\n/)
})

test('who listens beyond this machine is warned', async () => {
  const running = start(main, ['serve', '--kafka', '0.0.0.0:0', '--store', 'memory:', '--json'])
  await ready(running)
  running.process.kill('SIGTERM')
  const { err, code } = await running.ended
  expect(code).toBe(0)
  expect(err).toMatch(/^warning: 0\.0\.0\.0:\d+ can be reached from other machines and there is no authentication yet/m)
})

test('a port in use', async () => {
  const taken = net.createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as net.AddressInfo
  const ended = await odradek(['serve', '--store', 'memory:', '--kafka', `127.0.0.1:${port}`])
  taken.close()
  expect(ended).toEqual({
    code: 1,
    out: '',
    err: `odradek: 127.0.0.1:${port} is already in use: stop what listens there, or choose another address with --kafka HOST:PORT\n`,
  })
})

test('a data folder of a newer program', async () => {
  const data = mkdtempSync(join(folder, 'newer-'))
  writeFileSync(join(data, 'odradek.json'), JSON.stringify({ formatVersion: 99, clusterId: 'x' }))
  const { code, out, err } = await odradek([...fresh, '--data', data])
  expect({ code, out }).toEqual({ code: 1, out: '' })
  expect(err).toMatch(/^odradek: .*odradek\.json: has data format 99; this program knows up to \d+: use a newer one\n$/)
})

test('a data folder that is a file', async () => {
  const data = join(folder, 'file')
  writeFileSync(data, '')
  const { code, out, err } = await odradek([...fresh, '--data', data])
  expect({ code, out }).toEqual({ code: 1, out: '' })
  const why = 'EEXIST: file already exists, mkdir; it is no folder; choose another with --data DIR'
  expect(err).toBe(`odradek: ${data}: ${why}\n`)
})

test('wrong values and a wrong command line are a line each, and 2', async () => {
  expect(await odradek(['serve', '--kafka', 'here', '--durability', 'maybe', '--set', 'num.partitions=0'])).toEqual({
    code: 2,
    out: '',
    err:
      'odradek: --kafka: "here" is not allowed; it must be HOST:PORT, port 0 for any free one, or off\n' +
      'odradek: --durability: "maybe" is not allowed; it must be commit or os\n' +
      'odradek: --set num.partitions: "0" is not allowed: it must be at least 1\n',
  })
  expect(await odradek(['serve', '--set', 'num.partitions'])).toEqual({
    code: 2,
    out: '',
    err: 'odradek: --set: "num.partitions" is not key=value\n',
  })
  expect(await odradek(['serve', '--dta', 'x'])).toEqual({
    code: 2,
    out: '',
    err: "odradek: unknown option '--dta' (Did you mean --data?); odradek --help lists what there is\n",
  })
  expect(await odradek(['sevre'])).toMatchObject({ code: 2, out: '' })
})

test('flag over environment over file, seen from outside', async () => {
  const config = join(folder, 'o.yaml')
  writeFileSync(config, 'kafka: 127.0.0.1:1\nstore: "memory:"\nlog-level: error\nsettings:\n  num.partitions: 4\n')
  const env = { ODRADEK_CONFIG: config, ODRADEK_KAFKA: '127.0.0.1:2', ODRADEK_NUM_PARTITIONS: '5' }
  const running = start(main, ['serve', '--kafka', '127.0.0.1:0', '--json'], env)
  const { kafka } = await ready(running)
  const created = await odradek(['topics', 'create', 'five', '--kafka', kafka])
  expect(created).toEqual({ code: 0, out: 'Created topic five with 5 partitions.\n', err: '' })
  running.process.kill('SIGTERM')
  expect((await running.ended).code).toBe(0)
})
