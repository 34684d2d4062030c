// Apache Kafka 4.3.1's own command-line clients, from Maven Central: the reference Java clients and their admin client.
// Promises: flexible versions, topic ids and the newest of every message are spoken by these.
// Does not know: any other client.

import { runChecks, type Suite } from '../suite.ts'
import { groups } from './groups.ts'
import { records } from './records.ts'
import { Tools } from './tools.ts'
import { topics } from './topics.ts'

export const suite: Suite = {
  name: 'java',
  needs: ['java', 'mvn'],
  limitMinutes: 10,
  run: async (context) => {
    const tools = await Tools.install(context)
    return runChecks(context, [...topics(tools), ...records(tools), ...groups(tools)])
  },
}
