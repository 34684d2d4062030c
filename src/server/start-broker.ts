// startBroker, which is what the package is for: the public side of embedded.ts.
// Promises: `broker.clock` is in the type where, and only where, the clock is virtual.
// Does not know: how it is done. What is imported here by type is all that the package's types need.

import { embed } from './embedded.ts'
import type { BrokerOptions, RunningBroker, VirtualBroker } from './embedding.ts'

/**
 * Starts a broker in this process; it takes connections when the promise resolves. Rejects with a StartFailure.
 *
 *     const broker = await startBroker()
 *     const kafka = new Kafka({ brokers: [broker.kafka] })
 *     const connection = await amqplib.connect(broker.amqp)
 */
export async function startBroker(options: BrokerOptions & { readonly clock: 'virtual' }): Promise<VirtualBroker>
export async function startBroker(options?: BrokerOptions): Promise<RunningBroker>
export async function startBroker(options: BrokerOptions = {}): Promise<RunningBroker> {
  return (await embed(options)).broker
}
