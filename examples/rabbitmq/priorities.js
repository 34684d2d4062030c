// What matters more comes first: a queue with priorities hands out the highest, and of equals the oldest.
// node examples/rabbitmq/priorities.js [URL]
import amqp from 'amqplib'

const connection = await amqp.connect(process.argv[2] ?? process.env.AMQP_URL ?? 'amqp://127.0.0.1')
const channel = await connection.createConfirmChannel()
// How many levels there are is said once, when the queue is made; few are enough.
await channel.assertQueue('mails', { durable: true, maxPriority: 5 })

const mails = [
  ['newsletter 1', 0],
  ['password reset', 5],
  ['newsletter 2', 0],
  ['invoice', 3],
  ['password reset again', 5],
]
for (const [mail, priority] of mails) channel.sendToQueue('mails', Buffer.from(mail), { priority })
await channel.waitForConfirms()

// A prefetch keeps the order meaningful: what was handed out already is not overtaken.
await channel.prefetch(1)
let left = mails.length
await new Promise((done) => {
  channel.consume('mails', (message) => {
    console.log(`${message.properties.priority}: ${message.content}`)
    channel.ack(message)
    if (--left === 0) done()
  })
})
await channel.close()
await connection.close()
