// Refusals of what is done to topics: gone meanwhile, or not stored.
// Promises: a full disk is told from a broken one.
// Does not know: what was to be done.

import { AppendFailure } from '../../log/store.ts'
import { refuse, type Refusal } from '../errors.ts'

export const goneMeanwhile = (name: string): Refusal => refuse('unknownTopic', `Topic '${name}' was deleted meanwhile.`)

export function refusalOf(error: unknown, what: string): Refusal {
  const isFull = error instanceof AppendFailure ? error.kind === 'full' : (error as { kind?: unknown }).kind === 'full'
  return refuse(
    isFull ? 'storageFull' : 'storageFailed',
    `${what}: ${error instanceof Error ? error.message : String(error)}`,
  )
}
