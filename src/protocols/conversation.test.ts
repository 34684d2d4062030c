// The conversation over a protocol of single letters: order, back-pressure, muting, ends.
// Promises: nothing waits for a real clock.
// Does not know: Kafka.

import { expect, test } from 'vitest'
import { InvariantError } from '../base/assert.ts'
import { DecodeError } from '../base/bytes.ts'
import { publishInflightBytesMax, requestsInFlightMax, unsentBytesMax } from '../base/limits.ts'
import { Conversation, type Answer, type Protocol } from './conversation.ts'
import { StubConnection, StubWorld } from './stub.contract.ts'

interface Open {
  readonly letter: string
  answer(answer?: Partial<Exclude<Answer, { hangup: string }>> | Answer): void
  fail(error: unknown): void
}

/** Small letters overlap, capitals are exclusive, '!' cannot be, digits are answered at once. */
class Letters implements Protocol<string> {
  readonly name = 'letters'
  readonly open: Open[] = []
  begun = ''
  hurried = 0
  closes = 0
  weight = 1
  private text = ''
  receive(chunk: Buffer): void {
    this.text += chunk.toString()
  }
  next(): string | undefined {
    const letter = this.text[0]
    this.text = this.text.slice(1)
    if (letter === '!') throw new DecodeError('no letter')
    return letter
  }
  bytesOf(): number {
    return this.weight
  }
  overlaps(letter: string): boolean {
    return letter >= 'a'
  }
  answer(letter: string): Answer | Promise<Answer> {
    this.begun += letter
    if (letter >= '0' && letter <= '9') return { chunks: [Buffer.from(letter)], muteMs: 0 }
    return new Promise((resolve, reject) => {
      const answer = (given = {}): void => resolve({ chunks: [Buffer.from(letter)], muteMs: 0, ...given })
      this.open.push({ letter, answer, fail: reject })
    })
  }
  hurry(): void {
    this.hurried++
  }
  closed(): void {
    this.closes++
  }
  find(letter: string): Open {
    return this.open.find((open) => open.letter === letter) as Open
  }
}

function start(idleMs = 0, broken?: (error: unknown) => void) {
  const world = new StubWorld()
  const connection = new StubConnection()
  const letters = new Letters()
  const options = broken === undefined ? { idleMs } : { idleMs, broken }
  const conversation = new Conversation(world, connection, letters, options)
  const send = (text: string): void => connection.send(Buffer.from(text))
  return { world, connection, letters, conversation, send }
}

test('overlapping requests begin at once and are answered in order, whichever is done first', async () => {
  const { world, connection, letters, send } = start()
  send('abc')
  expect(letters.begun).toBe('abc')
  letters.find('c').answer()
  letters.find('b').answer()
  await world.settle()
  expect(connection.text).toBe('')
  letters.find('a').answer()
  await world.settle()
  expect(connection.text).toBe('abc')
})

test('an exclusive request waits for those before it and holds up those behind it', async () => {
  const { world, connection, letters, send } = start()
  send('abXcY')
  expect(letters.begun).toBe('ab')
  letters.find('a').answer()
  await world.settle()
  expect(letters.begun).toBe('ab')
  letters.find('b').answer()
  await world.settle()
  expect(letters.begun).toBe('abX')
  expect(connection.isReading).toBe(false)
  letters.find('X').answer()
  await world.settle()
  expect(letters.begun).toBe('abXc')
  letters.find('c').answer()
  await world.settle()
  letters.find('Y').answer()
  await world.settle()
  expect(connection.text).toBe('abXcY')
  expect(connection.isReading).toBe(true)
})

test('while an exclusive request is alone under way the socket is read, so that a leaving peer is noticed', async () => {
  const { connection, letters, send } = start()
  send('X')
  expect(connection.isReading).toBe(true)
  connection.leave()
  expect(letters.closes).toBe(1)
})

test('many requests answered at once in one chunk all go out, in order', () => {
  const { connection, send } = start()
  send('0123456789'.repeat(500))
  expect(connection.text).toBe('0123456789'.repeat(500))
})

test('the number of requests under way is bounded; the rest waits in the socket', async () => {
  const { world, connection, letters, send } = start()
  send('a'.repeat(requestsInFlightMax + 10))
  expect(letters.open).toHaveLength(requestsInFlightMax)
  expect(connection.isReading).toBe(false)
  for (const open of letters.open.splice(0)) open.answer()
  await world.settle()
  expect(letters.open).toHaveLength(10)
  expect(connection.isReading).toBe(true)
})

