// What may happen to ledgers in a random history: the steps, and how often each comes.
// Promises: every step can be taken at any time; a step that finds nothing to do does nothing.
// Does not know: how a step is done (ledgers-stage.contract.ts).

import fc from 'fast-check'

export type LedgerStep =
  | { readonly does: 'publish'; readonly which: number; readonly levels: readonly number[]; readonly ttl: number }
  | {
      readonly does: 'take' | 'takeAny' | 'ack' | 'giveBack' | 'close' | 'deadLetter' | 'ackDuringFailure'
      readonly which: number
      readonly pick: number
      readonly many: number
    }
  | { readonly does: 'purge' | 'trim'; readonly which: number; readonly pick: number }
  | { readonly does: 'commit'; readonly many: number }
  | { readonly does: 'expire'; readonly ms: number }
  | {
      readonly does: 'turn' | 'fail' | 'kill' | 'crash' | 'stop' | 'append' | 'walk' | 'release' | 'rewrite'
    }

const which = fc.nat({ max: 1 })
export const ledgerStep: fc.Arbitrary<LedgerStep> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constant('publish' as const),
      which,
      levels: fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 8 }),
      ttl: fc.constantFrom(0, 0, 5, 40, 300),
    }),
  },
  {
    weight: 18,
    arbitrary: fc.record({
      does: fc.constantFrom(
        'take' as const,
        'take',
        'takeAny',
        'ack',
        'ack',
        'giveBack',
        'close',
        'deadLetter',
        'ackDuringFailure',
      ),
      which,
      pick: fc.nat({ max: 30 }),
      many: fc.integer({ min: 1, max: 6 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ does: fc.constantFrom('purge' as const, 'trim'), which, pick: fc.nat({ max: 60 }) }),
  },
  { weight: 9, arbitrary: fc.record({ does: fc.constant('commit' as const), many: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('expire' as const), ms: fc.nat({ max: 60 }) }) },
  {
    weight: 11,
    arbitrary: fc.record({
      does: fc.constantFrom(
        'turn' as const,
        'turn',
        'turn',
        'append',
        'walk',
        'walk',
        'walk',
        'fail',
        'kill',
        'crash',
        'stop',
        'release',
        'rewrite',
        'rewrite',
      ),
    }),
  },
)
