// An AMQP client of the benchmark: amqp-load.ts MODE HOST:PORT QUEUE NUMBER…; each mode prints one JSON line and ends.
// Promises: what a mode waits for is bounded; publishing is confirmed unless the mode says otherwise.
// Does not know: which broker it talks to.

import { connect, type ChannelModel, type Options } from 'amqplib'

const [mode = '', address = '', queue = '', ...numberTexts] = process.argv.slice(2)
const [first = 0, second = 0, third = 0] = numberTexts.map(Number)
const url = `amqp://guest:guest@${address}`
const QUIET_MS = 5_000

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Publishes with at most so many unconfirmed. */
async function publishAll(
  connection: ChannelModel,
  count: number,
  body: Buffer,
  options: Options.Publish,
): Promise<void> {
  const channel = await connection.createConfirmChannel()
  let unconfirmed = 0
  let wake = (): void => {}
  for (let sent = 0; sent < count; sent++) {
    unconfirmed++
    channel.sendToQueue(queue, body, options, () => {
      unconfirmed--
      if (unconfirmed === 500) wake()
    })
    if (unconfirmed > 1_000) await new Promise<void>((resolve) => (wake = resolve))
  }
  await channel.waitForConfirms()
  await channel.close()
}

/** NUMBER messages to one consumer that never acknowledges; how many it was handed until nothing more came. */
async function hoard(): Promise<object> {
  const connection = await connect(url)
  const channel = await connection.createChannel()
  let got = 0
  let last = performance.now()
  await channel.consume(queue, () => {
    got++
    last = performance.now()
  })
  while (got < first && performance.now() - last < QUIET_MS) await pause(20)
  // Told while it still holds them: the broker's memory is looked at now.
  console.log(JSON.stringify({ got }))
  await pause(third)
  await connection.close()
  return { got }
}

/** NUMBER messages of BYTES into an exclusive queue that nobody reads; it is held for a while. */
async function unread(): Promise<object> {
  const connection = await connect(url)
  const channel = await connection.createChannel()
  await channel.assertQueue(queue, { exclusive: true })
  await publishAll(connection, first, Buffer.alloc(second, 'x'), {})
  const { messageCount } = await channel.checkQueue(queue)
  console.log(JSON.stringify({ messageCount }))
  await pause(third)
  await connection.close()
  return { messageCount }
}

/** Connects as soon as somebody answers and takes one message; milliseconds from the call to the delivery. */
async function firstDelivery(): Promise<object> {
  const began = performance.now()
  for (;;) {
    const connection = await connect(url).catch(() => null)
    if (connection !== null) {
      const delivered = await takeOne(connection).catch(() => false)
      await connection.close().catch(() => {})
      if (delivered) return { ms: performance.now() - began }
    }
    if (performance.now() - began > 300_000) throw new Error('nothing was delivered within five minutes')
    await pause(10)
  }
}

async function takeOne(connection: ChannelModel): Promise<boolean> {
  connection.on('error', () => {})
  const channel = await connection.createChannel()
  channel.on('error', () => {})
  await channel.prefetch(1)
  return new Promise((resolve, reject) => {
    connection.once('close', () => resolve(false))
    channel.consume(queue, (message) => resolve(message !== null)).catch(reject)
  })
}

/** NUMBER durable queues, declared and left alone. */
async function idle(): Promise<object> {
  const connection = await connect(url)
  const channel = await connection.createChannel()
  for (let from = 0; from < first; from += 100) {
    const names = Array.from({ length: Math.min(100, first - from) }, (_, index) => `${queue}-${from + index}`)
    await Promise.all(names.map((name) => channel.assertQueue(name, { durable: true })))
  }
  await connection.close()
  return { queues: first }
}

const CONNECTIONS = 20
const WARM_SECONDS = 3

/** NUMBER queues, each with RATE messages a second and a consumer; microseconds from the moment one was due. */
async function many(): Promise<object> {
  const [queues, rate, seconds] = [first, second, third]
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => connect(url)))
  const publishers = await Promise.all(connections.map((connection) => connection.createConfirmChannel()))
  const perSecond = queues * rate
  const total = perSecond * (seconds + WARM_SECONDS)
  const micros: number[] = []
  let consumed = 0
  const began = { at: 0 }
  const dueAt = (number: number): number => began.at + (number / perSecond) * 1000
  for (const [index, connection] of connections.entries()) {
    const channel = await connection.createChannel()
    await channel.prefetch(100)
    for (let number = index; number < queues; number += CONNECTIONS) {
      await channel.assertQueue(`${queue}-${number}`, { durable: true })
      await channel.consume(`${queue}-${number}`, (message) => {
        if (message === null) return
        const sent = message.content.readUInt32BE(0)
        if (sent >= perSecond * WARM_SECONDS) micros.push((performance.now() - dueAt(sent)) * 1000)
        consumed++
        channel.ack(message)
      })
    }
  }
  began.at = performance.now()
  for (let sent = 0; sent < total;) {
    const target = Math.min(total, Math.floor(((performance.now() - began.at) / 1000) * perSecond))
    for (; sent < target; sent++) {
      const body = Buffer.alloc(100)
      body.writeUInt32BE(sent)
      publishers[(sent % queues) % CONNECTIONS]?.sendToQueue(`${queue}-${sent % queues}`, body, { persistent: true })
    }
    await pause(1)
  }
  const deadline = performance.now() + 15_000
  while (consumed < total && performance.now() < deadline) await pause(10)
  const overdue = total - consumed
  for (let number = 0; number < overdue; number++) micros.push(15_000_000)
  const channel = await (await connect(url)).createChannel()
  for (let number = 0; number < queues; number++) await channel.deleteQueue(`${queue}-${number}`)
  micros.sort((a, b) => a - b)
  const at = (part: number): number => Math.round(micros[Math.floor(part * (micros.length - 1))] ?? 0)
  return { measured: micros.length, overdue, p50: at(0.5), p99: at(0.99) }
}

const modes: Record<string, () => Promise<object>> = { hoard, unread, first: firstDelivery, idle, many }
const chosen = modes[mode]
if (chosen === undefined) throw new Error(`no mode "${mode}"`)
console.log(JSON.stringify(await chosen()))
process.exit(0)
