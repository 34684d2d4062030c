// The commands against a cluster of two: leaders apart, one that moves. The brokers are ours to script.
// Promises: real sockets, Kafka's bytes; each broker answers only for what it leads.
// Does not know: our broker, which is one node.

import net from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { apis, type AnyApi } from '../../src/wire/kafka/api-table.ts'
import { decodeRequestBody, decodeRequestHead, encodeResponse, FrameCutter } from '../../src/wire/kafka/frame.ts'
import { odradek } from './program.ts'

interface Node {
  readonly id: number
  readonly server: net.Server
  readonly port: number
  /** Partitions it was asked to store into or read, in order. */
  readonly asked: string[]
}

const notLeader = 6
/** Which node leads which partition now. */
const leaders = new Map([
  [0, 1],
  [1, 2],
])
/** Node 2 hands partition 1 over at the first produce that reaches it. */
let handsOver = false
let nodes: Node[] = []

beforeAll(async () => {
  nodes = await Promise.all([1, 2].map(startNode))
})
afterAll(() => nodes.forEach(({ server }) => server.close()))

async function startNode(id: number): Promise<Node> {
  const asked: string[] = []
  const server = net.createServer((socket) => {
    const cutter = new FrameCutter(1_000_000)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      for (const frame of cutter.push(chunk)) for (const bytes of answer(id, asked, frame)) socket.write(bytes)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { id, server, port: (server.address() as net.AddressInfo).port, asked }
}

const spoken: readonly AnyApi[] = [apis.apiVersions, apis.metadata, apis.produce, apis.listOffsets, apis.fetch]

function answer(id: number, asked: string[], frame: Buffer): Buffer[] {
  const head = decodeRequestHead(frame)
  const reply = <A extends AnyApi>(api: A, value: Parameters<typeof encodeResponse<A>>[3]): Buffer[] =>
    encodeResponse(api, head.apiVersion, head.correlationId, value)
  switch (head.apiKey) {
    case apis.apiVersions.key:
      return reply(apis.apiVersions, {
        apiKeys: spoken.map(({ key, valid }) => ({ apiKey: key, minVersion: valid[0], maxVersion: valid[1] })),
      })
    case apis.metadata.key:
      return reply(apis.metadata, metadata())
    case apis.produce.key: {
      const { topicData } = decodeRequestBody(apis.produce, frame, head)
      const partition = topicData[0]?.partitionData[0]?.index ?? -1
      asked.push(`produce ${partition}`)
      if (handsOver && id === 2) {
        handsOver = false
        leaders.set(1, 1)
      }
      const errorCode = leaders.get(partition) === id ? 0 : notLeader
      return reply(apis.produce, {
        responses: [{ name: 't', partitionResponses: [{ index: partition, errorCode, baseOffset: 7 }] }],
      })
    }
    default: {
      const { topics } = decodeRequestBody(apis.listOffsets, frame, head)
      const partitions = topics[0]?.partitions ?? []
      asked.push(`offsets ${partitions.map(({ partitionIndex }) => partitionIndex).join(',')}`)
      return reply(apis.listOffsets, {
        topics: [
          {
            name: 't',
            partitions: partitions.map(({ partitionIndex }) => ({
              partitionIndex,
              errorCode: leaders.get(partitionIndex) === id ? 0 : notLeader,
              offset: 0,
            })),
          },
        ],
      })
    }
  }
}

const metadata = (): object => ({
  brokers: nodes.map(({ id, port }) => ({ nodeId: id, host: '127.0.0.1', port })),
  clusterId: 'c',
  controllerId: 2,
  topics: [
    {
      name: 't',
      partitions: [...leaders].map(([partitionIndex, leaderId]) => ({
        partitionIndex,
        leaderId,
        replicaNodes: [1, 2],
        isrNodes: [1, 2],
      })),
    },
  ],
})

const bootstrap = (): string => `127.0.0.1:${nodes[0]?.port}`

test('each partition is asked of its leader', async () => {
  const produced = await odradek(['produce', 't', '--partition', '1', '--kafka', bootstrap()], 'x\n')
  expect(produced).toEqual({ code: 0, out: 'Produced 1 record to t: partition 1 at offset 7.\n', err: '' })
  const consumed = await odradek(['consume', 't', '--from-beginning', '--exit', '--kafka', bootstrap()])
  expect(consumed).toEqual({ code: 0, out: '', err: '' })
  expect(nodes[0]?.asked.filter((one) => one.startsWith('produce'))).toEqual([])
  expect(new Set(nodes[0]?.asked)).toEqual(new Set(['offsets 0']))
  expect(new Set(nodes[1]?.asked)).toEqual(new Set(['produce 1', 'offsets 1']))
})

test('a leader that moves is followed', async () => {
  handsOver = true
  const produced = await odradek(['produce', 't', '--partition', '1', '--kafka', bootstrap()], 'x\n')
  expect(produced).toEqual({ code: 0, out: 'Produced 1 record to t: partition 1 at offset 7.\n', err: '' })
  expect(nodes[0]?.asked.at(-1)).toBe('produce 1')
  expect(nodes[1]?.asked.at(-1)).toBe('produce 1')
})
