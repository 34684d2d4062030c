// The broker inside a program of one's own: the public startBroker.
// Promises: one broker is all that a call makes; brokers of one process share nothing but Node; nothing here ends it.
// Does not know: how a broker is put together (start.ts).

import type { SessionIdentity } from '../broker/door.ts'
import { embeddedQueues } from './embedded-queues.ts'
import { embeddedTopics } from './embedded-topics.ts'
import { StartFailure, type BrokerOptions, type RunningBroker } from './embedding.ts'
import { startServer } from './start.ts'

/** Who `broker.topics` and `broker.queues` are to the broker. */
const self: SessionIdentity = { vhost: '/', principal: 'guest', clientId: 'embedding', address: 'embedded' }

export async function startBroker(options: BrokerOptions = {}): Promise<RunningBroker> {
  const { clock = 'real', ...config } = options
  if (clock !== 'real') throw new StartFailure(`clock: ${JSON.stringify(clock)} is not there yet`)
  const server = await startServer(config)
  const session = server.session(self)
  return {
    kafka: server.kafka.address,
    amqp: server.amqp.url,
    topics: embeddedTopics(session, server.clock),
    queues: embeddedQueues(session),
    ...(server.dataPath === undefined ? {} : { dataPath: server.dataPath }),
    failed: server.failed,
    close: () => server.close(),
    [Symbol.asyncDispose]: () => server.close(),
  }
}
