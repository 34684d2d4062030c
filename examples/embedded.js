// The broker inside a program of one's own, in memory: for tests that want a real Kafka in a few milliseconds.
// node examples/embedded.js
import { Kafka, logLevel } from 'kafkajs'
import { startBroker } from 'odradek'

const broker = await startBroker({ settings: { 'num.partitions': 3 } })
const kafka = new Kafka({ brokers: [broker.kafka], logLevel: logLevel.ERROR })
const producer = kafka.producer()
await producer.connect()
const [sent] = await producer.send({ topic: 'orders', messages: [{ key: 'o-1', value: 'one spool of thread' }] })
console.log(`stored at offset ${sent.baseOffset}`)
await producer.disconnect()
await broker.close()
