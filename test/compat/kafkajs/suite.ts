// kafkajs 2.2.4, the released package: producers, groups and the admin client, end to end.
// Promises: kafkajs speaks no flexible version of any message, so this suite holds the old versions in place.
// Does not know: any other client.

import { runChecks, type Suite } from '../suite.ts'
import { administering } from './administering.ts'
import { Clients } from './clients.ts'
import { consuming } from './consuming.ts'
import { producing } from './producing.ts'

export const suite: Suite = {
  name: 'kafkajs',
  needs: [],
  limitMinutes: 6,
  run: async (context) => {
    const clients = new Clients(context)
    try {
      return await runChecks(context, [...producing(clients), ...consuming(clients), ...administering(clients)])
    } finally {
      await clients.closeAll()
    }
  },
}
