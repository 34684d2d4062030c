// Delayed messages, over the stub store: kept until they are due, moved once, also across crashes and refused appends.
// Promises: time passes when a test says so.
// Does not know: how exchanges are declared; the plugin's own words (exchange-desk.test.ts).

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fieldTable, float64Field, int32Field, int64Field, textField, type Field } from '../../../base/fields.ts'
import { noProperties, writeProperties } from '../../../base/properties.ts'
import { offset } from '../../../log/store.ts'
import { turns } from '../../broker-world.contract.ts'
import { delayAsked, delayOfWaiting, waitingProperties } from './delay-header.ts'
import { DelayIndex } from './delay-index.ts'
import { DelayStage, vhost } from './delay-stage.contract.ts'
import { plainPolicy } from '../facts.ts'

describe('the header', () => {
  test.each<[Field, number | undefined]>([
    [int32Field(5), 5],
    [{ type: 'uint8', value: 5 }, 5],
    [int64Field(0xffff_ffff), 0xffff_ffff],
    [int64Field(0x1_0000_0000), undefined],
    [int32Field(0), undefined],
    [int32Field(-5), undefined],
    [float64Field(5.4), 5],
    [float64Field(Number.NaN), undefined],
    [textField('5'), 5],
    [textField('soon'), undefined],
    [fieldTable({})[0]?.value ?? { type: 'void' }, undefined],
  ])('%j: %s', (field, delayMs) => {
    const properties = writeProperties({ headers: fieldTable({ a: textField('x-delay'), 'x-delay': field }) })
    expect(delayAsked(properties)).toBe(delayMs)
    if (delayMs === undefined) return
    const waiting = waitingProperties(properties)
    expect(delayOfWaiting(waiting)).toBe(delayMs)
    expect(delayAsked(waiting)).toBeUndefined()
    expect(waitingProperties(waiting)).toBe(waiting)
  })

  test('no header', () => {
    expect(delayAsked(noProperties)).toBeUndefined()
    expect(delayOfWaiting(noProperties)).toBe(0)
  })
})

test('the index gives what is due in its order', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 600 }), (times) => {
      const index = new DelayIndex()
      for (const [offset, time] of times.entries()) index.add(time, offset)
      const sorted = [...times.entries()].sort(([a, one], [b, other]) => one - other || a - b)
      const taken = sorted.map(() => [index.nextMs, index.take()])
      expect(taken).toEqual(sorted.map(([offset, time]) => [time, offset]))
      expect(index.nextMs).toBeUndefined()
    }),
  )
})

