// The commands that ask a broker through its admin socket: queues, exchanges, bindings, policies.
// Promises: everything through the built program, as a user calls it, at a broker in this process.
// Does not know: clients of AMQP (amqplib's tests), nor what else the management API answers (protocols/http).

import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startServer, type RunningServer } from '../../src/server/start.ts'
import { main, odradek, start, type Ended } from './program.ts'

let broker: RunningServer
let folder = ''
const dataOf = (name: string): string => join(folder, name)
const begin = (name: string): Promise<RunningServer> =>
  startServer({ store: `file:${dataOf(name)}`, amqp: 'off', logLevel: 'error' })
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'odradek-queues-'))
  broker = await begin('data')
})
afterAll(async () => {
  await broker.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Words are separated by blanks; what has some is given as a list. */
const wordsOf = (line: string | readonly string[]): string[] => (typeof line === 'string' ? line.split(' ') : [...line])
const cli = (line: string | readonly string[], input = '', data = 'data'): Promise<Ended> =>
  odradek([...wordsOf(line), '--data', dataOf(data)], input)
/** The output of a command that succeeds. */
async function out(line: string | readonly string[], input = ''): Promise<string> {
  const ended = await cli(line, input)
  expect(ended.err).toBe('')
  expect(ended.code).toBe(0)
  return ended.out
}
const json = async <T>(line: string): Promise<T> => JSON.parse(await out(`${line} --json`)) as T
const missing = (what: string): Ended => ({ code: 3, out: '', err: `odradek: no ${what} in vhost '/'\n` })

interface Queue {
  readonly name: string
}
interface Message {
  readonly payload: string
  readonly payload_encoding: string
  readonly redelivered: boolean
  readonly exchange: string
  readonly routing_key: string
  readonly message_count: number
  readonly properties: Readonly<Record<string, unknown>>
}

describe('queues', () => {
  test('declared, declared again, listed, described, deleted', async () => {
    expect(await out('queues list')).toBe('There are no queues. Make one: odradek queues declare NAME\n')
    const declare = 'queues declare orders --argument x-message-ttl=60000 --argument x-dead-letter-exchange=late'
    expect(await out(declare)).toBe('Declared queue orders.\n')
    expect(await json(declare)).toEqual({ name: 'orders', declared: true })
    expect(await cli('queues declare orders')).toMatchObject({
      code: 1,
      err: "odradek: inequivalent arg 'x-message-ttl' for queue 'orders' in vhost '/': received none but current is the value '60000' of type 'long'\n",
    })
    expect(await out('queues list')).toBe(
      'QUEUE   TYPE     READY  UNACKED  CONSUMERS  ON DISK\norders  classic      0        0          0  0 B\n',
    )
    expect(await json('queues list')).toMatchObject([
      { name: 'orders', type: 'classic', durable: true, auto_delete: false, exclusive: false, messages: 0 },
    ])
    expect(await out('queues describe orders')).toBe(
      [
        'orders: classic, durable',
        'READY  UNACKED  DELAYED  CONSUMERS  ON DISK',
        '    0        0        0          0  0 B',
        'TOPIC   MADE BY  PARTITIONS  CLEANUP   RETENTION MS  RETENTION BYTES',
        'orders  amqp              1  consumed             0                0',
        'ARGUMENT                VALUE',
        'x-message-ttl           60000',
        'x-dead-letter-exchange  "late"',
        '',
      ].join('\n'),
    )
    expect(await json('queues describe orders')).toMatchObject({
      name: 'orders',
      arguments: { 'x-message-ttl': 60000, 'x-dead-letter-exchange': 'late' },
      policy: null,
      consumers: 0,
    })
    expect(await out('queues delete orders')).toBe('Deleted queue orders.\n')
    expect(await cli('queues describe orders')).toEqual(missing("queue 'orders'"))
  })

  test('of each type and life, several deleted at once', async () => {
    await out('queues declare plain.transient --transient --auto-delete')
    await out('queues declare of.quorum --type quorum')
    await out('queues declare of.stream --type stream')
    expect(await json('queues describe plain.transient')).toMatchObject({ durable: false, auto_delete: true })
    expect(await json('queues describe of.quorum')).toMatchObject({ type: 'quorum', durable: true })
    expect(await json('queues describe of.stream')).toMatchObject({ type: 'stream' })
    expect((await cli('queues declare of.none --type none')).code).toBe(1)
    const deleted = await out('queues delete plain.transient of.quorum of.stream --json')
    expect(deleted.trim().split('\n')).toHaveLength(3)
    expect(await json<Queue[]>('queues list')).toEqual([])
  })

  test('publish and get: what is looked at goes back, what is acknowledged is gone', async () => {
    await out('queues declare looked-at')
    expect(await out('queues get looked-at')).toBe('Queue looked-at has no message that is ready.\n')
    expect(await json('queues get looked-at')).toEqual([])
    const properties = ['content_type=text/plain', 'priority=3', 'expiration=60000', 'message_id=m 1']
    const options = [
      ...properties.flatMap((one) => ['--property', one]),
      ...['tries=2', 'urgent=true', 'who=a=b'].flatMap((one) => ['--header', one]),
    ]
    expect(await out(['queues', 'publish', 'looked-at', '--body', 'first', ...options])).toBe('Published 5 bytes.\n')
    expect(await out('queues publish looked-at --json', 'from stdin\n')).toBe('{"routed":true}\n')
    const looked = await json<Message[]>('queues get looked-at --count 5')
    expect(looked).toMatchObject([
      {
        payload: 'first',
        payload_encoding: 'string',
        redelivered: false,
        exchange: '',
        routing_key: 'looked-at',
        properties: {
          content_type: 'text/plain',
          delivery_mode: 2,
          priority: 3,
          expiration: '60000',
          message_id: 'm 1',
          headers: { tries: 2, urgent: true, who: 'a=b' },
        },
      },
      { payload: 'from stdin\n', properties: { delivery_mode: 2 } },
    ])
    expect(await out('queues get looked-at')).toBe(
      'EXCHANGE   ROUTING KEY  REDELIVERED  BYTES  BODY\n(default)  looked-at    yes              5  first\n',
    )
    expect(await json('queues get looked-at --ack')).toMatchObject([{ payload: 'first', message_count: 1 }])
    expect(await json('queues get looked-at --ack')).toMatchObject([{ payload: 'from stdin\n', message_count: 0 }])
    expect(await json('queues get looked-at')).toEqual([])
  })

  test('bodies that are no text go through unchanged, and are shown as base64', async () => {
    await out('queues declare raw')
    const running = start(main, ['queues', 'publish', 'raw', '--data', dataOf('data')])
    running.process.stdin?.end(Buffer.from([0xff, 0x00, 0xfe, 0x0a]))
    expect(await running.ended).toEqual({ code: 0, out: 'Published 4 bytes.\n', err: '' })
    expect(await json('queues get raw')).toMatchObject([{ payload: '/wD+Cg==', payload_encoding: 'base64' }])
    expect(await out('queues get raw')).toContain('  base64:/wD+Cg==\n')
    // A terminal is moved by no body.
    await out(['queues', 'publish', 'raw', '--body', 'a\u001b[2Jb'])
    expect(await out('queues get raw --count 2')).toContain('  a\\u001b[2Jb\n')
  })

  test('purged; deleted only when empty', async () => {
    await out('queues declare full')
    await out('queues publish full --body x')
    expect(await cli('queues delete full --if-empty')).toMatchObject({
      code: 1,
      err: "odradek: queue 'full' in vhost '/' not empty\n",
    })
    expect(await out('queues purge full')).toBe('Purged queue full.\n')
    expect(await json('queues purge full')).toEqual({ name: 'full', purged: true })
    expect(await json('queues describe full')).toMatchObject({ messages: 0, messages_ready: 0 })
    expect(await json('queues delete full --if-empty --if-unused')).toEqual({ name: 'full', deleted: true })
  })

  test('what is there survives a restart', async () => {
    await out('queues declare kept')
    await out('queues publish kept --body still-here')
    await broker.close()
    broker = await begin('data')
    expect(await json<Queue[]>('queues list')).toContainEqual(expect.objectContaining({ name: 'kept' }))
    expect(await json('queues get kept --ack')).toMatchObject([{ payload: 'still-here' }])
  })

  test('what is not there is exit 3', async () => {
    const none = "queue 'none'"
    expect(await cli('queues describe none')).toEqual(missing(none))
    expect(await cli('queues delete none')).toEqual(missing(none))
    expect(await cli('queues purge none')).toEqual(missing(none))
    expect(await cli('queues get none')).toEqual(missing(none))
    expect(await cli('queues publish none --body x')).toEqual({
      code: 3,
      out: '',
      err: 'odradek: no queue took the message: there is no queue none; odradek queues list shows those there are\n',
    })
    expect(await cli('queues publish any --exchange amq.fanout --body x --json')).toEqual({
      code: 3,
      out: '{"routed":false}\n',
      err: 'odradek: no queue took the message: nothing is bound to amq.fanout for "any"; odradek bindings list shows what is\n',
    })
    expect(await cli('queues publish any --exchange none --body x')).toEqual(missing("exchange 'none'"))
  })
})

test('exchanges: declared, listed, deleted', async () => {
  expect(await out('exchanges list')).toMatch(/^\(default\) +direct +durable$/m)
  expect(await out('exchanges declare events --type topic')).toBe('Declared exchange events.\n')
  await out('exchanges declare inner --type fanout --transient --auto-delete --internal')
  await out('exchanges declare watched --argument alternate-exchange=events')
  expect(await out('exchanges list')).toMatch(/^inner +fanout +transient, auto-delete, internal$/m)
  expect(await json('exchanges list')).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ name: '', type: 'direct' }),
      expect.objectContaining({ name: 'events', type: 'topic', durable: true, internal: false }),
      expect.objectContaining({ name: 'watched', arguments: { 'alternate-exchange': 'events' } }),
    ]) as unknown,
  )
  expect(await cli('exchanges declare events --type fanout')).toMatchObject({
    code: 1,
    err: "odradek: inequivalent arg 'type' for exchange 'events' in vhost '/': received 'fanout' but current is 'topic'\n",
  })
  expect((await cli('exchanges declare odd --type none')).code).toBe(1)
  expect((await cli('exchanges delete amq.topic')).code).toBe(1)
  expect(await out('exchanges delete inner watched')).toBe('Deleted exchange inner.\nDeleted exchange watched.\n')
  expect(await json('exchanges delete events --if-unused')).toEqual({ name: 'events', deleted: true })
  expect(await cli('exchanges delete events')).toEqual(missing("exchange 'events'"))
})

