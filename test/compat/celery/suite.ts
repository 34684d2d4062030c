// Celery 5.7.0 as an application uses it: a worker of ours, its results, its remote control, its end by kill -9.
// Promises: the worker's processes are children of the program and gone with it.
// Does not know: any other client.

import { fileURLToPath } from 'node:url'
import { pythonWith } from '../install.ts'
import { pythonChecks } from '../python-checks.ts'
import type { Suite } from '../suite.ts'

const REQUIREMENTS = ['celery==5.7.0']

export const suite: Suite = {
  name: 'celery',
  needs: ['python3'],
  limitMinutes: 5,
  protocol: 'amqp',
  run: async (context) => {
    const python = await pythonWith(context.cacheDir, 'celery', REQUIREMENTS)
    const folder = fileURLToPath(new URL('.', import.meta.url))
    const env = {
      SHOP_BROKER: `amqp://guest:guest@${context.broker.address}//`,
      SHOP_NAME: `shop-${context.tag}`,
      PYTHONPATH: `${folder}:${fileURLToPath(new URL('..', import.meta.url))}`,
    }
    return pythonChecks(context, { python, program: fileURLToPath(new URL('main.py', import.meta.url)), env })
  },
}
