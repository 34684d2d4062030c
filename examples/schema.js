// Values with a schema: checked when they are written and when they are read, and read also in their older version.
// node examples/schema.js [HOST:PORT]
import { randomUUID } from 'node:crypto'
import { Kafka } from 'kafkajs'
import * as v from 'valibot'

const topic = 'invoices'
const versions = {
  1: v.strictObject({ id: v.string(), amount: v.number() }),
  2: v.strictObject({ id: v.string(), cents: v.pipe(v.number(), v.integer()), currency: v.picklist(['EUR', 'USD']) }),
}

/** The version travels in a header, so that a reader knows which schema the bytes follow. */
const serialize = (version, invoice) => ({
  key: invoice.id,
  value: JSON.stringify(v.parse(versions[version], invoice)),
  headers: { 'schema-version': String(version) },
})

/** Whatever version was written, readers see the newest. */
const deserialize = ({ value, headers }) => {
  const version = Number(headers['schema-version']?.toString() ?? 1)
  const invoice = v.parse(versions[version], JSON.parse(value.toString()))
  return version === 1 ? { id: invoice.id, cents: Math.round(invoice.amount * 100), currency: 'EUR' } : invoice
}

const kafka = new Kafka({ clientId: 'billing', brokers: [process.argv[2] ?? process.env.KAFKA ?? '127.0.0.1:9092'] })
const producer = kafka.producer()
await producer.connect()
await producer.send({
  topic,
  messages: [serialize(1, { id: 'i-1', amount: 19.9 }), serialize(2, { id: 'i-2', cents: 500, currency: 'USD' })],
})
try {
  serialize(2, { id: 'i-3', cents: 'many', currency: 'USD' })
} catch (error) {
  console.log(`refused before it was sent: ${error.message}`)
}
await producer.disconnect()

// A group of its own reads everything from the beginning.
const consumer = kafka.consumer({ groupId: `invoices-${randomUUID()}` })
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
let left = 2
await consumer.run({
  eachMessage: async ({ message }) => {
    console.log(JSON.stringify(deserialize(message)))
    if (--left === 0) void consumer.disconnect()
  },
})
