// A recording: all that one client and one broker said to each other over AMQP, as a text file that names both.
// Promises: bytes are kept as they were sent, frame by frame in the order they came; what is written is read back.
// Does not know: which client drives it; what the frames say.

import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { FrameReader, frameOverheadBytes, protocolHeaderBytes } from '../../../src/wire/amqp/frame.ts'

export interface Said {
  readonly by: 'client' | 'broker'
  /** Which of the client's connections, from 1. */
  readonly connection: number
  /** A whole frame, or the protocol header. */
  readonly bytes: Buffer
}

export interface Recording {
  readonly name: string
  /** Client and version. */
  readonly client: string
  /** The broker that answered, and its version. */
  readonly broker: string
  readonly said: readonly Said[]
}

const folder = join(import.meta.dirname, 'fixtures')
const hexCharsPerLine = 116

function textOf({ client, broker, said }: Recording): string {
  const lines = [`client: ${client}`, `broker: ${broker}`, '# connection, > by the client or < by the broker, a frame']
  for (const { by, connection, bytes } of said) {
    const hex = bytes.toString('hex').match(new RegExp(`.{1,${hexCharsPerLine}}`, 'g')) ?? []
    lines.push(`${connection}${by === 'client' ? '>' : '<'} ${hex.join('\n   ')}`)
  }
  return `${lines.join('\n')}\n`
}

function parse(name: string, text: string): Recording {
  const match = /^client: (.+)\nbroker: (.+)\n#.*\n([^]+)$/.exec(text)
  if (match === null) throw new Error(`${name} is no recording`)
  const said: Said[] = []
  for (const [, connection, mark, hex] of match[3].matchAll(/^(\d+)([<>]) ([0-9a-f\n ]+)$/gm)) {
    const bytes = Buffer.from(hex.replaceAll(/[\n ]/g, ''), 'hex')
    said.push({ by: mark === '>' ? 'client' : 'broker', connection: Number(connection), bytes })
  }
  return { name, client: match[1], broker: match[2], said }
}

export function readRecordings(): Recording[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => parse(name, readFileSync(join(folder, name), 'utf8')))
}

export function writeRecording(recording: Recording): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, recording.name), textOf(recording))
}

export interface Recorder {
  readonly port: number
  readonly said: readonly Said[]
  close(): Promise<void>
}

/** A TCP proxy before a broker that keeps what passes. */
export async function startRecorder(broker: { readonly host: string; readonly port: number }): Promise<Recorder> {
  const said: Said[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((client) => {
    const connection = ++connections
    const upstream = connect(broker.port, broker.host)
    for (const [by, from, to] of [
      ['client', client, upstream],
      ['broker', upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => from.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.end()
      })
      const cut = frames(by === 'client')
      from.on('data', (chunk) => {
        for (const bytes of cut(Buffer.from(chunk))) said.push({ by, connection, bytes })
        to.write(chunk)
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    said,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Cuts one direction of a connection: a client's begins with the protocol header. */
function frames(isClient: boolean): (chunk: Buffer) => Buffer[] {
  const reader = new FrameReader(1 << 24)
  let headerLeft = isClient ? protocolHeaderBytes : 0
  return (chunk) => {
    const found = headerLeft > 0 ? [chunk.subarray(0, headerLeft)] : []
    const rest = chunk.subarray(headerLeft)
    headerLeft = Math.max(0, headerLeft - chunk.length)
    reader.push(rest)
    while (reader.next()) {
      const bytes = Buffer.alloc(reader.payload.length + frameOverheadBytes, 0xce)
      bytes[0] = reader.type
      bytes.writeUInt16BE(reader.channel, 1)
      bytes.writeUInt32BE(reader.payload.length, 3)
      reader.payload.copy(bytes, 7)
      found.push(bytes)
    }
    return found
  }
}