test('bindings: added, listed, followed, removed', async () => {
  await out('exchanges declare logs --type topic')
  await out('exchanges declare all.logs --type fanout')
  await out('queues declare errors')
  expect(await out('bindings list')).toBe(
    'There are no bindings. Make one: odradek bindings add EXCHANGE QUEUE --key KEY\n',
  )
  expect(await out('bindings add logs errors --key *.error')).toBe('Bound errors to logs.\n')
  expect(await json('bindings add all.logs logs --to-exchange')).toEqual({
    source: 'all.logs',
    destination: 'logs',
    bound: true,
  })
  await out('bindings add amq.headers errors --argument x-match=any --argument level=5')
  expect(await out('bindings list')).toBe(
    [
      'EXCHANGE     TO      KIND      KEY      ARGUMENTS',
      'all.logs     logs    exchange',
      'amq.headers  errors  queue              {"level":5,"x-match":"any"}',
      'logs         errors  queue     *.error',
      '',
    ].join('\n'),
  )
  expect(await json('bindings list')).toContainEqual(
    expect.objectContaining({
      source: 'logs',
      destination: 'errors',
      destination_type: 'queue',
      routing_key: '*.error',
    }),
  )
  await out('queues publish shop.error --exchange all.logs --body through-both')
  expect(await json('queues get errors --ack')).toMatchObject([
    { payload: 'through-both', exchange: 'all.logs', routing_key: 'shop.error' },
  ])
  expect((await cli('exchanges delete logs --if-unused')).code).toBe(1)
  expect(await cli('bindings remove logs errors --key other')).toEqual({
    code: 3,
    out: '',
    err: 'odradek: there is no such binding from logs to errors: odradek bindings list shows those there are\n',
  })
  expect(await out('bindings remove logs errors --key *.error')).toBe('Unbound errors from logs.\n')
  expect(await json('bindings remove all.logs logs --to-exchange')).toMatchObject({ unbound: true })
  await out('bindings remove amq.headers errors --argument x-match=any --argument level=5')
  expect(await json('bindings list')).toEqual([])
  expect(await cli('bindings add none errors')).toEqual(missing("exchange 'none'"))
  expect(await cli('bindings add logs none')).toEqual(missing("queue 'none'"))
})

