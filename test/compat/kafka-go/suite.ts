// kafka-go's own tests, as its module carries them, pointed at the broker under test.
// Promises: only addresses in its test files are changed, in a copy that is removed afterwards.
// Does not know: any other client.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { goTests } from '../go-tests.ts'
import { goModuleCopy } from '../install.ts'
import type { BrokerUnderTest, Suite } from '../suite.ts'

const MODULE = 'github.com/segmentio/kafka-go'
/** What the tests are told the broker is; it chooses what they run. */
const CLAIMED_VERSION = '3.7.0'

/** Tests that speak of addresses for their own sake. */
const UNTOUCHED = new Set(['address_test.go', 'network_test.go'])

function pointAt(folder: string, broker: BrokerUnderTest): void {
  for (const file of readdirSync(folder)) {
    if (!file.endsWith('_test.go') || UNTOUCHED.has(file)) continue
    const path = join(folder, file)
    const source = readFileSync(path, 'utf8')
    const changed = source
      .replaceAll(/"(?:localhost|127\.0\.0\.1):9092"/g, `"${broker.address}"`)
      .replaceAll('TCP("localhost")', `TCP("${broker.address}")`)
      .replaceAll('Host: "localhost", Port: 9092', `Host: "${broker.host}", Port: ${broker.port}`)
      .replaceAll('Host != "localhost"', `Host != "${broker.host}"`)
      .replaceAll('Port != 9092', `Port != ${broker.port}`)
      .replaceAll(/"(example\.com|127\.0\.0\.1):9092"/g, `"$1:${broker.port}"`)
    if (changed !== source) writeFileSync(path, changed)
  }
}

export const suite: Suite = {
  name: 'kafka-go',
  needs: ['go'],
  limitMinutes: 8,
  run: async (context) => {
    const folder = await goModuleCopy(MODULE, 'v0.4.51', join(context.workDir, 'kafka-go'))
    pointAt(folder, context.broker)
    pointAt(join(folder, 'topics'), context.broker)
    const env = { KAFKA_VERSION: CLAIMED_VERSION, KAFKA_SKIP_NETTEST: '1', GOFLAGS: '-buildvcs=false -mod=mod' }
    const common = { folder, env, prefix: 'github.com/segmentio/' }
    const root = await goTests(context, { ...common, packages: ['.'], limitMs: 330_000 }, 'kafka-go')
    const topics = await goTests(context, { ...common, packages: ['./topics'], limitMs: 60_000 }, 'kafka-go/topics')
    return [...root, ...topics]
  },
}
