// A fixture: one exchange of a real client with a real Kafka, as a text file that names both.
// Promises: what is written is read back; at most two samples a client, message and version, the first and the largest.
// Does not know: how exchanges are captured (recorder.ts) or judged (golden.test.ts).

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { apiByKey } from '../../src/wire/kafka/api-table.ts'
import type { Exchange } from './recorder.ts'

export interface Fixture {
  readonly name: string
  /** Client and version. */
  readonly client: string
  /** The broker that answered, and its version. */
  readonly broker: string
  /** Frames without their length. */
  readonly request: Buffer
  /** Absent for acks=0, and when it is too large to keep. */
  readonly response: Buffer | undefined
}

export const fixtureFolder = join(import.meta.dirname, 'fixtures')
/** Larger frames teach nothing more. */
const frameBytesMax = 4096
const hexCharsPerLine = 120

const hexLines = (frame: Buffer): string[] =>
  frame.toString('hex').match(new RegExp(`.{1,${hexCharsPerLine}}`, 'g')) ?? []

function textOf(fixture: Fixture): string {
  const lines = [`client: ${fixture.client}`, `broker: ${fixture.broker}`, 'request:', ...hexLines(fixture.request)]
  if (fixture.response !== undefined) lines.push('response:', ...hexLines(fixture.response))
  return `${lines.join('\n')}\n`
}

function parse(name: string, text: string): Fixture {
  const match = /^client: (.+)\nbroker: (.+)\nrequest:\n([0-9a-f\n]+)(?:response:\n([0-9a-f\n]+))?$/.exec(text)
  if (match === null) throw new Error(`${name} is no fixture`)
  const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll('\n', ''), 'hex')
  return {
    name,
    client: match[1],
    broker: match[2],
    request: bytes(match[3]),
    response: match[4] === undefined ? undefined : bytes(match[4]),
  }
}

export function readFixtures(): Fixture[] {
  return readdirSync(fixtureFolder)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => parse(name, readFileSync(join(fixtureFolder, name), 'utf8')))
}

/** Replaces the fixtures of `client` by samples of the exchanges; answers their names. */
export function writeFixtures(client: string, broker: string, exchanges: readonly Exchange[]): string[] {
  const prefix = `${client
    .replaceAll(/[^a-z0-9.]+/gi, '-')
    .replace(/^-/, '')
    .toLowerCase()}-`
  mkdirSync(fixtureFolder, { recursive: true })
  for (const name of readdirSync(fixtureFolder)) if (name.startsWith(prefix)) rmSync(join(fixtureFolder, name))
  const byKind = new Map<string, Exchange[]>()
  for (const exchange of exchanges) {
    if (exchange.request.length > frameBytesMax) continue
    const api = apiByKey.get(exchange.request.readInt16BE(0))
    const kind = `${api?.name.toLowerCase()}-v${exchange.request.readInt16BE(2)}`
    byKind.set(kind, [...(byKind.get(kind) ?? []), exchange])
  }
  const written: string[] = []
  for (const [kind, samples] of byKind) {
    for (const [index, { request, response }] of chosen(samples).entries()) {
      const name = `${prefix}${kind}${index === 0 ? '' : `-${index + 1}`}.txt`
      const kept = response !== undefined && response.length <= frameBytesMax ? response : undefined
      writeFileSync(join(fixtureFolder, name), textOf({ name, client, broker, request, response: kept }))
      written.push(name)
    }
  }
  return written
}

/** The first, and the one with the most to tell if it tells more. */
function chosen(samples: readonly Exchange[]): readonly Exchange[] {
  const size = ({ request, response }: Exchange): number => {
    const answered = response?.length ?? 0
    return request.length + (answered <= frameBytesMax ? answered : 0)
  }
  const largest = samples.reduce((best, sample) => (size(sample) > size(best) ? sample : best))
  return size(largest) > size(samples[0]) + 8 ? [samples[0], largest] : [samples[0]]
}
