// amqp091-go's own tests, as its module carries them: RabbitMQ's Go client, its recovery included.
// Promises: only the addresses its examples have written in are changed, in a copy that is removed afterwards.
// Does not know: any other client; the management API, which the excluded tests want.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { goTests } from '../go-tests.ts'
import { goModuleCopy } from '../install.ts'
import type { Suite } from '../suite.ts'

const MODULE = 'github.com/rabbitmq/amqp091-go'
const MINUTE_MS = 60_000
/** They are run as tests, and dial the usual port whatever the environment says. */
const WITH_ADDRESS = ['example_client_test.go', 'examples_test.go']

export const suite: Suite = {
  name: 'amqp091-go',
  needs: ['go'],
  limitMinutes: 7,
  protocol: 'amqp',
  run: async (context) => {
    const folder = await goModuleCopy(MODULE, 'v1.16.0', join(context.workDir, 'amqp091-go'))
    for (const file of WITH_ADDRESS) {
      const path = join(folder, file)
      writeFileSync(path, readFileSync(path, 'utf8').replaceAll('@localhost:5672', `@${context.broker.address}`))
    }
    const env = {
      AMQP_URL: `amqp://guest:guest@${context.broker.address}/`,
      GOFLAGS: '-buildvcs=false -tags=integration',
    }
    const goRun = { folder, packages: ['.'], env, limitMs: 6 * MINUTE_MS, prefix: 'github.com/rabbitmq/' }
    return goTests(context, goRun, 'amqp091-go')
  },
}
