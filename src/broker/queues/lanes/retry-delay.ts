// How long a message that came back waits for its next try.
// Promises: pure; never shorter than the shape says, longer by at most the jitter's fraction of it.
// Does not know: queues, clocks, which messages wait.

import type { RetryPolicy } from '../facts.ts'

/** No delay is longer, jitter apart: ten years, as with expirations. */
export const retryDelayMsMax = 315_360_000_000

/**
 * `deliveries`: how often it came back in a way that counts; what never did waits as after the first time, as in
 * RabbitMQ. `fraction`: a number in [0, 1), for the jitter. Jitter comes on top of the longest delay too: those that
 * wait longest are the ones that must not come back all at once.
 */
export function retryDelayMs(
  { backoff, minMs, maxMs, jitter }: RetryPolicy,
  deliveries: number,
  fraction: number,
): number {
  const times = Math.max(1, deliveries)
  const factor = backoff === 'fixed' ? 1 : backoff === 'linear' ? times : 2 ** (times - 1)
  const delayMs = Math.min(minMs * factor, maxMs, retryDelayMsMax)
  return Math.ceil(delayMs + delayMs * jitter * fraction)
}
