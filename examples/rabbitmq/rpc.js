// Question and answer: a server works a queue off and answers to where each question says. The client names no queue
// of its own but amq.rabbitmq.reply-to: answers come straight back, nothing is declared, nothing is stored.
// node examples/rabbitmq/rpc.js [URL]
import { randomUUID } from 'node:crypto'
import amqp from 'amqplib'

const connection = await amqp.connect(process.argv[2] ?? process.env.AMQP_URL ?? 'amqp://127.0.0.1')

// The server.
const server = await connection.createChannel()
await server.assertQueue('rpc.square', { durable: true })
await server.prefetch(1)
await server.consume('rpc.square', (question) => {
  const { replyTo, correlationId } = question.properties
  const answer = Number(question.content) ** 2
  server.sendToQueue(replyTo, Buffer.from(String(answer)), { correlationId })
  server.ack(question)
})

// The client: it must take the answers, without acks, before it asks.
const client = await connection.createChannel()
const waiting = new Map()
await client.consume(
  'amq.rabbitmq.reply-to',
  (answer) => {
    // The id tells which of several questions is answered; one that nobody waits for any more is passed over.
    waiting.get(answer.properties.correlationId)?.(Number(answer.content))
    waiting.delete(answer.properties.correlationId)
  },
  { noAck: true },
)
function square(number) {
  const correlationId = randomUUID()
  return new Promise((answered) => {
    waiting.set(correlationId, answered)
    const options = { correlationId, replyTo: 'amq.rabbitmq.reply-to', expiration: 5000 }
    client.sendToQueue('rpc.square', Buffer.from(String(number)), options)
  })
}

const numbers = [2, 3, 12]
const squares = await Promise.all(numbers.map(square))
for (const [at, number] of numbers.entries()) console.log(`the square of ${number} is ${squares[at]}`)
await server.close()
await connection.close()
