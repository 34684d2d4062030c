// odradek produce: lines of stdin or of a file become records.
// Promises: one record a line, in order; exit 0 only when the broker has answered for all of them (but with --acks 0).
// Does not know: batches and leaders (producer.ts).

import { nodeDisk } from '../server/node-disk.ts'
import { nodeClock } from '../server/node-world.ts'
import { DiskError } from '../base/world.ts'
import type { CompressionName } from '../log/batch.ts'
import { codecLoads } from '../log/compression.ts'
import type { NewRecord, RecordHeader } from '../log/records.ts'
import { withClient, type KafkaFlags } from './command.ts'
import { CommandFailure, exitCodes } from './exit.ts'
import { oneOf, pairs, usage, wholeNumber } from './flags.ts'
import { progress, say, sayJson } from './output.ts'
import { Producer, type Sent } from './producer.ts'

export interface ProduceFlags extends KafkaFlags {
  readonly file?: string
  readonly key?: string
  readonly keySeparator?: string
  readonly header?: readonly string[]
  readonly compression?: string
  readonly partition?: string
  readonly acks?: string
}

const fileReadBytes = 1024 * 1024
const codecs: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
const newline = 0x0a
const carriageReturn = 0x0d

export function produce(topic: string, flags: ProduceFlags): Promise<void> {
  if (flags.key !== undefined && flags.keySeparator !== undefined)
    throw usage('--key and --key-separator exclude each other')
  if (flags.keySeparator === '') throw usage('--key-separator: it must not be empty')
  const acks = { '0': 0, '1': 1, all: -1, '-1': -1 } as const
  const options = {
    acks: acks[oneOf('--acks', flags.acks ?? 'all', ['0', '1', 'all', '-1'])],
    compression: oneOf('--compression', flags.compression ?? 'none', codecs),
    partition: flags.partition === undefined ? undefined : wholeNumber('--partition', flags.partition),
  }
  if (!codecLoads(options.compression)) {
    throw new CommandFailure(`--compression: the package for ${options.compression} is not installed; use gzip or none`)
  }
  const headers = pairs('--header', flags.header).map(([name, value]) => ({ name, value: Buffer.from(value) }))
  const toRecord = recordOf(flags, headers)
  return withClient(flags, async (client) => {
    const lines = flags.file === undefined ? process.stdin : chunksOf(flags.file)
    const producer = await Producer.open(client, topic, options)
    const shown = progress()
    const totals: Totals = { records: 0, spans: new Map() }
    if (flags.file === undefined && process.stdin.isTTY) {
      process.stderr.write('Each line becomes a record; Ctrl-D ends.\n')
    }
    for await (const batch of linesOf(lines)) {
      for (const sent of await producer.send(batch.map(toRecord))) addTo(totals, sent)
      if (!process.stdin.isTTY) shown.show(`${totals.records} records`)
    }
    shown.end()
    await report(topic, totals, flags)
  })
}

function recordOf(flags: ProduceFlags, headers: readonly RecordHeader[]): (line: Buffer) => NewRecord {
  const clock = nodeClock()
  const fixed = flags.key === undefined ? null : Buffer.from(flags.key)
  const separator = flags.keySeparator
  return (line) => {
    const timestampMs = clock.nowMs()
    if (separator === undefined) return { key: fixed, value: line, headers, timestampMs }
    const cut = line.indexOf(separator)
    if (cut < 0) {
      throw new CommandFailure(
        `no ${JSON.stringify(separator)} in the line ${JSON.stringify(line.toString('utf8', 0, 60))}`,
      )
    }
    const value = line.subarray(cut + Buffer.byteLength(separator))
    return { key: line.subarray(0, cut), value, headers, timestampMs }
  }
}

/** The whole lines of each chunk; a last line without an end counts. */
async function* linesOf(chunks: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Buffer[]> {
  let rest: Buffer[] = []
  for await (const chunk of chunks) {
    const lines: Buffer[] = []
    let from = 0
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      const piece = chunk.subarray(from, at)
      lines.push(withoutReturn(rest.length === 0 ? piece : Buffer.concat([...rest, piece])))
      rest = []
      from = at + 1
    }
    if (from < chunk.length) rest.push(chunk.subarray(from))
    if (lines.length > 0) yield lines
  }
  if (rest.length > 0) yield [withoutReturn(Buffer.concat(rest))]
}

const withoutReturn = (line: Buffer): Buffer =>
  line[line.length - 1] === carriageReturn ? line.subarray(0, line.length - 1) : line

function* chunksOf(path: string): Generator<Buffer> {
  try {
    const file = nodeDisk().open(path, 'read')
    try {
      for (let at = 0; ;) {
        const chunk = Buffer.allocUnsafeSlow(fileReadBytes)
        const bytes = file.readNow(chunk, at)
        if (bytes === 0) return
        at += bytes
        yield chunk.subarray(0, bytes)
      }
    } finally {
      file.close()
    }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    const isMissing = error.kind === 'missing'
    throw new CommandFailure(`--file: ${error.message}`, isMissing ? exitCodes.notFound : exitCodes.failure)
  }
}

interface Totals {
  records: number
  /** First and last offset a partition gave. */
  readonly spans: Map<number, { readonly first: number; readonly last: number }>
}

function addTo(totals: Totals, { partition, baseOffset, records }: Sent): void {
  totals.records += records
  if (baseOffset < 0) return
  const first = totals.spans.get(partition)?.first ?? baseOffset
  totals.spans.set(partition, { first, last: baseOffset + records - 1 })
}

async function report(topic: string, { records, spans }: Totals, flags: ProduceFlags): Promise<void> {
  const partitions = [...spans].sort(([a], [b]) => a - b)
  if (flags.json === true) {
    return sayJson({ topic, records, partitions: partitions.map(([partition, span]) => ({ partition, ...span })) })
  }
  const where = partitions.map(([partition, { first, last }]) =>
    first === last
      ? `partition ${partition} at offset ${first}`
      : `partition ${partition} at offsets ${first} to ${last}`,
  )
  const place = where.length === 0 ? '' : `: ${where.join(', ')}`
  await say(`Produced ${records} record${records === 1 ? '' : 's'} to ${topic}${place}.\n`)
}
