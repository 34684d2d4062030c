// A queue in its simplest form: one side publishes an order, the other takes it and says that it is done.
// node examples/rabbitmq/orders.js [URL]
import amqp from 'amqplib'

const connection = await amqp.connect(process.argv[2] ?? process.env.AMQP_URL ?? 'amqp://127.0.0.1')
const channel = await connection.createConfirmChannel()
// Both sides declare the queue: whoever comes first makes it. A durable one is still there after a restart.
await channel.assertQueue('orders', { durable: true })

channel.sendToQueue('orders', Buffer.from('Order: #12345'))
// The broker confirms once the message is on disk.
await channel.waitForConfirms()

await new Promise((done) => {
  channel.consume('orders', (message) => {
    console.log(`Order received: ${message.content}`)
    // Until then the message is this consumer's, and another's when this one dies.
    channel.ack(message)
    done()
  })
})
await channel.close()
await connection.close()
