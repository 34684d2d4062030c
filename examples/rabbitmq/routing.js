// A direct exchange: a message goes to the queues that are bound with its very routing key, here the level of an alert.
// node examples/rabbitmq/routing.js [URL]
import amqp from 'amqplib'

const connection = await amqp.connect(process.argv[2] ?? process.env.AMQP_URL ?? 'amqp://127.0.0.1')
const channel = await connection.createConfirmChannel()
await channel.assertExchange('alerts', 'direct', { durable: true })

// One queue may be bound many times, and several queues with the same key: each gets its copy.
const wanted = { 'alerts.all': ['info', 'warning', 'error'], 'alerts.pager': ['error'] }
for (const [queue, levels] of Object.entries(wanted)) {
  await channel.assertQueue(queue, { durable: true })
  for (const level of levels) await channel.bindQueue(queue, 'alerts', level)
}

channel.publish('alerts', 'info', Buffer.from('backup done'))
channel.publish('alerts', 'error', Buffer.from('disk full'))
channel.publish('alerts', 'debug', Buffer.from('nobody is bound for this: it is dropped'))
await channel.waitForConfirms()

for (const queue of Object.keys(wanted)) {
  for (let message; (message = await channel.get(queue)) !== false;) {
    console.log(`${queue}: ${message.fields.routingKey}: ${message.content}`)
    channel.ack(message)
  }
}
await channel.close()
await connection.close()