test('bytes that await their commit stop the reading, and their commit starts it again', async () => {
  const { world, connection, letters, send } = start()
  letters.weight = publishInflightBytesMax
  send('abc')
  expect(letters.begun).toBe('ab')
  expect(connection.isReading).toBe(false)
  letters.find('a').answer()
  await world.settle()
  expect(letters.begun).toBe('abc')
})

test('a peer that does not read its answers is not read', () => {
  const { connection, letters, send } = start()
  connection.unsentBytes = unsentBytesMax + 1
  send('a')
  expect(letters.begun).toBe('')
  expect(connection.isReading).toBe(false)
  connection.drained()
  expect(letters.begun).toBe('a')
  expect(connection.isReading).toBe(true)
})

test('an answer with a throttle time goes out at once, and the peer is muted after it', async () => {
  const { world, connection, letters, send } = start()
  send('a')
  letters.find('a').answer({ muteMs: 100 })
  await world.settle()
  expect(connection.text).toBe('a')
  send('1')
  expect(connection.isReading).toBe(false)
  await world.pass(99)
  expect(connection.text).toBe('a')
  await world.pass(1)
  expect(connection.text).toBe('a1')
  expect(connection.isReading).toBe(true)
})

test('what cannot be a request costs the connection, after what came before it is answered', async () => {
  const { world, connection, letters, send } = start()
  send('ab!c')
  expect(letters.begun).toBe('ab')
  expect(letters.hurried).toBe(1)
  letters.find('a').answer()
  letters.find('b').answer()
  await world.settle()
  expect(connection.text).toBe('ab')
  expect(connection.state).toBe('ended')
  expect(world.trace.counters().get('letters.connections.hostile')).toBe(1)
  expect(world.lines).toHaveLength(1)
  send('c')
  expect(letters.begun).toBe('ab')
  await world.pass(60_000)
  expect(connection.state).toBe('destroyed')
  expect(letters.closes).toBe(1)
})

test('a hangup in the place of an answer ends the connection there', async () => {
  const { world, connection, letters, send } = start()
  send('abc')
  letters.find('b').answer({ hangup: 'enough', hostile: false })
  letters.find('a').answer()
  letters.find('c').answer()
  await world.settle()
  expect(connection.text).toBe('a')
  expect(connection.state).toBe('ended')
  expect(world.lines).toHaveLength(0)
})

test('a bug of ours closes the connection; a broken invariant is told to whoever stops the process', async () => {
  const broken: unknown[] = []
  const { world, connection, letters, send } = start(0, (error) => broken.push(error))
  send('ab')
  letters.find('a').fail(new TypeError('a bug'))
  await world.settle()
  expect(connection.state).toBe('ended')
  expect(broken).toHaveLength(0)
  const error = new InvariantError('broken')
  letters.find('b').fail(error)
  await world.settle()
  expect(broken).toEqual([error])
  expect(world.trace.counters().get('letters.requests.failed')).toBe(2)
})

test('a drain begins nothing, answers what is under way, then closes', async () => {
  const { world, connection, letters, conversation, send } = start()
  send('aX')
  let isGone = false
  void conversation.drain(1000).then(() => (isGone = true))
  expect(letters.hurried).toBe(1)
  send('b')
  letters.find('a').answer()
  await world.settle()
  expect(letters.begun).toBe('a')
  expect(connection.text).toBe('a')
  expect(connection.state).toBe('ended')
  connection.leave()
  await world.settle()
  expect(isGone).toBe(true)
})

test('a drain does not wait longer than it may', async () => {
  const { world, connection, letters, conversation, send } = start()
  send('a')
  const gone = conversation.drain(1000)
  await world.pass(999)
  expect(connection.state).toBe('open')
  await world.pass(1)
  await gone
  expect(letters.closes).toBe(1)
  letters.find('a').answer()
  await world.settle()
  expect(connection.text).toBe('')
})

test('a drain of a conversation without requests closes at once', async () => {
  const { connection, conversation } = start()
  const gone = conversation.drain(1000)
  expect(connection.state).toBe('ended')
  connection.leave()
  await gone
  await conversation.drain(1000)
})

test('a silent connection is closed after its time, one with a request under way is not', async () => {
  const { world, connection, letters, send } = start(1000)
  await world.pass(600)
  send('a')
  await world.pass(5000)
  expect(connection.state).toBe('open')
  letters.find('a').answer()
  await world.settle()
  await world.pass(999)
  expect(connection.state).toBe('open')
  await world.pass(1001)
  expect(connection.state).not.toBe('open')
  expect(world.trace.counters().get('letters.connections.idle')).toBe(1)
})
