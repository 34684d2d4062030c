// Tests of a redrive's steps, on queues over the stub store: what goes, what stays, and what a crash between leaves.
// Promises: after any crash each message is in one queue, once.
// Does not know: the door, rates.

import { describe, expect, test } from 'vitest'
import { arrayField, findField, tableField, textField, type FieldTable } from '../../../base/fields.ts'
import { readProperties } from '../../../base/properties.ts'
import { turns } from '../../broker-world.contract.ts'
import { isRefusal } from '../../errors.ts'
import type { RedriveCall, RedriveStep } from '../../queue-door.ts'
import type { NewMessage } from '../parts.ts'
import { consume, publish, QueueStage, testMessage } from '../queue-stage.contract.ts'
import { Redrive } from './redrive.ts'

const call: RedriveCall = {
  source: 'dead',
  target: undefined,
  filters: [],
  isDryRun: false,
  from: 0,
  messagesMax: 512,
  place: undefined,
}

/** A dead letter of queue `work`. */
function dead(body: string, more: FieldTable = [], reason = 'rejected'): NewMessage {
  const death: FieldTable = [
    { name: 'reason', value: textField(reason) },
    { name: 'queue', value: textField('work') },
    { name: 'exchange', value: textField('ex') },
    { name: 'routing-keys', value: arrayField([textField(`order.${body}`)]) },
  ]
  const headers = [{ name: 'x-death', value: arrayField([tableField(death)]) }, ...more]
  return { ...testMessage(body, { headers }), exchange: 'dlx', isDeadLetter: true }
}

async function staged(...messages: NewMessage[]) {
  const stage = await QueueStage.open()
  const source = await stage.queue('dead')
  const target = await stage.queue('work')
  if (messages.length > 0) await publish(source, ...messages)
  return { stage, source, target }
}

const redriveOf = ({ world, queues, ledgers }: QueueStage): Redrive =>
  new Redrive({
    clock: world.clock,
    queues,
    ledgers,
    findMovable: (vhost, name) => queues.findMovable(vhost, name),
    produceRefusal: () => undefined,
  })

async function step(stage: QueueStage, more: Partial<RedriveCall> = {}): Promise<RedriveStep> {
  const done = await redriveOf(stage).step('/', { ...call, ...more }, () => undefined)
  if (isRefusal(done)) throw new Error(done.why)
  return done
}

