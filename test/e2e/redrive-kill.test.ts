// The process killed in the middle of a redrive, and while messages wait for their next try.
// Promises: after the next start each message is in one queue, once; what waited waits again, and no less.
// Does not know: a power cut (npm run crash), what a redrive is asked (redrive.test.ts).

import amqp, { type ChannelModel, type ConfirmChannel } from 'amqplib'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Arrivals, within } from './place.ts'
import { main, odradek, start, type Running } from './program.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'odradek-redrive-kill-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Life {
  readonly running: Running
  readonly client: ChannelModel
  readonly channel: ConfirmChannel
}

async function begin(): Promise<Life> {
  const args = ['serve', '--kafka', '127.0.0.1:0', '--amqp', '127.0.0.1:0', '--json', '--log-level', 'error']
  const running = start(main, [...args, '--data', folder])
  const line = await running.line((one) => one.startsWith('{"ready":true'))
  const { amqp: address } = JSON.parse(line) as { readonly amqp: string }
  const client = await amqp.connect(address.startsWith('amqp:') ? address : `amqp://guest:guest@${address}`)
  // The kill ends it.
  client.on('error', () => undefined)
  return { running, client, channel: await client.createConfirmChannel() }
}

async function kill({ running }: Life): Promise<void> {
  running.process.kill('SIGKILL')
  await running.ended
}

async function end({ running, client }: Life): Promise<void> {
  await client.close()
  running.process.kill('SIGTERM')
  await running.ended
}

async function bodiesOf(channel: ConfirmChannel, queue: string): Promise<string[]> {
  const bodies: string[] = []
  for (let got = await channel.get(queue); got !== false; got = await channel.get(queue))
    bodies.push(got.content.toString())
  return bodies
}

test('a redrive that was killed moved each message once, or not at all', async () => {
  const first = await begin()
  await first.channel.assertQueue('dead', { durable: true })
  await first.channel.assertQueue('work', { durable: true })
  const all = Array.from({ length: 3000 }, (_, index) => `m${index}`)
  for (const body of all) first.channel.sendToQueue('dead', Buffer.from(body))
  await first.channel.waitForConfirms()
  const redrive = odradek(['dlq', 'redrive', 'dead', '--to', 'work', '--rate', '1000', '--data', folder])
  const some = async (): Promise<void> => {
    while ((await first.channel.checkQueue('work')).messageCount === 0);
  }
  await within('some messages to be moved', some())
  await kill(first)
  expect((await redrive).code).not.toBe(0)

  const second = await begin()
  const [dead, work] = [await bodiesOf(second.channel, 'dead'), await bodiesOf(second.channel, 'work')]
  expect(work.length).toBeGreaterThan(0)
  expect(dead.length).toBeGreaterThan(0)
  expect([...work, ...dead]).toEqual(all)
  await end(second)
})

test('what waited for its next try when the process was killed waits again', async () => {
  const first = await begin()
  const retries = { 'x-delayed-retry-type': 'all', 'x-delayed-retry-min': 400 }
  await first.channel.assertQueue('retried', { durable: true, arguments: retries })
  first.channel.sendToQueue('retried', Buffer.from('bad'))
  await first.channel.waitForConfirms()
  const got = await first.channel.get('retried')
  if (got === false) throw new Error('it is there')
  first.channel.reject(got, true)
  // What follows on the channel is answered after the return is stored.
  first.channel.sendToQueue('retried', Buffer.from('good'))
  await first.channel.waitForConfirms()
  await kill(first)

  const second = await begin()
  const arrived = new Arrivals<{ readonly body: string; readonly atMs: number }>()
  const beganMs = performance.now()
  await second.channel.consume('retried', (message) => {
    if (message !== null) arrived.add({ body: message.content.toString(), atMs: performance.now() - beganMs })
  })
  const all = await arrived.until('both', ({ length }) => length === 2)
  expect(all.map(({ body }) => body)).toEqual(['good', 'bad'])
  expect(all[1].atMs).toBeGreaterThanOrEqual(399)
  await end(second)
})
