// Queues for the program that embeds the broker: names and counts.
// Promises: a refusal is thrown as RequestRefused.
// Does not know: clients, deliveries.

import type { Session } from '../broker/door.ts'
import { isRefusal, type Refusal } from '../broker/errors.ts'
import { RequestRefused, type Queues } from './embedding.ts'

export function embeddedQueues({ queues }: Session): Queues {
  return {
    list: async () => (await queues.listQueues()).map(({ name }) => name).toSorted(),
    counts: async (name) => {
      const { messages, consumers } = granted(await queues.checkQueue(name))
      const { unacknowledged } = granted(await queues.describeQueue(name))
      return { ready: messages, unacknowledged, consumers }
    },
  }
}

/** The outcome, which is no refusal. */
export function granted<T>(outcome: T): Exclude<T, Refusal> {
  if (isRefusal(outcome)) throw new RequestRefused(outcome.refused, outcome.why)
  return outcome as Exclude<T, Refusal>
}