test('policies: set, followed, changed, deleted; those of the operators by themselves', async () => {
  expect(await out('policies list')).toBe(
    'There is none. Make one: odradek policies set NAME PATTERN --set message-ttl=60000\n',
  )
  await out('queues declare short.jobs')
  const set = 'policies set short ^short\\. --set max-length=5 --set overflow=reject-publish --apply-to queues'
  expect(await out(`${set} --priority 2`)).toBe('Set policy short.\n')
  expect(await out('policies list')).toBe(
    'POLICY  PATTERN   FOR     PRIORITY  SETTINGS\nshort   ^short\\.  queues         2  max-length=5 overflow=reject-publish\n',
  )
  expect(await json('policies set limit .* --set max-length=2 --operator')).toEqual({ name: 'limit', set: true })
  const retries = '--set delayed-retry-type=failed --set delayed-retry-min=100 --set delayed-retry-jitter=0.25'
  expect(await json(`policies set retries ^none$ ${retries}`)).toEqual({ name: 'retries', set: true })
  expect(await out('policies delete retries')).toContain('retries')
  expect(await json('policies list --operator')).toEqual([
    { vhost: '/', name: 'limit', pattern: '.*', 'apply-to': 'all', priority: 0, definition: { 'max-length': 2 } },
  ])
  expect(await json('policies list')).toMatchObject([{ name: 'short' }])
  expect(await json('queues describe short.jobs')).toMatchObject({ policy: 'short', operator_policy: 'limit' })
  expect(await out('queues describe short.jobs')).toContain('policy: short\noperator policy: limit\n')
  // Of two lengths the smaller counts.
  for (const body of ['1', '2']) await out(`queues publish short.jobs --body ${body}`)
  expect(await cli('queues publish short.jobs --body 3')).toMatchObject({
    code: 1,
    err: 'odradek: a queue refused the message\n',
  })
  expect(await out('policies delete limit --operator')).toBe('Deleted operator policy limit.\n')
  await out('queues publish short.jobs --body 3')
  expect(await json('policies delete short')).toEqual({ name: 'short', deleted: true })
  expect(await json('queues describe short.jobs')).toMatchObject({ policy: null, messages: 3 })
  expect(await cli('policies delete short')).toEqual({ code: 3, out: '', err: "odradek: policy 'short' not found\n" })
  expect((await cli('policies delete limit --operator')).code).toBe(3)
  expect(await cli('policies set bad ( --set max-length=1')).toMatchObject({ code: 1 })
  expect(await cli('policies set bad .* --set no-such-thing=1')).toMatchObject({
    code: 1,
    err: 'odradek: Validation failed: [{<<"no-such-thing">>,1}] are not recognised policy settings\n',
  })
})

