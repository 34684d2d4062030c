// pika 1.4.4, the released package: its blocking connection, its asyncio adapter, and its way with errors.
// Promises: the checks are programs beside this file, one connection or a few each.
// Does not know: any other client; pika's own acceptance tests, which are run while building only (FINDINGS.md).

import { fileURLToPath } from 'node:url'
import { pythonWith } from '../install.ts'
import { pythonChecks } from '../python-checks.ts'
import type { Suite } from '../suite.ts'

const REQUIREMENTS = ['pika==1.4.4']

export const suite: Suite = {
  name: 'pika',
  needs: ['python3'],
  limitMinutes: 4,
  protocol: 'amqp',
  run: async (context) => {
    const python = await pythonWith(context.cacheDir, 'pika', REQUIREMENTS)
    const env = { PYTHONPATH: fileURLToPath(new URL('..', import.meta.url)) }
    return pythonChecks(context, { python, program: fileURLToPath(new URL('main.py', import.meta.url)), env })
  },
}
