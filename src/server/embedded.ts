// The broker inside a program of one's own, on a world with another clock and with faults where they are asked for.
// Promises: one broker is all that a call makes; brokers of one process share nothing but Node; nothing here ends it.
// Does not know: how a broker is put together (start.ts).

import type { SessionIdentity } from '../broker/door.ts'
import type { Store } from '../log/store.ts'
import { embeddedQueues } from './embedded-queues.ts'
import { shown } from './embedded-record.ts'
import { embeddedTopics } from './embedded-topics.ts'
import {
  RequestRefused,
  StartFailure,
  type BrokerOptions,
  type RunningBroker,
  type VirtualBroker,
} from './embedding.ts'
import { FaultNet } from './fault-net.ts'
import { FaultStore } from './fault-store.ts'
import { FaultDesk } from './faults.ts'
import { Activity } from './node-activity.ts'
import { nodeClock } from './node-world.ts'
import { cutterOf } from './response-cutter.ts'
import { startServer, type RunningServer, type Words } from './start.ts'
import type { Surroundings } from './surroundings.ts'
import { millisecondsOf, VirtualClock } from './virtual-clock.ts'

/** Who `broker.topics` and `broker.queues` are to the broker. */
const self: SessionIdentity = { vhost: '/', principal: 'guest', clientId: 'embedding', address: 'embedded' }

const optionWords: Words = { folder: "store: 'file:DIR'", say: (option, value) => `${option}: '${value}'` }

/** The public broker, and what it is the public side of. `near` lies between it and the engine. */
export async function embed(
  options: BrokerOptions,
  near: (engine: Store) => Store = (engine) => engine,
): Promise<{
  readonly broker: RunningBroker
  readonly server: RunningServer
  readonly clock: VirtualClock | undefined
}> {
  if (typeof options !== 'object' || options === null) throw new StartFailure(`options: ${shown(options)} is no object`)
  const { clock = 'real', ...config } = options
  if (clock !== 'real' && clock !== 'virtual') {
    throw new StartFailure(`clock: ${shown(clock)} is not allowed; it must be real or virtual`)
  }
  const realClock = nodeClock()
  const activity = new Activity()
  const faults = new FaultDesk()
  const virtual = clock === 'virtual' ? new VirtualClock(realClock, activity) : undefined
  const surroundings: Surroundings = {
    ...(virtual === undefined ? {} : { clock: () => virtual }),
    net: (net, protocol) => {
      const rules = faults.rulesOf(protocol)
      return faults.use(protocol, new FaultNet(net, realClock, rules, cutterOf[protocol], activity.stirred))
    },
    store: (store) => new FaultStore(near(store), activity, faults.nextAppend),
  }
  const server = await startServer(config, surroundings, optionWords)
  // Whoever is connected to a broker that promises nothing any more is told so by its socket.
  void server.failed.then(() => {
    faults.refuseConnections()
    faults.disconnect()
  })
  const session = server.session(self)
  let closing: Promise<void> | undefined
  /** Calls that are not answered yet. */
  let underWay = 0
  const close = (): Promise<void> => (closing ??= closed())
  const closed = async (): Promise<void> => {
    // What this program asked for itself is in flight like what its clients asked for.
    if (underWay > 0) await activity.settled()
    await server.close().finally(() => virtual?.stop())
  }
  const judgeOpen = (): void => {
    if (closing !== undefined) throw new RequestRefused('closed', 'this broker is closed')
  }
  const whileOpen: WhileOpen = async (call) => {
    judgeOpen()
    underWay++
    return await call().finally(() => underWay--)
  }
  const broker = {
    kafka: server.kafka.address,
    // An empty text would be this machine's usual port to some clients.
    amqp: server.amqp.url === '' ? server.amqp.address : server.amqp.url,
    topics: eachOf(embeddedTopics(session, server.clock), whileOpen),
    queues: eachOf(embeddedQueues(session), whileOpen),
    faults,
    ...(virtual === undefined ? {} : { clock: publicClock(virtual, judgeOpen) }),
    ...(server.dataPath === undefined ? {} : { dataPath: server.dataPath }),
    failed: server.failed,
    close,
    [Symbol.asyncDispose]: close,
  }
  return { broker, server, clock: virtual }
}

const publicClock = (clock: VirtualClock, judgeOpen: () => void): VirtualBroker['clock'] => ({
  now: () => clock.nowMs(),
  advance: async (by) => {
    judgeOpen()
    await clock.advance(millisecondsOf(by))
  },
})

type WhileOpen = (call: () => Promise<unknown>) => Promise<unknown>

/** The same calls; of a broker that is closed they say so, instead of what they find in its remains. */
function eachOf<Calls extends object>(calls: Calls, whileOpen: WhileOpen): Calls {
  const each = Object.entries(calls as Record<string, (...args: unknown[]) => Promise<unknown>>)
  const judged = each.map(([name, call]) => [name, (...args: unknown[]) => whileOpen(() => call(...args))])
  return Object.fromEntries(judged) as Calls
}
