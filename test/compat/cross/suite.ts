// pika and confluent-kafka on one name, whichever comes first: programs of both worlds, one process of checks.
// Promises: runs by itself, and after the two suites when both are asked for.
// Does not know: what either client does alone.

import { fileURLToPath } from 'node:url'
import { pythonWith } from '../install.ts'
import { pythonChecks } from '../python-checks.ts'
import type { Suite } from '../suite.ts'

const REQUIREMENTS = ['pika==1.4.4', 'confluent-kafka==2.16.1']

export const suite: Suite = {
  name: 'cross',
  needs: ['python3'],
  limitMinutes: 4,
  protocol: 'both',
  crosses: ['pika', 'confluent-kafka'],
  run: async (context) => {
    const python = await pythonWith(context.cacheDir, 'cross', REQUIREMENTS)
    const env = { PYTHONPATH: fileURLToPath(new URL('..', import.meta.url)), AMQP_ADDRESS: context.broker.amqp }
    return pythonChecks(context, { python, program: fileURLToPath(new URL('main.py', import.meta.url)), env })
  },
}
