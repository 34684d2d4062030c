// A hundred ledgers over one log: what they cost on the disk.
// Promises: data in folders, bytes counted in its files; every wait ends with its event or fails.
// Does not know: how fast it is (the benchmark).

import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import amqp from 'amqplib'
import { afterEach, expect, test } from 'vitest'
import { startServer } from '../../src/server/start.ts'
import { Arrivals } from './place.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

const bytesIn = (folder: string): number =>
  readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name)
    return sum + (entry.isDirectory() ? bytesIn(path) : statSync(path).size)
  }, 0)

const messages = 300

/** Bytes of all logs for each message that `ledgers` queues over one log worked off. */
async function worked(ledgers: number): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'odradek-fanout-'))
  folders.push(folder)
  const broker = await startServer({ store: `file:${folder}`, kafka: 'off', amqp: '127.0.0.1:0', logLevel: 'error' })
  const client = await amqp.connect(broker.amqp.url)
  const channel = await client.createConfirmChannel()
  await channel.assertQueue('orders')
  const before = bytesIn(join(folder, 'logs'))
  const names = ['orders']
  for (let at = 1; at < ledgers; at++) {
    names.push(`orders.${at}`)
    await channel.assertQueue(`orders.${at}`, { arguments: { 'x-log': 'orders', 'x-expires': 600_000 } })
  }
  const counts = new Arrivals<string>()
  for (const name of names) {
    const worker = await client.createChannel()
    let count = 0
    await worker.consume(name, (message) => {
      if (message !== null) worker.ack(message)
      if (++count === messages) counts.add(name)
    })
  }
  const body = Buffer.alloc(1024, 'x')
  for (let at = 0; at < messages; at++) channel.sendToQueue('orders', body)
  await channel.waitForConfirms()
  await counts.until('all ledgers', ({ length }) => length === ledgers)
  // What was acknowledged is written before the answer.
  await channel.checkQueue('orders')
  const bytes = bytesIn(join(folder, 'logs')) - before
  await client.close()
  await broker.close()
  return bytes / messages
}

test('a hundred ledgers cost at most 1.3 times the disk of one queue', async () => {
  const [one, hundred] = [await worked(1), await worked(100)]
  expect(one).toBeGreaterThan(1024)
  expect(hundred / one).toBeLessThan(1.3)
  console.info(`bytes a message: ${Math.round(one)} for one queue, ${Math.round(hundred)} for a hundred ledgers`)
})
