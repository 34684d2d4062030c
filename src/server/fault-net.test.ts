// Answers and what becomes of them on one connection, without sockets.
// Promises: what passes, in which order, and how often a fault struck.
// Does not know: protocols; an answer here is one letter.

import { expect, test } from 'vitest'
import type { Connection, Net } from '../base/world.ts'
import { FaultNet } from './fault-net.ts'
import { FaultDesk } from './faults.ts'
import { nodeClock } from './node-world.ts'
import type { ResponseCutter } from './response-cutter.ts'

/** A capital is basic.ack, a small letter basic.deliver, anything else answers nothing. */
const letters = (): ResponseCutter => ({
  asked: () => {},
  responses: (bytes, take) => {
    for (let at = 0; at < bytes.length; at++) {
      const response = bytes.subarray(at, at + 1)
      const letter = response.toString()
      take(/[A-Z]/.test(letter) ? 'basic.ack' : /[a-z]/.test(letter) ? 'basic.deliver' : '', response)
    }
  },
})

/** What the broker writes to, and what its client got before the connection was closed. */
async function openBench(): Promise<{ desk: FaultDesk; connection: Connection; arrived: string[] }> {
  const desk = new FaultDesk()
  const arrived: string[] = []
  let unsent: (readonly [Uint8Array, (() => void) | undefined])[] = []
  // Like a socket: what was written in this turn leaves at its end, and is gone when it is destroyed before.
  const flush = (): void => {
    for (const [bytes, sent] of unsent.splice(0)) {
      arrived.push(Buffer.from(bytes).toString())
      sent?.()
    }
  }
  const inner: Partial<Connection> = {
    onClose: () => {},
    pause: () => {},
    unsentBytes: 0,
    write: (chunks, sent) => {
      unsent.push([Buffer.concat(chunks), sent])
      process.nextTick(flush)
      return true
    },
    destroy: () => {
      unsent = []
      arrived.push('closed')
    },
  }
  const accepted: Connection[] = []
  const net: Net = {
    listen: (_, accept) => {
      accept(inner as Connection)
      return Promise.resolve({ host: '', port: 0, close: () => Promise.resolve() })
    },
  }
  const faulty = desk.use('amqp', new FaultNet(net, nodeClock(), desk.rulesOf('amqp'), letters, () => {}))
  await faulty.listen({ path: '' }, (connection) => void accepted.push(connection))
  return { desk, connection: accepted[0], arrived }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a count is of answers, over what is written at once and one by one', async () => {
  const { desk, connection, arrived } = await openBench()
  const fault = desk.dropResponses(3, { name: 'basic.ack' })
  connection.write([Buffer.from('aAbB'), Buffer.from('c')])
  connection.write([Buffer.from('CdD')])
  await turn()
  expect([arrived.join(''), fault.hits]).toEqual(['abcdD', 3])
})

test('where a connection is cut what was answered before arrives, and what comes after meets no fault', async () => {
  const { desk, connection, arrived } = await openBench()
  const fault = desk.dropResponses(2, { name: 'basic.ack', thenDisconnect: true })
  connection.write([Buffer.from('abABc')])
  connection.write([Buffer.from('C')])
  await turn()
  expect([arrived, fault.hits]).toEqual([['ab', 'closed'], 1])
})

test('what answers nothing is not counted, nor lost', async () => {
  const { desk, connection, arrived } = await openBench()
  const fault = desk.dropResponses(1)
  connection.write([Buffer.from('..')])
  connection.write([Buffer.from('aA')])
  await turn()
  expect([arrived.join(''), fault.hits]).toEqual(['..A', 1])
})
