// exchange.* and queue.*: declarations, bindings, purges and deletions, passed through the door.
// Promises: names without line ends; the shortcuts of empty names; with `nowait` nothing is answered but a failure.
// Does not know: which exchanges and queues there are; what arguments mean.

import { accepted } from './fault.ts'
import { namedExchange, plainName, queueMeant, type ChannelContext, type Handlers } from './context.ts'

/** All declares of such names only ask whether somebody waits there for replies. */
const replyToPrefix = 'amq.rabbitmq.reply-to'

export const topologyHandlers: Handlers = {
  exchangeDeclare: async (channel, { exchange, passive, nowait, ...said }) => {
    const name = namedExchange(exchange)
    const { type, durable, autoDelete, internal } = said
    accepted(
      passive
        ? channel.queues.checkExchange(name)
        : await channel.queues.declareExchange({
            name,
            type,
            durable,
            autoDelete,
            internal,
            arguments: said.arguments,
          }),
    )
    if (!nowait) channel.reply('exchangeDeclareOk', {})
  },

  exchangeDelete: async (channel, { exchange, ifUnused, nowait }) => {
    accepted(await channel.queues.deleteExchange(namedExchange(exchange), ifUnused))
    if (!nowait) channel.reply('exchangeDeleteOk', {})
  },

  exchangeBind: async (channel, said) => {
    accepted(await channel.queues.bind(exchangeBinding(said)))
    if (!said.nowait) channel.reply('exchangeBindOk', {})
  },

  exchangeUnbind: async (channel, said) => {
    accepted(await channel.queues.unbind(exchangeBinding(said)))
    if (!said.nowait) channel.reply('exchangeUnbindOk', {})
  },

  queueDeclare: async (channel, { queue, passive, nowait, ...said }) => {
    const name = plainName(queue)
    const { durable, exclusive, autoDelete } = said
    const count = accepted(
      passive || name.startsWith(replyToPrefix)
        ? await channel.queues.checkQueue(name)
        : await channel.queues.declareQueue({ name, durable, exclusive, autoDelete, arguments: said.arguments }),
    )
    channel.lastQueue = count.name
    if (nowait) return
    channel.reply('queueDeclareOk', {
      queue: count.name,
      messageCount: count.messages,
      consumerCount: count.consumers,
    })
  },

  queueBind: async (channel, said) => {
    accepted(await channel.queues.bind(queueBinding(channel, said)))
    if (!said.nowait) channel.reply('queueBindOk', {})
  },

  queueUnbind: async (channel, said) => {
    accepted(await channel.queues.unbind(queueBinding(channel, said)))
    channel.reply('queueUnbindOk', {})
  },

  queuePurge: async (channel, { queue, nowait }) => {
    const messageCount = accepted(await channel.queues.purgeQueue(queueMeant(channel, queue)))
    if (!nowait) channel.reply('queuePurgeOk', { messageCount })
  },

  queueDelete: async (channel, { queue, ifUnused, ifEmpty, nowait }) => {
    const name = queueMeant(channel, queue)
    const messageCount = accepted(await channel.queues.deleteQueue(name, { ifUnused, ifEmpty }))
    if (!nowait) channel.reply('queueDeleteOk', { messageCount })
  },
}

type BindCall = Parameters<ChannelContext['queues']['bind']>[0]

interface BindingSaid {
  readonly routingKey: string
  readonly arguments: BindCall['arguments']
}

const exchangeBinding = (said: BindingSaid & { readonly source: string; readonly destination: string }): BindCall => ({
  source: namedExchange(said.source),
  destination: namedExchange(said.destination),
  destinationKind: 'exchange',
  routingKey: said.routingKey,
  arguments: said.arguments,
})

/** Without queue and key, the key is the queue's name too (rabbit_channel:expand_routing_key_shortcut). */
function queueBinding(
  channel: ChannelContext,
  said: BindingSaid & { readonly queue: string; readonly exchange: string },
): BindCall {
  const destination = queueMeant(channel, said.queue)
  return {
    source: namedExchange(said.exchange),
    destination,
    destinationKind: 'queue',
    routingKey: said.queue === '' && said.routingKey === '' ? destination : said.routingKey,
    arguments: said.arguments,
  }
}