test('counters: what was dropped, and why', async () => {
  await out('queues declare counted --argument x-message-ttl=0 --argument x-dead-letter-exchange=none')
  await out('queues publish counted --body x')
  const counted = (): Promise<Record<string, number>> => json('counters')
  await expect
    .poll(counted, { timeout: 10_000, interval: 50 })
    .toMatchObject({ 'deadletters.dropped.noExchange': 1, 'ledger.closed.expired': 1 })
  expect(await out('counters')).toMatch(/^deadletters\.dropped\.noExchange +1$/m)
})

describe('the socket file', () => {
  test('is for its user only, and gone when the broker is', async () => {
    const other = await begin('other')
    const socket = join(dataOf('other'), 'odradek.sock')
    expect(other.adminSocket).toBe(socket)
    expect((statSync(socket).mode & 0o777).toString(8)).toBe('600')
    expect(await cli('queues list', '', 'other')).toMatchObject({ code: 0 })
    await other.close()
    expect(existsSync(socket)).toBe(false)
    expect(await cli('queues list', '', 'other')).toMatchObject({
      code: 5,
      out: '',
      err: expect.stringMatching(/^odradek: no broker answers at .*odradek\.sock: .*--data DIR\n$/) as unknown,
    })
  })

  test('is not there in memory; a folder whose path is too long goes without', async () => {
    const inMemory = await startServer({ amqp: 'off', kafka: 'off' })
    expect(inMemory.adminSocket).toBeUndefined()
    await inMemory.close()
    const long = 'x'.repeat(100)
    mkdirSync(dataOf(long))
    const far = await begin(long)
    expect(far.adminSocket).toBeUndefined()
    expect(await cli('queues list', '', long)).toEqual({
      code: 5,
      out: '',
      err: `odradek: ${join(dataOf(long), 'odradek.sock')} is longer than the path of a socket file may be (107 bytes): use a data folder with a shorter path\n`,
    })
    await far.close()
  })
})

test('wrong usage is 2, in a line', async () => {
  const usages = [
    'queues declare q --argument x',
    'queues get q --count none',
    'queues get q --count 0',
    'queues publish q --body x --property priority=high',
    'queues publish q --body x --header =1',
    'policies set p .*',
    'policies set p .* --set max-length',
    'policies set p .* --set max-length=1 --apply-to everything',
    'policies set p .* --set max-length=1 --priority first',
    'bindings add only-one',
    'queues nothing',
  ]
  const ended = await Promise.all(usages.map((line) => cli(line)))
  for (const [at, { code, err }] of ended.entries())
    expect({ line: usages[at], code, lines: err.split('\n').length }).toEqual({ line: usages[at], code: 2, lines: 2 })
})
