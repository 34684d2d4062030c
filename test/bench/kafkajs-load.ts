// A kafkajs client of the benchmark: kafkajs-load.ts produce|consume|roundtrip HOST:PORT TOPIC RECORDS BYTES.
// Promises: prints one JSON line and ends.
// Does not know: which broker it talks to.

import { Kafka, logLevel, Partitioners, type Producer } from 'kafkajs'

const SEND_RECORDS = 100
const IN_FLIGHT = 5

const [mode = '', address = '', topic = '', recordsText = '0', bytesText = '0'] = process.argv.slice(2)
const records = Number(recordsText)
const bytes = Number(bytesText)
const kafka = new Kafka({ clientId: 'bench', brokers: [address], logLevel: logLevel.NOTHING })

async function connected(): Promise<Producer> {
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    maxInFlightRequests: IN_FLIGHT,
  })
  await producer.connect()
  return producer
}

async function produce(): Promise<object> {
  const producer = await connected()
  const value = Buffer.alloc(bytes, 'x')
  const messages = Array.from({ length: SEND_RECORDS }, () => ({ value }))
  let left = Math.ceil(records / SEND_RECORDS)
  const sender = async (): Promise<void> => {
    while (left-- > 0) await producer.send({ topic, acks: -1, messages })
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: IN_FLIGHT }, sender))
  const seconds = (performance.now() - began) / 1000
  return { rate: records / seconds }
}

async function consume(): Promise<object> {
  const consumer = kafka.consumer({ groupId: `bench-${Math.random().toString(36).slice(2)}` })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  let seen = 0
  let began = 0
  const seconds = await new Promise<number>((resolve) => {
    void consumer.run({
      eachBatch: async ({ batch }) => {
        if (began === 0) began = performance.now()
        seen += batch.messages.length
        if (seen >= records) resolve((performance.now() - began) / 1000)
      },
    })
  })
  return { rate: seen / seconds }
}

async function roundTrip(): Promise<object> {
  const producer = await connected()
  const consumer = kafka.consumer({ groupId: `bench-${Math.random().toString(36).slice(2)}` })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  let arrived: () => void = () => {}
  await consumer.run({ eachMessage: async () => arrived() })
  const micros: number[] = []
  const warm = Math.ceil(records / 5)
  const value = Buffer.alloc(bytes, 'x')
  for (let round = 0; round < records + warm; round++) {
    const arrival = new Promise<void>((resolve) => (arrived = resolve))
    const began = performance.now()
    await producer.send({ topic, acks: -1, messages: [{ value }] })
    await arrival
    if (round >= warm) micros.push((performance.now() - began) * 1000)
  }
  micros.sort((a, b) => a - b)
  const at = (part: number): number => Math.round(micros[Math.floor(part * (micros.length - 1))] ?? 0)
  return { p50: at(0.5), p99: at(0.99) }
}

const modes: Record<string, () => Promise<object>> = { produce, consume, roundtrip: roundTrip }
const chosen = modes[mode]
if (chosen === undefined) throw new Error(`no mode "${mode}"`)
console.log(JSON.stringify(await chosen()))
process.exit(0)
