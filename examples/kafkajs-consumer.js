// Prints all messages of the topic message-log as a member of log-group, from the oldest on, until Ctrl-C.
// node examples/kafkajs-consumer.js [HOST:PORT] [stop after this many messages]
import { Kafka } from 'kafkajs'

const kafka = new Kafka({ clientId: 'my-app', brokers: [process.argv[2] ?? process.env.KAFKA ?? '127.0.0.1:9092'] })
const consumer = kafka.consumer({ groupId: 'log-group' })
let left = Number(process.argv[3] ?? Infinity)

const stop = async () => {
  await consumer.disconnect()
  process.exit(0)
}
process.on('SIGINT', stop)
process.on('SIGTERM', stop)

await consumer.connect()
await consumer.subscribe({ topic: 'message-log', fromBeginning: true })
await consumer.run({
  eachMessage: async ({ partition, message }) => {
    console.log({ partition, offset: message.offset, value: message.value.toString() })
    // Not awaited: disconnecting waits for this very message to be done.
    if (--left === 0) void stop()
  },
})
