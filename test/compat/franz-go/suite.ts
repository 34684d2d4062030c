// franz-go's own tests, as its modules carry them: the client against a live broker, and the admin package.
// Promises: the chains of groups carry few enough records for an integration run.
// Does not know: any other client.

import { join } from 'node:path'
import { goTests } from '../go-tests.ts'
import { goModuleCopy } from '../install.ts'
import type { Suite } from '../suite.ts'

const MODULE = 'github.com/twmb/franz-go'
const RECORDS = 20_000
const MINUTE_MS = 60_000

export const suite: Suite = {
  name: 'franz-go',
  needs: ['go'],
  limitMinutes: 9,
  run: async (context) => {
    const env = {
      KGO_SEEDS: context.broker.address,
      KGO_TEST_RF: '1',
      KGO_TEST_RECORDS: `${RECORDS}`,
      KGO_TEST_STABLE_FETCH: 'true',
      KGO_LOG_LEVEL: 'none',
      GOFLAGS: '-buildvcs=false',
    }
    const kgo = await goModuleCopy(MODULE, 'v1.22.2', join(context.workDir, 'franz-go'))
    const kadm = await goModuleCopy(`${MODULE}/pkg/kadm`, 'v1.19.0', join(context.workDir, 'kadm'))
    const prefix = `${MODULE}/pkg/`
    const client = { folder: kgo, packages: ['./pkg/kgo'], env, limitMs: 6 * MINUTE_MS, prefix }
    const admin = { folder: kadm, packages: ['.'], env, limitMs: MINUTE_MS, prefix }
    return [...(await goTests(context, client, 'kgo')), ...(await goTests(context, admin, 'kadm'))]
  },
}
