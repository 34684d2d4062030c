// Many topics at once: topics-load.ts HOST:PORT PREFIX TOPICS RATE SECONDS, RATE messages a second to each topic.
// Promises: open loop, each message a Produce v7 with acks=all; the unanswered count with the time they waited.
// Does not know: which broker it talks to.

import { connect, type Socket } from 'node:net'
import { Kafka, logLevel, type Admin } from 'kafkajs'

const [address = '', prefix = '', topicsText = '0', rateText = '0', secondsText = '0'] = process.argv.slice(2)
const topics = Number(topicsText)
const perSecond = topics * Number(rateText)
const seconds = Number(secondsText)
const WARM_SECONDS = 3
/** One connection a topic, as a thousand producers would have. */
const SOCKETS = topics
const VALUE_BYTES = 100
const DRAIN_LIMIT_MS = 15_000
const MAKE_LIMIT_MS = 30_000

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, start) => {
  let crc = start
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc >>> 0
})

function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

function zigzag(value: number): Buffer {
  const bytes: number[] = []
  let left = value < 0 ? -2 * value - 1 : 2 * value
  while (left > 127) {
    bytes.push((left & 127) | 128)
    left = Math.floor(left / 128)
  }
  return Buffer.from([...bytes, left])
}

/** A batch of one record without key and headers. */
function batchOf(value: Buffer): Buffer {
  const body = Buffer.concat([
    Buffer.from([0]),
    zigzag(0),
    zigzag(0),
    zigzag(-1),
    zigzag(value.length),
    value,
    zigzag(0),
  ])
  const record = Buffer.concat([zigzag(body.length), body])
  const batch = Buffer.alloc(61 + record.length)
  record.copy(batch, 61)
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(-1, 12)
  batch.writeInt8(2, 16)
  const now = BigInt(Date.now())
  batch.writeBigInt64BE(now, 27)
  batch.writeBigInt64BE(now, 35)
  batch.writeBigInt64BE(-1n, 43)
  batch.writeInt16BE(-1, 51)
  batch.writeInt32BE(-1, 53)
  batch.writeInt32BE(1, 57)
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

/** The request with a correlation id to be written at byte 8. */
function requestOf(topic: string, batch: Buffer): Buffer {
  const parts: Buffer[] = []
  const int16 = (value: number): void => void parts.push(Buffer.from(Int16Array.of(value).buffer).swap16())
  const int32 = (value: number): void => void parts.push(Buffer.from(Int32Array.of(value).buffer).swap32())
  const text = (value: string): void => {
    int16(value.length)
    parts.push(Buffer.from(value))
  }
  int16(0)
  int16(7)
  int32(0)
  text('bench')
  int16(-1) // no transactional id
  int16(-1) // acks=all
  int32(30_000)
  int32(1)
  text(topic)
  int32(1)
  int32(0)
  int32(batch.length)
  parts.push(batch)
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(4)
  head.writeInt32BE(body.length)
  return Buffer.concat([head, body])
}

/** Topics are made before they are known everywhere: asks until each has its leader. */
async function leaders(admin: Admin, names: string[]): Promise<void> {
  const deadline = performance.now() + MAKE_LIMIT_MS
  for (;;) {
    const known = await admin.fetchTopicMetadata({ topics: names }).catch(() => null)
    const led = known?.topics.filter((topic) => topic.partitions.some((partition) => partition.leader >= 0))
    if (led?.length === names.length) return
    if (performance.now() > deadline) throw new Error(`${led?.length ?? 0} of ${names.length} topics have a leader`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function makeTopics(): Promise<string[]> {
  const names = Array.from({ length: topics }, (_, index) => `${prefix}-${index}`)
  const admin = new Kafka({
    clientId: 'bench',
    brokers: [address],
    logLevel: logLevel.NOTHING,
    requestTimeout: 60_000,
  }).admin()
  await admin.connect()
  for (let from = 0; from < names.length; from += 100) {
    const wishes = names.slice(from, from + 100).map((topic) => ({ topic, numPartitions: 1 }))
    await admin.createTopics({ topics: wishes, timeout: 60_000, waitForLeaders: false })
  }
  await leaders(admin, names)
  await admin.disconnect()
  return names
}

const due = new Map<number, number>()
const micros: number[] = []
let refused = 0
let refusedWith = 0

function answered(frame: Buffer): void {
  const id = frame.readInt32BE(0)
  const began = due.get(id)
  due.delete(id)
  // correlation 4, topics 4, name, partitions 4, partition 4, then the error code
  const nameLength = frame.readInt16BE(8)
  const code = frame.readInt16BE(10 + nameLength + 8)
  // A partition just made may not be led yet; after the warm-up there is no excuse.
  if (code !== 0 && id >= perSecond * WARM_SECONDS) {
    refused++
    refusedWith = code
  }
  if (began !== undefined && id >= perSecond * WARM_SECONDS) micros.push((performance.now() - began) * 1000)
}

function open(): Promise<Socket> {
  const cut = address.lastIndexOf(':')
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address.slice(0, cut), port: Number(address.slice(cut + 1)), noDelay: true })
    let rest: Buffer = Buffer.alloc(0)
    socket.once('error', reject)
    socket.once('connect', () => resolve(socket))
    socket.on('data', (chunk) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
        const end = 4 + rest.readInt32BE(0)
        answered(rest.subarray(4, end))
        rest = rest.subarray(end)
      }
    })
  })
}

const batch = batchOf(Buffer.alloc(VALUE_BYTES, 'x'))
const requests = (await makeTopics()).map((topic) => requestOf(topic, batch))
const sockets = await Promise.all(Array.from({ length: SOCKETS }, open))
const total = perSecond * (seconds + WARM_SECONDS)
const began = performance.now()
let sent = 0
await new Promise<void>((resolve) => {
  const timer = setInterval(() => {
    const target = Math.min(total, Math.floor(((performance.now() - began) / 1000) * perSecond))
    for (; sent < target; sent++) {
      const request = Buffer.from(requests[sent % topics] ?? batch)
      request.writeInt32BE(sent, 8)
      due.set(sent, began + (sent / perSecond) * 1000)
      // A topic keeps its socket, so that its messages keep their order.
      sockets[(sent % topics) % SOCKETS]?.write(request)
    }
    if (sent < total) return
    clearInterval(timer)
    resolve()
  }, 1)
})
const deadline = performance.now() + DRAIN_LIMIT_MS
while (due.size > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5))
// What was never answered has waited at least until now.
const overdue = due.size
for (const since of due.values()) micros.push((performance.now() - since) * 1000)
micros.sort((a, b) => a - b)
const at = (part: number): number => Math.round(micros[Math.floor(part * (micros.length - 1))] ?? 0)
if (refused > 0) throw new Error(`${refused} of ${total} refused, with code ${refusedWith}`)
console.log(JSON.stringify({ measured: micros.length, overdue, p50: at(0.5), p99: at(0.99) }))
process.exit(0)
