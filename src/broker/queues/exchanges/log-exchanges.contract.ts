// For tests of exchanges that have nothing to do with topics.
// Promises: none is asked for.
// Does not know: what is tested.

import type { LogExchanges } from '../parts.ts'

const unasked = (): never => {
  throw new Error('there are no exchanges of type x-log here')
}

export const noLogExchanges: LogExchanges = {
  declare: unasked,
  deleteTopic: unasked,
  findStarts: unasked,
  begin: unasked,
  begun: unasked,
  forget: () => undefined,
  forgotten: () => undefined,
}
