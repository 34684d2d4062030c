// What every Kafka command shares: an address, a client for as long as it runs, an output form.
// Promises: the client is closed whatever happens.
// Does not know: which command it is.

import { nodeClock } from '../server/node-world.ts'
import { KafkaClient } from './kafka-client.ts'
import { endQuietlyOnClosedPipe } from './output.ts'

export interface KafkaFlags {
  readonly kafka: string
  readonly json?: boolean
}

export async function withClient<T>(flags: KafkaFlags, work: (client: KafkaClient) => Promise<T>): Promise<T> {
  endQuietlyOnClosedPipe()
  const client = KafkaClient.to(flags.kafka, nodeClock())
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}
