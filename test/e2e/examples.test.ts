// The examples, run as they stand against a broker in memory.
// Promises: what each says it does is seen in its output.
// Does not know: those in Python, which need packages of their own (test/compat/pika/examples.py runs them).

import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, type RunningBroker } from '../../src/index.ts'
import { projectFiles, textOf } from '../tidy/files.ts'
import { start } from './program.ts'

let broker: RunningBroker
beforeAll(async () => {
  broker = await startBroker({ logLevel: 'error' })
})
afterAll(() => broker.close())

async function run(name: string, ...args: string[]): Promise<string[]> {
  const path = fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))
  const env = { KAFKAJS_NO_PARTITIONER_WARNING: '1', KAFKAJS_LOG_LEVEL: 'nothing', NODE_OPTIONS: '--test-reporter=tap' }
  const { code, out, err } = await start(path, args, env).ended
  expect(err).not.toMatch(/^\w*Error/m)
  expect(code).toBe(0)
  return out.split('\n').filter((line) => line !== '' && !line.startsWith('{"level"'))
}

test('a message through kafkajs', async () => {
  expect(await run('kafkajs-producer.js', broker.kafka)).toEqual(['sent to message-log, partition 0, offset 0'])
  expect(await run('kafkajs-consumer.js', broker.kafka, '1')).toEqual([
    "{ partition: 0, offset: '0', value: 'Hello Kafka from Node.js' }",
  ])
})

test('values with a schema', async () => {
  expect(await run('schema.js', broker.kafka)).toEqual([
    'refused before it was sent: Invalid type: Expected number but received "many"',
    '{"id":"i-1","cents":1990,"currency":"EUR"}',
    '{"id":"i-2","cents":500,"currency":"USD"}',
  ])
})

test('retry and dead letters', async () => {
  const lines = await run('retry-dead-letter.js', broker.kafka)
  expect(lines.sort()).toEqual([
    'dead: broken-1, from jobs-0@2, broken-1 failed',
    'done: flaky-1, attempt 3',
    'done: good-1, attempt 1',
    'done: good-2, attempt 1',
  ])
})

test('an order pipeline: in through Kafka, worked off over AMQP, dead letters and a replay as topics', async () => {
  expect(await run('order-pipeline.js', broker.kafka, broker.amqp)).toEqual([
    'done: good-1 of customer-good-1, attempt 1',
    'done: good-2 of customer-good-2, attempt 1',
    'done: flaky-1 of customer-flaky-1, attempt 3',
    'dead: broken-1, offset 2 of shop.orders',
    'replayed: good-1 of customer-good-1',
    'replayed: flaky-1 of customer-flaky-1',
    'replayed: broken-1 of customer-broken-1',
    'replayed: good-2 of customer-good-2',
  ])
})

test('an exchange that remembers: who binds late is given what was before, whoever wrote it; and again', async () => {
  for (const _ of ['first', 'again'])
    expect(await run('remembering-exchange.js', broker.kafka, broker.amqp)).toEqual([
      'temperatures: kitchen.temperature = 21',
      'temperatures: bath.temperature = 24',
      'temperatures: attic.temperature = 17',
      'temperatures: cellar.temperature = 9',
      'news: cellar.temperature = 9',
    ])
})

test('a broker inside a program', async () => {
  expect(await run('embedded.js')).toEqual(['stored at offset 0'])
})

test('a test suite on a broker of its own', async () => {
  const passed = (await run('test-suite.js')).filter((line) => /^(not )?ok /.test(line))
  expect(passed).toEqual([
    'ok 1 - an order becomes one invoice',
    'ok 2 - one invoice also when the network loses the answer',
    'ok 3 - who has not paid after an hour is reminded',
  ])
})

/** What each of examples/rabbitmq prints; where two sides print side by side, sorted. */
const rabbitmq: Readonly<Record<string, { readonly lines: readonly string[]; readonly isSorted?: true }>> = {
  orders: { lines: ['Order received: Order: #12345'] },
  'publish-subscribe': {
    isSorted: true,
    lines: ['Anna hears: it begins', 'Anna hears: it goes on', 'Ben hears: it begins', 'Ben hears: it goes on'],
  },
  routing: {
    lines: ['alerts.all: info: backup done', 'alerts.all: error: disk full', 'alerts.pager: error: disk full'],
  },
  topics: {
    lines: [
      'every.temperature: kitchen.temperature = 21',
      'every.temperature: bath.temperature = 24',
      'all.of.the.kitchen: kitchen.temperature = 21',
      'all.of.the.kitchen: kitchen.door.locked = yes',
    ],
  },
  rpc: { lines: ['the square of 2 is 4', 'the square of 3 is 9', 'the square of 12 is 144'] },
  'retry-dead-letter': {
    isSorted: true,
    lines: [
      'dead: broken-1, rejected after attempt 3',
      'done: flaky-1, attempt 3',
      'done: good-1, attempt 1',
      'done: good-2, attempt 1',
    ],
  },
  'publisher-confirms': {
    lines: [
      '1000 invoices are on disk',
      'returned: NO_ROUTE, no.such.queue',
      '1 is confirmed',
      '2 is confirmed',
      '3 is refused: send it again later, or elsewhere',
    ],
  },
  priorities: {
    lines: ['5: password reset', '5: password reset again', '3: invoice', '0: newsletter 1', '0: newsletter 2'],
  },
}

describe('with amqplib', () => {
  test.each(Object.keys(rabbitmq))('%s', async (name) => {
    const { lines, isSorted } = rabbitmq[name]
    const printed = await run(`rabbitmq/${name}.js`, broker.amqp)
    expect(isSorted === true ? printed.sort() : printed).toEqual(lines)
  })

  test('task-queue: the slow task holds up one worker only', async () => {
    const done = (await run('rabbitmq/task-queue.js', broker.amqp)).map((line) => line.split(': '))
    expect(done.map(([, task]) => task)).toEqual(
      ['quick-1', 'quick-2', 'quick-3', 'slow'].map((one) => `${one} is done`),
    )
    expect(new Set(done.slice(0, 3).map(([worker]) => worker)).size).toBe(1)
    expect(done[3]?.[0]).not.toBe(done[0]?.[0])
  })

  test('all of them can be run again where they ran before', async () => {
    for (const name of ['orders', 'retry-dead-letter', 'priorities']) await run(`rabbitmq/${name}.js`, broker.amqp)
  })
})

test('every example is run here or by the pika suite, and listed in its page', () => {
  const files = projectFiles()
    .filter((path) => /^examples\/.*\.(js|py)$/.test(path))
    .map((path) => path.slice('examples/'.length))
  const [page, here, pika] = ['examples/README.md', 'test/e2e/examples.test.ts', 'test/compat/pika/examples.py'].map(
    textOf,
  )
  for (const file of files) {
    const [name, kind] = file.replace('rabbitmq/', '').split('.')
    expect(page).toContain(`examples/${file}`)
    if (kind === 'py' && file.startsWith('rabbitmq/')) expect(pika).toContain(`"${name}"`)
    if (kind === 'js') expect(here).toContain(name)
    const takesNothing = file === 'embedded.js' || file === 'test-suite.js'
    expect(textOf(`examples/${file}`)).toContain(`examples/${file}${takesNothing ? '' : ' ['}`)
    expect(textOf(`examples/${file}`).trimEnd().split('\n').length).toBeLessThanOrEqual(80)
  }
})
