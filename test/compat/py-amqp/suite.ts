// py-amqp's own integration tests, from its source distribution: the library under kombu and Celery.
// Promises: an outcome is named `test[parameters]`, as pytest names it; nothing is written beside the sources.
// Does not know: any other client.

import { join } from 'node:path'
import { pythonSource, pythonWith } from '../install.ts'
import { pytest } from '../pytest-run.ts'
import type { Suite } from '../suite.ts'

const VERSION = '5.4.2'
const TESTS = join('t', 'integration', 'test_rmq.py')

export const suite: Suite = {
  name: 'py-amqp',
  needs: ['python3'],
  limitMinutes: 4,
  protocol: 'amqp',
  run: async (context) => {
    const folder = await pythonSource(context.cacheDir, 'amqp', VERSION)
    const packages = ['pytest==8.4.2', 'pytest-timeout==2.4.0', 'pytest-rerunfailures==16.0.1', 'vine==5.1.0']
    const python = await pythonWith(context.cacheDir, `py-amqp-${VERSION}`, packages)
    const env = {
      RABBITMQ_HOST: context.broker.host,
      RABBITMQ_5672_TCP: `${context.broker.port}`,
      // The port its TLS tests would take, which are not run.
      RABBITMQ_5671_TCP: '1',
    }
    return pytest(context, { python, folder, env, files: [TESTS], select: 'not tls and not ssl', limitMs: 150_000 })
  },
}