describe('waiting', () => {
  test('a message whose log failed just when it was committed is moved all the same', async () => {
    const stage = await DelayStage.open()
    stage.publish('later', 'q1', 'first', 1000)
    await stage.pass(0)
    stage.publish('later', 'q1', 'second', 2000)
    stage.store.manual = true
    await turns()
    const log = stage.store.logs.get(stage.delays.ownLogs()[0])!
    log.failed = true
    stage.store.commit()
    stage.store.manual = false
    await stage.pass(3000)
    expect(await stage.drain()).toEqual(['q1 first -1000', 'q1 second -2000'])
  })

  test('a bucket whose log lost what its ledger knows of ends as any other', async () => {
    const stage = await DelayStage.open()
    stage.publish('later', 'q1', 'late', 8000)
    stage.publish('later', 'q1', 'soon', 3000)
    await stage.pass(3000)
    expect(await stage.drain()).toEqual(['q1 soon -3000'])
    const id = stage.delays.ownLogs()[0]
    const log = stage.store.logs.get(id)!
    // The power went, and the log is one that is not synced.
    log.batches = []
    log.end = log.committed = offset(0)
    await stage.crash()
    for (let rounds = 0; rounds < 4; rounds++) await stage.pass(10_000)
    expect(stage.logs()).toBe(0)
  })

  test('without a delay at once, with one when it is due, the header negative', async () => {
    const stage = await DelayStage.open()
    stage.publish('later', 'q1', 'now', undefined)
    stage.publish('later', 'q1', 'late', 3000)
    stage.publish('later', 'q1', 'early', 1000)
    expect(stage.publish('later', 'nobody', 'unroutable', undefined)).toBeUndefined()
    await turns(10)
    expect(await stage.drain()).toEqual(['q1 now'])
    await stage.pass(999)
    expect(await stage.drain()).toEqual([])
    await stage.pass(1)
    expect(await stage.drain()).toEqual(['q1 early -1000'])
    await stage.pass(2000)
    expect(await stage.drain()).toEqual(['q1 late -3000'])
  })

  test('routed by the bindings of the time when it is due; dropped when the exchange is gone', async () => {
    const stage = await DelayStage.open()
    stage.publish('later', 'q1.x', 'one', 1000)
    stage.publish('later', 'q2.x', 'two', 1000)
    stage.publish('fleeting', 'q1.x', 'three', 1000)
    await turns(10)
    const { routing } = stage.topology.of(vhost)
    for (const binding of routing.bindings.to('queue', 'q2').values()) routing.removeBinding(binding)
    routing.removeExchange('fleeting')
    await stage.pass(1000)
    expect(await stage.drain()).toEqual(['q1 one -1000'])
    expect(stage.world.trace.counters().get('delays.dropped.unroutable')).toBe(1)
    expect(stage.world.trace.counters().get('delays.dropped.noExchange')).toBe(1)
  })

  test('the receipt is that of the log it waits in', async () => {
    const stage = await DelayStage.open()
    stage.publish('later', 'q1', 'opens the bucket', 1000)
    await turns(20)
    stage.store.manual = true
    const receipt = stage.publish('later', 'q1', 'one', 1000)
    await turns(10)
    expect(receipt?.state).toBe('pending')
    stage.store.commit()
    await turns(10)
    expect(receipt?.state).toBe('stored')
  })

  test('a log that cannot be made refuses, and the next message gets another', async () => {
    const stage = await DelayStage.open()
    stage.store.failing = { create: new Error('no room for a log') }
    const refused = stage.publish('later', 'q1', 'refused', 1000)
    await turns(20)
    expect(refused?.state).toBe('refused')
    const stored = stage.publish('later', 'q1', 'stored', 1000)
    await turns(20)
    expect(stored?.state).toBe('stored')
    await stage.pass(1000)
    expect(await stage.drain()).toEqual(['q1 stored -1000'])
  })

  test('logs are dropped whole when all is moved', async () => {
    const stage = await DelayStage.open()
    for (const delay of [1000, 5000, 100_000, 3_000_000, 100_000_000]) stage.publish('later', 'q1', `${delay}`, delay)
    await turns(20)
    expect(stage.logs()).toBeGreaterThanOrEqual(4)
    let passed = 0
    for (const delay of [1000, 5000, 100_000, 3_000_000, 100_000_000]) {
      for (let rest = delay - passed; rest > 0; rest -= 50_000_000) await stage.pass(Math.min(rest, 50_000_000))
      passed = delay
      expect(await stage.drain()).toEqual([`q1 ${delay} -${delay}`])
    }
    await stage.pass(700_000_000)
    await stage.pass(60_000)
    expect(stage.logs()).toBe(0)
    expect([...stage.delays.entries()]).toEqual([])
  })

  test('a full disk delays, and nothing is lost by it', async () => {
    const stage = await DelayStage.open()
    stage.publish('later', 'q1', 'one', 1000)
    await turns(10)
    stage.isFull = true
    await stage.pass(5000)
    expect(await stage.drain()).toEqual([])
    stage.isFull = false
    await stage.pass(5000)
    expect(await stage.drain()).toEqual(['q1 one -1000'])
  })

  test('a queue is given no more than it takes of what is due at once; the rest is counted', async () => {
    const stage = await DelayStage.open()
    stage.queues.find(vhost, 'q1')?.setPolicy({ ...plainPolicy, lengthMax: 2, overflow: 'reject-publish' })
    for (const body of ['one', 'two', 'three', 'four', 'five']) stage.publish('later', 'q1', body, 1000)
    await stage.pass(5000)
    expect(await stage.drain()).toHaveLength(2)
    expect(stage.world.trace.counters().get('delays.dropped.overflow')).toBe(3)
  })

  test('over a crash: what is durable still waits, also what was due meanwhile', async () => {
    const stage = await DelayStage.open()
    stage.publish('later', 'q1', 'kept', 10_000)
    stage.publish('later', 'q2', 'due meanwhile', 1000)
    stage.publish('later', 'q2', 'far', 1_000_000)
    stage.publish('fleeting', 'q1', 'lost', 10_000)
    await turns(20)
    await stage.crash()
    stage.world.clock.advance(1000)
    await stage.crash()
    await turns(20)
    expect(await stage.drain()).toEqual(['q2 due meanwhile -1000'])
    await stage.pass(9000)
    expect(await stage.drain()).toEqual(['q1 kept -10000'])
    for (let passed = 0; passed < 1_000_000; passed += 50_000) await stage.pass(50_000)
    expect(await stage.drain()).toEqual(['q2 far -1000000'])
  })
})
