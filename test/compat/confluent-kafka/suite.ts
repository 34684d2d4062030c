// confluent-kafka for Python on librdkafka 2.16: the checks are Python programs beside this file.
// Promises: each outcome is reported as it comes; the program is ended when its time is over.
// Does not know: any other client.

import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { pythonWith } from '../install.ts'
import { start } from '../process.ts'
import type { Outcome, Suite } from '../suite.ts'

const REQUIREMENTS = ['confluent-kafka==2.16.1']

function parseOutcome(line: string): Outcome | null {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  if (!('name' in value) || typeof value.name !== 'string' || !('verdict' in value)) return null
  const note = 'note' in value && typeof value.note === 'string' ? value.note.replace(/\s+/g, ' ') : ''
  return { name: value.name, verdict: value.verdict === 'pass' ? 'pass' : 'fail', note: note.slice(0, 400) }
}

export const suite: Suite = {
  name: 'confluent-kafka',
  needs: ['python3'],
  limitMinutes: 6,
  run: async (context) => {
    const python = await pythonWith(context.cacheDir, 'confluent', REQUIREMENTS)
    const program = fileURLToPath(new URL('main.py', import.meta.url))
    const args = [program, context.broker.address, context.tag, JSON.stringify([...context.leftOut])]
    if (context.only !== null) args.push(context.only.source)
    const child = start(python, args, { env: { PYTHONDONTWRITEBYTECODE: '1' } })
    child.process.stdin?.end()
    let said = ''
    child.process.stderr?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4_000)
    })
    const outcomes: Outcome[] = []
    if (child.process.stdout !== null) {
      for await (const line of createInterface({ input: child.process.stdout })) {
        const outcome = parseOutcome(line)
        if (outcome === null) continue
        outcomes.push(outcome)
        context.report(outcome)
      }
    }
    const code = await child.gone
    if (code !== 0) throw new Error(`the Python program ended with ${code}: ${said}`)
    return outcomes
  },
}
