// confirm.*, tx.*, channel.flow and access.request: what a channel promises its client from now on.
// Promises: a channel confirms or is transactional, never both; the texts are RabbitMQ's.
// Does not know: how a transaction is stored.

import { accepted, Fault } from './fault.ts'
import type { ChannelContext, Handlers } from './context.ts'

export const modeHandlers: Handlers = {
  confirmSelect: (channel, { nowait }) => {
    if (channel.isTransactional) throw new Fault('PRECONDITION_FAILED', 'cannot switch from tx to confirm mode')
    channel.confirms.turnOn()
    if (!nowait) channel.reply('confirmSelectOk', {})
  },

  txSelect: (channel) => {
    if (channel.confirms.isOn) throw new Fault('PRECONDITION_FAILED', 'cannot switch from confirm to tx mode')
    if (!channel.isTransactional) channel.door.beginTransactions()
    channel.isTransactional = true
    channel.reply('txSelectOk', {})
  },

  txCommit: async (channel) => {
    mustBeTransactional(channel)
    const outcome = await channel.door.commit()
    channel.transactionEnded(outcome === true)
    accepted(outcome)
    channel.reply('txCommitOk', {})
  },

  txRollback: (channel) => {
    mustBeTransactional(channel)
    channel.door.rollback()
    channel.transactionEnded(false)
    channel.reply('txRollbackOk', {})
  },

  channelFlow: (channel, { active }) => {
    if (!active) throw new Fault('NOT_IMPLEMENTED', 'active=false')
    channel.reply('channelFlowOk', { active: true })
  },

  channelFlowOk: () => {},

  accessRequest: (channel) => channel.reply('accessRequestOk', { ticket: 1 }),
}

function mustBeTransactional(channel: ChannelContext): void {
  if (!channel.isTransactional) throw new Fault('PRECONDITION_FAILED', 'channel is not transactional')
}
