// startServer in this process: what it refuses in one line, what it leaves behind.
// Promises: free ports and folders of its own only.
// Does not know: Kafka clients (test/e2e).

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Config } from './config.ts'
import { StartFailure } from './embedding.ts'
import { startServer } from './start.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'odradek-start-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function refusal(config: Partial<Config>): Promise<string> {
  const outcome = await startServer(config).catch((error: unknown) => error)
  if (!(outcome instanceof StartFailure)) throw new Error('it was expected to refuse')
  return outcome.message
}

test('without a word: in memory, on a free port of this machine, closed as often as one likes', async () => {
  const [one, other] = await Promise.all([startServer(), startServer()])
  expect(one.kafka.address).toBe(`127.0.0.1:${one.kafka.port}`)
  expect(one.dataPath).toBeUndefined()
  expect(one.kafka.port).not.toBe(other.kafka.port)
  await Promise.all([one.close(), one.close(), other.close()])
  await one.close()
})

test('a wrong configuration opens nothing', async () => {
  expect(await refusal({ kafka: 'here' })).toBe(
    'kafka: "here" is not allowed; it must be HOST:PORT, port 0 for any free one, or off',
  )
  expect(await refusal({ settings: { 'num.partitions': 0, 'no.such': true } })).toBe(
    'num.partitions: "0" is not allowed: it must be at least 1\nno.such: "true" is not allowed: there is no broker setting of this name',
  )
  expect(await refusal({ kafak: 'a:1' } as Partial<Config>)).toMatch(
    /^kafak: there is no such option; there are store,/,
  )
})

test('one broker a folder; a start that fails lets go of it, and so does close', async () => {
  const store = `file:${join(folder, 'data')}`
  const first = await startServer({ store })
  expect(first.dataPath).toBe(join(folder, 'data'))
  expect(await refusal({ store })).toBe(
    `${join(folder, 'data')} is in use by this process (${process.pid}): stop it, or choose another folder with --data DIR`,
  )
  const taken = first.kafka.address
  const other = join(folder, 'other')
  expect(await refusal({ store: `file:${other}`, kafka: taken })).toBe(
    `${taken} is already in use: stop what listens there, or choose another address with --kafka HOST:PORT`,
  )
  expect(await refusal({ store: `file:${other}`, amqp: first.amqp.address })).toBe(
    `${first.amqp.address} is already in use: stop what listens there, or choose another address with --amqp HOST:PORT, or --amqp off`,
  )
  const second = await startServer({ store: `file:${other}` })
  await Promise.all([first.close(), second.close()])
  const again = await startServer({ store })
  await again.close()
})

test('what is off listens nowhere', async () => {
  const broker = await startServer({ amqp: 'off', kafka: 'off' })
  expect(broker.amqp).toEqual({ host: '', port: 0, address: 'off', url: '' })
  expect(broker.kafka.address).toBe('off')
  await broker.close()
  const other = await startServer()
  expect(other.amqp.url).toBe(`amqp://guest:guest@${other.amqp.address}`)
  await other.close()
})
