// basic.*, but what every message is made of: consumers, prefetch, get, recover.
// Promises: consume-ok is written before the first delivery; what RabbitMQ does not implement is refused in its words.
// Does not know: publishing and settling (channel.ts), which are read without tables.

import { accepted, Fault } from './fault.ts'
import { queueMeant, type ChannelContext, type Handlers } from './context.ts'

export const basicHandlers: Handlers = {
  basicQos: (channel, { prefetchSize, prefetchCount, global }) => {
    if (prefetchSize !== 0) throw new Fault('NOT_IMPLEMENTED', `prefetch_size!=0 (${prefetchSize})`)
    channel.door.setPrefetch(prefetchCount, global ? 'channel' : 'consumer')
    channel.reply('basicQosOk', {})
  },

  basicConsume: async (channel, { queue, consumerTag, noAck, exclusive, nowait, ...said }) => {
    const consumer = accepted(
      await channel.door.consume({
        queue: queueMeant(channel, queue),
        consumerTag,
        noAck,
        exclusive,
        arguments: said.arguments,
      }),
    )
    if (!nowait) channel.reply('basicConsumeOk', { consumerTag: consumer.tag })
    if (channel.isOpen) consumer.start()
  },

  basicCancel: async (channel, { consumerTag, nowait }) => {
    await channel.door.cancel(consumerTag)
    if (!nowait) channel.reply('basicCancelOk', { consumerTag })
  },

  /** We never ask for one; RabbitMQ takes it for a cancel too. */
  basicCancelOk: (channel, { consumerTag }) => channel.door.cancel(consumerTag),

  basicGet: async (channel, { queue, noAck }) => {
    // A small question has a large answer: who asks faster than he reads waits.
    await channel.roomToAnswer()
    if (!channel.isOpen) return
    const got = accepted(await channel.door.get(queueMeant(channel, queue), noAck))
    if (got === undefined) channel.reply('basicGetEmpty', {})
    else channel.replyGot(got)
  },

  basicRecover: (channel, { requeue }) => {
    recover(channel, requeue)
    channel.reply('basicRecoverOk', {})
  },

  basicRecoverAsync: (channel, { requeue }) => recover(channel, requeue),
}

function recover(channel: ChannelContext, requeue: boolean): void {
  if (!requeue) throw new Fault('NOT_IMPLEMENTED', 'requeue=false')
  channel.door.recover()
}
