// The examples, run as they stand against a broker in memory.
// Promises: what each says it does is seen in its output.
// Does not know: the Python one, which needs a package of its own (compat runs that client).

import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startBroker, type RunningBroker } from '../../src/index.ts'
import { start } from './program.ts'

let broker: RunningBroker
beforeAll(async () => {
  broker = await startBroker({ logLevel: 'error' })
})
afterAll(() => broker.close())

async function run(name: string, ...args: string[]): Promise<string[]> {
  const path = fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))
  const env = { KAFKAJS_NO_PARTITIONER_WARNING: '1', KAFKAJS_LOG_LEVEL: 'nothing' }
  const { code, out, err } = await start(path, args, env).ended
  expect(err).not.toMatch(/^\w*Error/m)
  expect(code).toBe(0)
  return out.split('\n').filter((line) => line !== '' && !line.startsWith('{"level"'))
}

test('a message through kafkajs', async () => {
  expect(await run('kafkajs-producer.js', broker.kafka.address)).toEqual(['sent to message-log, partition 0, offset 0'])
  expect(await run('kafkajs-consumer.js', broker.kafka.address, '1')).toEqual([
    "{ partition: 0, offset: '0', value: 'Hello Kafka from Node.js' }",
  ])
})

test('values with a schema', async () => {
  expect(await run('schema.js', broker.kafka.address)).toEqual([
    'refused before it was sent: Invalid type: Expected number but received "many"',
    '{"id":"i-1","cents":1990,"currency":"EUR"}',
    '{"id":"i-2","cents":500,"currency":"USD"}',
  ])
})

test('retry and dead letters', async () => {
  const lines = await run('retry-dead-letter.js', broker.kafka.address)
  expect(lines.sort()).toEqual([
    'dead: broken-1, from jobs-0@2, broken-1 failed',
    'done: flaky-1, attempt 3',
    'done: good-1, attempt 1',
    'done: good-2, attempt 1',
  ])
})

test('a broker inside a program', async () => {
  expect(await run('embedded.js')).toEqual(['stored at offset 0'])
})
