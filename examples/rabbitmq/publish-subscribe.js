// Everybody who listens hears everything: a fanout exchange copies each message into the queue of every subscriber.
// node examples/rabbitmq/publish-subscribe.js [URL]
import amqp from 'amqplib'

const connection = await amqp.connect(process.argv[2] ?? process.env.AMQP_URL ?? 'amqp://127.0.0.1')
const channel = await connection.createConfirmChannel()
await channel.assertExchange('news', 'fanout', { durable: true })

async function subscribe(name, count) {
  // A queue without a name gets one from the broker; an exclusive one is this connection's and goes with it.
  const { queue } = await channel.assertQueue('', { exclusive: true })
  await channel.bindQueue(queue, 'news', '')
  let done
  const heard = new Promise((resolve) => (done = resolve))
  await channel.consume(queue, (message) => {
    console.log(`${name} hears: ${message.content}`)
    channel.ack(message)
    if (--count === 0) done()
  })
  return { heard }
}

// Whoever subscribes later hears what comes later: an exchange keeps nothing.
const anna = await subscribe('Anna', 2)
const ben = await subscribe('Ben', 2)
for (const text of ['it begins', 'it goes on']) channel.publish('news', '', Buffer.from(text))
await channel.waitForConfirms()
await Promise.all([anna.heard, ben.heard])
await connection.close()
