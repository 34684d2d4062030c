// Sends one message to the topic message-log.
// node examples/kafkajs-producer.js [HOST:PORT]
import { Kafka } from 'kafkajs'

const kafka = new Kafka({ clientId: 'my-app', brokers: [process.argv[2] ?? process.env.KAFKA ?? '127.0.0.1:9092'] })
const producer = kafka.producer()

await producer.connect()
const [sent] = await producer.send({
  topic: 'message-log',
  messages: [{ value: 'Hello Kafka from Node.js' }],
})
console.log(`sent to ${sent.topicName}, partition ${sent.partition}, offset ${sent.baseOffset}`)
await producer.disconnect()
