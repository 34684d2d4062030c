// Epochs of single active consumers: over other consumers, crashes, refused appends.
// Promises: real ledgers and machine log over the stub store.
// Does not know: channels.

import { expect, test } from 'vitest'
import { findField } from '../../../base/fields.ts'
import { readProperties } from '../../../base/properties.ts'
import type { MachineLog } from '../../../log/machine.ts'
import { turns } from '../../broker-world.contract.ts'
import { epochHeader } from './consumer-epoch.ts'
import { Epochs } from './epochs.ts'
import { consume, publish, QueueStage, testMessage, type TestConsumer } from '../queue-stage.contract.ts'

function epochsOf(consumer: TestConsumer): number[] {
  return consumer.got.map(({ properties }) => {
    const field = findField(readProperties(properties).headers ?? [], epochHeader)
    return field?.type === 'int64' ? Number(field.value) : -1
  })
}

const alone = { singleActiveConsumer: true }

test('each consumer that becomes active has a higher one, also after a crash', async () => {
  const stage = await QueueStage.open()
  let last = 0
  for (let life = 0; life < 3; life++) {
    const queue = await stage.queue('q', alone)
    const first = consume(queue, { tag: 'first' })
    const second = consume(queue, { tag: 'second' })
    await publish(queue, 'a', 'b')
    await turns(4)
    const [one, same] = epochsOf(first)
    expect(one).toBe(same)
    expect(one).toBeGreaterThan(last)
    queue.cancel(first)
    await publish(queue, 'c')
    await turns(4)
    const [next] = epochsOf(second)
    expect(next).toBeGreaterThan(one)
    // One that comes does not make the active one another.
    consume(queue, { tag: 'third' })
    await publish(queue, 'd')
    await turns(4)
    expect(epochsOf(second)).toEqual([next, next])
    last = next
    await stage.crash()
  }
})

test('two queues never have the same', async () => {
  const stage = await QueueStage.open()
  const [one, other] = [await stage.queue('one', alone), await stage.queue('other', alone)]
  const consumers = [consume(one), consume(other)]
  await publish(one, 'a')
  await publish(other, 'a')
  await turns(4)
  expect(new Set(consumers.flatMap(epochsOf)).size).toBe(2)
})

test('nothing goes out under an epoch that is not committed', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q', alone)
  await publish(queue, 'a')
  const first = consume(queue, { tag: 'first' })
  await turns(4)
  expect(first.bodies).toEqual(['a'])
  const [epoch] = epochsOf(first)
  // Uses up the block.
  for (let rest = epoch; rest % 1000 !== 0; rest++) stage.epochs.next(() => undefined)
  void queue.add(testMessage('b'))
  const second = consume(queue, { tag: 'second' })
  first.credit = 0
  await turns(4)
  stage.store.manual = true
  queue.cancel(first)
  await turns(4)
  expect(second.bodies).toEqual([])
  // Refused: tried again.
  stage.store.fail('full')
  await turns(4)
  await stage.world.clock.advance(1000)
  await turns(4)
  expect(second.bodies).toEqual([])
  stage.store.commit()
  await turns(4)
  expect(second.bodies).toEqual(['b'])
  expect(epochsOf(second)[0]).toBeGreaterThan(1000)
})

test('they rise also when all that is left of the log is what it was rewritten to', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q', alone)
  await publish(queue, 'a')
  const consumer = consume(queue)
  await turns(4)
  const [given] = epochsOf(consumer)
  const again = new Epochs(stage.world.clock)
  for (const { key, value } of stage.epochs.entries()) again.apply(Buffer.from(key), Buffer.from(value ?? []))
  again.start({ ready: true, append: () => Promise.resolve() } as unknown as MachineLog)
  expect(again.next(() => undefined)).toBeUndefined()
  await turns(2)
  expect(again.next(() => undefined)).toBeGreaterThan(given)
})

test('what a publisher wrote in its place is replaced; without a single active consumer there is none', async () => {
  const stage = await QueueStage.open()
  const headers = [
    { name: epochHeader, value: { type: 'int64', value: 4711 } as const },
    { name: 'other', value: { type: 'int32', value: 1 } as const },
  ]
  const queue = await stage.queue('q', alone)
  const consumer = consume(queue)
  await publish(queue, testMessage('a', { headers, contentType: 'text/plain', messageId: 'm' }))
  await turns(4)
  const { headers: got = [], contentType, messageId } = readProperties(consumer.got[0].properties)
  expect(got.map(({ name }) => name)).toEqual(['other', epochHeader])
  expect([contentType, messageId]).toEqual(['text/plain', 'm'])
  expect(epochsOf(consumer)).not.toContain(4711)
  const plain = await stage.queue('plain')
  const other = consume(plain)
  await publish(plain, 'a')
  await turns(4)
  expect(epochsOf(other)).toEqual([-1])
})
