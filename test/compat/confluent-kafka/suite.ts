// confluent-kafka for Python on librdkafka 2.16: the checks are Python programs beside this file.
// Promises: the version is fixed; what was installed once is used again.
// Does not know: any other client.

import { fileURLToPath } from 'node:url'
import { pythonWith } from '../install.ts'
import { pythonChecks } from '../python-checks.ts'
import type { Suite } from '../suite.ts'

const REQUIREMENTS = ['confluent-kafka==2.16.1']

export const suite: Suite = {
  name: 'confluent-kafka',
  needs: ['python3'],
  limitMinutes: 6,
  run: async (context) => {
    const python = await pythonWith(context.cacheDir, 'confluent', REQUIREMENTS)
    const env = { PYTHONPATH: fileURLToPath(new URL('..', import.meta.url)) }
    return pythonChecks(context, { python, program: fileURLToPath(new URL('main.py', import.meta.url)), env })
  },
}