describe('a step', () => {
  test('moves back to where each came from, as it was published, and says how often', async () => {
    const { stage, source, target } = await staged(
      dead('a'),
      dead('b', [{ name: 'x-redriven', value: { type: 'int64', value: 4 } }]),
    )
    expect(await step(stage)).toMatchObject({ looked: 2, moved: 2, filtered: 0, stranded: 0, notTaken: 0 })
    expect([source.messages, source.unacknowledged, target.messages]).toEqual([0, 0, 2])
    const first = await target.take(false)
    expect(first).toMatchObject({ isDeadLetter: true })
    if (first === undefined || isRefusal(first)) throw new Error('it is there')
    expect([first.exchange, first.routingKey].map(String)).toEqual(['ex', 'order.a'])
    const second = await target.take(false)
    if (second === undefined || isRefusal(second)) throw new Error('it is there')
    const { headers = [] } = readProperties(second.properties)
    expect(findField(headers, 'x-redriven')).toEqual({ type: 'int64', value: 5 })
    expect(findField(headers, 'x-death')?.type).toBe('array')
  })

  test('leaves in place what its filters do not want, what has nowhere to go, and what somebody holds', async () => {
    const { stage, source } = await staged(testMessage('plain'), dead('a'), dead('b', [], 'expired'), dead('held'))
    const held = consume(source, { credit: 1 })
    await turns()
    expect(held.bodies).toEqual(['plain'])
    source.lanes[0].giveBack(0, false)
    await turns()
    expect(await step(stage, { filters: ['reason=rejected', 'key=order.*'] })).toMatchObject({
      looked: 4,
      moved: 2,
      filtered: 2,
    })
    expect(await step(stage, {})).toMatchObject({ looked: 2, moved: 1, stranded: 1 })
    expect(source.messages).toBe(1)
  })

  test('leaves alone what a filter of the queue does not let in, and what came from the queue itself', async () => {
    const { stage, source } = await staged(dead('a'), dead('b'))
    const lane = source.lanes[0]
    lane.takes = ({ offset }) => offset === 1
    expect(await step(stage)).toMatchObject({ looked: 1, moved: 1, stranded: 0 })
    lane.takes = () => true
    await stage.queue('work')
    const back = await redriveOf(stage).step('/', { ...call, source: 'work' }, () => undefined)
    expect(back).toMatchObject({ looked: 1, moved: 0, stranded: 1 })
    expect(source.messages).toBe(1)
  })

  test('a source that is deleted meanwhile', async () => {
    const { stage, source, target } = await staged(dead('a'))
    const lane = source.lanes[0]
    const readEach = lane.readEach.bind(lane)
    lane.readEach = async (...those) => {
      const refused = await readEach(...those)
      source.drop('queueDeleted')
      return refused
    }
    const asked = redriveOf(stage).step('/', { ...call, target: 'work' }, () => undefined)
    expect(await asked).toMatchObject({ refused: 'queueMissing' })
    expect(target.messages).toBe(0)
  })

  test('moves nothing when dry, and shows what it would', async () => {
    const { stage, source, target } = await staged(dead('a'))
    expect(await step(stage, { isDryRun: true })).toMatchObject({
      moved: 1,
      samples: [{ offset: 0, routingKey: 'order.a', exchange: 'ex', reason: 'rejected', queue: 'work', to: 'work' }],
    })
    expect([source.messages, target.messages]).toEqual([1, 0])
  })

  test('goes on where the one before ended, and ends where the first one saw the end', async () => {
    const { stage, source, target } = await staged(dead('a'), dead('b'), dead('c'))
    const first = await step(stage, { messagesMax: 2 })
    expect(first).toMatchObject({ looked: 2, moved: 2, next: { lane: 0, from: 2 } })
    await publish(source, dead('late'))
    const second = await step(stage, { place: first.next })
    expect(second).toMatchObject({ looked: 1, moved: 1, next: { from: 3 } })
    expect(await step(stage, { place: second.next })).toMatchObject({ looked: 0, next: undefined })
    expect([source.messages, target.messages]).toEqual([1, 3])
  })

  test('a target is given no more than it has room for', async () => {
    const { stage, source } = await staged(...Array.from({ length: 5 }, (_, at) => dead(`m${at}`)))
    const short = await stage.queue('short', { overflow: 'reject-publish', lengthMax: 3 })
    expect(await step(stage, { target: 'short' })).toMatchObject({ moved: 3, notTaken: 2 })
    const small = await stage.queue('small', { overflow: 'reject-publish', lengthBytesMax: 3 })
    expect(await step(stage, { target: 'small' })).toMatchObject({ moved: 1, notTaken: 1 })
    expect([source.messages, short.messages, small.messages]).toEqual([1, 3, 1])
    expect(await source.take(false)).toMatchObject({ redelivered: false })
  })

  test('few asked for: few are read; many: others have their turn', async () => {
    const { stage, source } = await staged(...Array.from({ length: 200 }, (_, at) => dead(`m${at}`)))
    const lane = source.lanes[0]
    let read = 0
    const readEach = lane.readEach.bind(lane)
    lane.readEach = (offsets, see, raw) => {
      read += offsets.length
      return readEach(offsets, see, raw)
    }
    expect(await step(stage, { messagesMax: 1 })).toMatchObject({ moved: 1, next: { from: 1 } })
    expect(read).toBeLessThan(10)
    let turnsSeen = 0
    const stepping = step(stage).then((done) => ({ moved: done.moved, turnsSeen }))
    for (let at = 0; at < 3; at++) {
      await new Promise<void>((done) => stage.world.clock.endOfTurn(done))
      turnsSeen++
    }
    const stepped = await stepping
    expect(stepped.moved).toBe(199)
    expect(stepped.turnsSeen).toBeGreaterThan(1)
  })

  test('a target that takes no more, or is not there', async () => {
    const { stage, source } = await staged(dead('a'))
    await stage.queue('full', { overflow: 'reject-publish', lengthMax: 0 })
    expect(await step(stage, { target: 'full' })).toMatchObject({ moved: 0, notTaken: 1 })
    const redrive = redriveOf(stage)
    expect(await redrive.step('/', { ...call, target: 'none' }, () => undefined)).toMatchObject({
      refused: 'queueMissing',
    })
    expect(await redrive.step('/', { ...call, source: 'none' }, () => undefined)).toMatchObject({
      refused: 'queueMissing',
    })
    expect(await redrive.step('/', { ...call, target: 'dead' }, () => undefined)).toMatchObject({
      refused: 'invalidArgument',
    })
    expect(await redrive.step('/', call, () => ({ refused: 'notAllowed', why: 'no' }))).toMatchObject({
      refused: 'notAllowed',
    })
    expect(source.messages).toBe(1)
  })
})

describe('copy and acknowledgement are one', () => {
  test('a refused append leaves all of it where it was', async () => {
    const { stage, source, target } = await staged(dead('a'), dead('b'))
    await stage.settle()
    stage.store.manual = true
    const refused = redriveOf(stage).step('/', call, () => undefined)
    await turns()
    expect([source.messages, source.unacknowledged]).toEqual([0, 2])
    stage.store.fail('full')
    stage.store.manual = false
    expect(await refused).toMatchObject({ refused: 'storageFailed' })
    await turns()
    expect([source.messages, source.unacknowledged, target.messages]).toEqual([2, 0, 0])
    expect(await step(stage)).toMatchObject({ moved: 2 })
  })

  test.each([0, 1])('a crash with %i of the pending appends committed', async (committed) => {
    const { stage } = await staged(dead('a'), dead('b'), dead('c'))
    await stage.settle()
    stage.store.manual = true
    void redriveOf(stage).step('/', call, () => undefined)
    await turns()
    expect(stage.store.pending).toBeGreaterThan(0)
    if (committed > 0) stage.store.commit()
    await stage.crash()
    stage.store.manual = false
    const source = await stage.queue('dead')
    const target = await stage.queue('work')
    expect([source.messages, target.messages]).toEqual(committed > 0 ? [0, 3] : [3, 0])
  })
})
