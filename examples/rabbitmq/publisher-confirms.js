// What became of a message: confirmed (it is on disk), returned (no queue wanted it), refused (a queue is full).
// node examples/rabbitmq/publisher-confirms.js [URL]
import amqp from 'amqplib'

const connection = await amqp.connect(process.argv[2] ?? process.env.AMQP_URL ?? 'amqp://127.0.0.1')
const channel = await connection.createConfirmChannel()
await channel.assertQueue('invoices', { durable: true })

// Many are under way at once: confirms come in bulk, one disk sync for all that wait. Waiting for each in turn would
// cost a sync each.
for (let number = 1; number <= 1000; number++)
  channel.sendToQueue('invoices', Buffer.from(`invoice ${number}`), { persistent: true })
await channel.waitForConfirms()
console.log('1000 invoices are on disk')

// `mandatory` asks for what cannot be routed to be sent back; it is confirmed too: nothing more will become of it.
channel.on('return', ({ fields }) => console.log(`returned: ${fields.replyText}, ${fields.routingKey}`))
channel.sendToQueue('no.such.queue', Buffer.from('lost?'), { mandatory: true })
await channel.waitForConfirms()

// A queue that may hold two and refuses the third.
await channel.assertQueue('two.only', { durable: true, maxLength: 2, overflow: 'reject-publish' })
for (let number = 1; number <= 3; number++) {
  channel.sendToQueue('two.only', Buffer.from(`${number}`), {}, (refused) => {
    console.log(refused === null ? `${number} is confirmed` : `${number} is refused: send it again later, or elsewhere`)
  })
  await channel.waitForConfirms().catch(() => {})
}

await channel.deleteQueue('invoices')
await channel.deleteQueue('two.only')
await connection.close()
