// amqplib 2.3.1, the released package: its promise and callback APIs, confirms, and its own recovery.
// Promises: every check works on connections and names of its own and leaves neither behind.
// Does not know: any other client; amqplib's own tests, which are run while building only (FINDINGS.md).

import { runChecks, type Suite } from '../suite.ts'
import { confirming } from './confirming.ts'
import { consuming } from './consuming.ts'
import { failing } from './failing.ts'
import { queueing } from './queueing.ts'
import { routing } from './routing.ts'

export const suite: Suite = {
  name: 'amqplib',
  needs: [],
  limitMinutes: 4,
  protocol: 'amqp',
  run: (context) =>
    runChecks(context, [
      ...queueing(context),
      ...consuming(context),
      ...routing(context),
      ...confirming(context),
      ...failing(context),
    ]),
}
