// What goes wrong with amqplib: refusals with their codes and texts, connections that end, and how it recovers.
// Promises: checks only; the relay that is cut is of the check alone.
// Does not know: messages.

import { once } from 'node:events'
import { connect as connectSocket, createServer, type Socket } from 'node:net'
import { connect, credentials, type ChannelModel } from 'amqplib'
import { expect, expectEqual, until, type Check, type SuiteContext } from '../suite.ts'
import { at, refusal, send, told } from './desk.ts'

/** Stands between a client and the broker, to be cut. */
async function relayTo(host: string, port: number): Promise<{ port: number; cut(): void; close(): void }> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const broker = connectSocket(port, host)
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
      one.pipe(other)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cut,
    close: () => {
      server.close()
      cut()
    },
  }
}

export function failing(context: SuiteContext): readonly Check[] {
  return [
    at(context, 'refused: what is not there, and the connection lives on', async (desk) => {
      const connection = await desk.connection()
      const name = desk.name('missing')
      const noQueue = { code: 404, text: `NOT_FOUND - no queue '${name}' in vhost '/'` }
      const noExchange = { code: 404, text: `NOT_FOUND - no exchange '${name}' in vhost '/'` }
      expectEqual(await refusal(connection, (channel) => channel.checkQueue(name)), noQueue, 'check')
      expectEqual(await refusal(connection, (channel) => channel.get(name)), noQueue, 'get')
      expectEqual(await refusal(connection, (channel) => channel.consume(name, () => {})), noQueue, 'consume')
      expectEqual(await refusal(connection, (channel) => channel.purgeQueue(name)), noQueue, 'purge')
      expectEqual(await refusal(connection, (channel) => channel.checkExchange(name)), noExchange, 'exchange')
      const publish = async (channel: {
        publish(exchange: string, key: string, body: Buffer): boolean
      }): Promise<void> => {
        channel.publish(name, '', Buffer.from('x'))
      }
      expectEqual(await refusal(connection, publish), noExchange, 'publish')
      await (await connection.createChannel()).close()
    }),
    at(context, 'refused: declared differently', async (desk) => {
      const connection = await desk.connection()
      const queue = await desk.queue(await connection.createChannel())
      expectEqual(
        await refusal(connection, (channel) => channel.assertQueue(queue, { durable: true })),
        {
          code: 406,
          text: `PRECONDITION_FAILED - inequivalent arg 'durable' for queue '${queue}' in vhost '/': received 'true' but current is 'false'`,
        },
        'durable',
      )
      expectEqual(
        await refusal(connection, (channel) => channel.assertQueue(queue, { durable: false, messageTtl: 5 })),
        {
          code: 406,
          text: `PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '${queue}' in vhost '/': received the value '5' of type 'byte' but current is none`,
        },
        'an argument',
      )
    }),
    at(context, 'refused: arguments that make no sense', async (desk) => {
      const connection = await desk.connection()
      const name = desk.name('odd')
      const { code } = await refusal(connection, (channel) => channel.assertQueue(name, { messageTtl: -1 }))
      expectEqual(code, 406, 'a negative time to live')
      const type = { arguments: { 'x-queue-type': 'heap' } }
      expectEqual((await refusal(connection, (channel) => channel.assertQueue(name, type))).code, 406, 'a type')
      const transientQuorum = { durable: false, arguments: { 'x-queue-type': 'quorum' } }
      expectEqual(
        (await refusal(connection, (channel) => channel.assertQueue(name, transientQuorum))).code,
        406,
        'quorum',
      )
    }),
    at(context, 'refused: an acknowledgement twice', async (desk) => {
      const connection = await desk.connection()
      const channel = await connection.createChannel()
      const queue = await desk.queue(channel)
      send(channel, queue, 'x')
      const failed = once(channel, 'error')
      await channel.consume(queue, (message) => {
        if (message === null) return
        channel.ack(message)
        channel.ack(message)
      })
      const [error] = (await failed) as [Error]
      expectEqual(told(error), { code: 406, text: 'PRECONDITION_FAILED - unknown delivery tag 1' }, 'refusal')
    }),
    at(context, 'refused: a consumer beside an exclusive one', async (desk) => {
      const connection = await desk.connection()
      const channel = await connection.createChannel()
      const queue = await desk.queue(channel)
      await channel.consume(queue, () => {}, { exclusive: true })
      expectEqual(
        await refusal(connection, (other) => other.consume(queue, () => {})),
        { code: 403, text: `ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use` },
        'refusal',
      )
    }),
    at(context, 'login: plain, AMQPLAIN, and a wrong password', async (desk) => {
      for (const login of [credentials.plain('guest', 'guest'), credentials.amqplain('guest', 'guest')]) {
        const connection = await connect(desk.url.replace('guest:guest@', ''), { credentials: login })
        await connection.close()
      }
      const wrong = await connect(desk.url.replace('guest@', 'wrong@')).then(
        () => 'taken',
        (error: unknown) => (error as Error).message,
      )
      expect(/403|ACCESS_REFUSED|ACCESS-REFUSED/.test(wrong), `a wrong password: ${wrong}`)
    }),
    at(context, 'login: a virtual host that is not there', async (desk) => {
      const said = await connect(`${desk.url}/nowhere`).then(
        () => 'taken',
        (error: unknown) => (error as Error).message,
      )
      // amqplib tells only that it was not let in.
      expect(/530|NOT_ALLOWED|ConnectionClose/.test(said), `it said ${said}`)
    }),
    at(context, 'server properties name product, version and capabilities', async (desk) => {
      const { serverProperties } = (await desk.connection()).connection
      expectEqual(serverProperties.product, 'RabbitMQ', 'product')
      const capabilities: unknown = Object.getOwnPropertyDescriptor(serverProperties, 'capabilities')?.value
      const wanted = ['publisher_confirms', 'basic.nack', 'consumer_cancel_notify', 'connection.blocked']
      const missing = wanted.filter(
        (name) =>
          typeof capabilities !== 'object' || Object.getOwnPropertyDescriptor(capabilities, name)?.value !== true,
      )
      expectEqual(missing, [], 'missing')
    }),
    at(context, 'heartbeats: an idle connection stays', async (desk) => {
      const connection = await desk.connection('/?heartbeat=1')
      await new Promise((resolve) => setTimeout(resolve, 3_500))
      await (await connection.createChannel()).close()
    }),
    at(context, 'update-secret is answered', async (desk) => {
      await (await desk.connection()).updateSecret(Buffer.from('guest'), 'rotated')
    }),
    at(context, 'five hundred channels on a connection', async (desk) => {
      const connection = await desk.connection()
      const channels = await Promise.all(Array.from({ length: 500 }, () => connection.createChannel()))
      await Promise.all(channels.map((channel) => channel.close()))
      await (await connection.createChannel()).close()
    }),
    at(context, 'recovery: a cut connection comes back and is told what to do again', async (desk) => {
      const relay = await relayTo(context.broker.host, context.broker.port)
      const queue = desk.name('recovered')
      const got: string[] = []
      const model = await connect(`amqp://guest:guest@127.0.0.1:${relay.port}`, {
        recovery: {
          initialDelay: 50,
          setup: async (fresh: ChannelModel) => {
            const channel = await fresh.createChannel()
            await channel.assertQueue(queue, { durable: false, expires: 20_000 })
            await channel.consume(queue, (message) => {
              if (message === null) return
              got.push(message.content.toString())
              channel.ack(message)
            })
          },
        },
      })
      model.on('error', () => {})
      try {
        const sender = await desk.channel()
        send(sender, queue, 'before')
        await until('the first', 5_000, async () => (got.length === 1 ? true : null))
        relay.cut()
        send(sender, queue, 'meanwhile')
        await until('the second', 10_000, async () => (got.length === 2 ? true : null))
        expectEqual(got, ['before', 'meanwhile'], 'consumed')
        await sender.deleteQueue(queue)
      } finally {
        await model.close().catch(() => {})
        relay.close()
      }
    }),
  ]
}
