// What is published: judged, routed, copied to keys of CC and BCC, promised by one receipt.
// Promises: texts are those RabbitMQ 4.3 answered the same publishes with.
// Does not know: how queues store; direct replies (reply-to.test.ts); transactions.

import { describe, expect, test } from 'vitest'
import { DecodeError } from '../../../base/bytes.ts'
import {
  arrayField,
  boolField,
  bytesField,
  fieldTable,
  int32Field,
  int64Field,
  tableField,
  textField,
  voidField,
  type Field,
} from '../../../base/fields.ts'
import { readProperties, writeProperties, type Properties } from '../../../base/properties.ts'
import { refuse } from '../../errors.ts'
import type { Published, Receipt } from '../../queue-door.ts'
import { publication, Stage, StageSink } from './channel-stage.contract.ts'

function staged() {
  const stage = new Stage()
  const [q, other, third] = [stage.queue('q'), stage.queue('other'), stage.queue('third')]
  const channel = stage.channel()
  const publish = (properties: Properties, exchange = ''): Published =>
    channel.publish(publication({ exchange, properties: writeProperties(properties) }))
  return { stage, q, other, third, channel, publish }
}

const receiptOf = (published: Published): Receipt => {
  if (published === 'unroutable' || 'refused' in published) throw new Error('a receipt was expected')
  return published
}

describe('what is judged', () => {
  test.each([
    ['abc', 'no_integer'],
    ['12a', '{leftover_string,"a"}'],
    ['-1', '{value_negative,-1}'],
    ['', 'no_integer'],
    [' 5', 'no_integer'],
    ['5 ', '{leftover_string," "}'],
    ['1.5', '{leftover_string,".5"}'],
    ['315360000001', '{value_too_large,315360000001}'],
    ['-', 'no_integer'],
    ['é', 'no_integer'],
    ['1a"b', '{leftover_string,"a\\"b"}'],
  ])('expiration %j', (expiration, fault) => {
    const { publish, q } = staged()
    expect(publish({ expiration })).toEqual(refuse('invalidMessage', `invalid expiration '${expiration}': ${fault}`))
    expect(q.messages).toBe(0)
  })

  test.each(['+5', '315360000000', '0', '-0', '007'])('expiration %j is legal', (expiration) => {
    const { publish, q } = staged()
    expect(publish({ expiration })).toBe(q.receipt)
  })

  test.each<[string, Field, string]>([
    ['CC', textField('x'), 'longstr'],
    ['CC', int32Field(1), 'signedint'],
    ['CC', boolField(true), 'bool'],
    ['CC', tableField([]), 'table'],
    ['BCC', voidField, 'void'],
    ['CC', int64Field(2 ** 40), 'long'],
    ['BCC', bytesField(Buffer.from('x')), 'binary'],
  ])('%s of type %j', (name, field, type) => {
    const { publish } = staged()
    expect(publish({ headers: fieldTable({ [name]: field }) })).toEqual(
      refuse('invalidMessage', `invalid message: {unacceptable_type_in_header,"${name}",${type}}`),
    )
  })

  test('user-id must be who logged in, unless he may speak for others', () => {
    const { publish, stage, q } = staged()
    const text = "user_id property set to 'bob' but authenticated user was 'guest'"
    expect(publish({ userId: 'bob' })).toEqual(refuse('userIdMismatch', text))
    expect(publish({ userId: 'guest' })).toBe(q.receipt)
    const other = stage.channel(new StageSink(), { mayImpersonate: true })
    expect(other.publish(publication({ properties: writeProperties({ userId: 'bob' }) }))).toBe(q.receipt)
  })

  test('a body over the limit', () => {
    const { channel } = staged()
    const text = 'message size 16777217 is larger than configured max size 16777216'
    const tooLarge = { ...publication({}), bodyBytes: 16 * 1024 * 1024 + 1 }
    expect(channel.publish(tooLarge)).toEqual(refuse('messageTooLarge', text))
  })

  test('bytes that are no properties are a fault of their sender', () => {
    const { channel } = staged()
    expect(() => channel.publish(publication({ properties: Buffer.of(0x80, 0, 9, 1) }))).toThrow(DecodeError)
  })

  test('a missing exchange; a full disk, which harms nothing that goes nowhere', () => {
    const { channel, stage, q } = staged()
    expect(channel.publish(publication({ exchange: 'nope' }))).toEqual(
      refuse('exchangeMissing', "no exchange 'nope' in vhost '/'"),
    )
    stage.full = refuse('storageFull', 'the disk is full')
    expect(channel.publish(publication({}))).toEqual(stage.full)
    expect(channel.publish(publication({ routingKey: 'nobody' }))).toBe('unroutable')
    expect(q.messages).toBe(0)
  })
})

describe('where it goes', () => {
  test('as it was published, byte for byte', () => {
    const { channel, q } = staged()
    const properties = writeProperties({ headers: fieldTable({ a: textField('b') }), replyTo: 'x', priority: 3 })
    channel.publish(publication({ properties, body: 'hello' }))
    expect(q.at(0)).toMatchObject({ exchange: '', routingKey: 'q', properties, body: 'hello', isDeadLetter: false })
  })

  test('CC and BCC name further keys; BCC is not stored; what is no text in them is passed over', () => {
    const { publish, q, other, third } = staged()
    const headers = fieldTable({
      k: textField('CC'),
      CC: arrayField([textField('other'), int32Field(1), textField('q')]),
      BCC: arrayField([textField('third')]),
    })
    publish({ headers, messageId: 'm' })
    expect([q.messages, other.messages, third.messages]).toEqual([1, 1, 1])
    const stored = readProperties(third.at(0).properties)
    expect(stored.headers?.map(({ name }) => name)).toEqual(['k', 'CC'])
    expect(stored.messageId).toBe('m')
    expect(q.at(0).routingKey).toBe('q')
  })

  test('a header that only speaks of CC changes nothing', () => {
    const { publish, q } = staged()
    const properties = { headers: fieldTable({ note: textField('CC me') }) }
    publish(properties)
    expect(q.at(0).properties).toEqual(writeProperties(properties))
  })

  test('no queue, or one that was deleted since: unroutable; one made anew is found', () => {
    const { channel, stage, q } = staged()
    const toAll = ['q']
    stage.routes.set('all', toAll)
    const message = publication({ exchange: 'all' })
    channel.publish(message)
    q.drop('queueDeleted')
    expect(channel.publish(message)).toBe('unroutable')
    stage.queues.delete('q')
    expect(channel.publish(message)).toBe('unroutable')
    const again = stage.queue('q')
    channel.publish(message)
    expect(again.messages).toBe(1)
    expect(q.messages).toBe(1)
  })
})

describe('receipts of several queues', () => {
  function fanned() {
    const played = staged()
    played.stage.routes.set('all', ['q', 'other', 'third'])
    const publish = (): Published => played.channel.publish(publication({ exchange: 'all' }))
    return { ...played, publish }
  }

  test('publishes into the same batches share one; it is stored when all are', () => {
    const { publish, q, other, third } = fanned()
    const first = receiptOf(publish())
    expect(publish()).toBe(first)
    let told = 0
    first.whenSettled(() => told++)
    q.receipt.settle('stored')
    third.receipt.settle('stored')
    expect([first.state, told]).toEqual(['pending', 0])
    other.receipt.settle('stored')
    expect([first.state, told]).toEqual(['stored', 1])
  })

  test('refused when any is; who asks late is told, but not during the call', async () => {
    const { publish, q, other, third } = fanned()
    const receipt = receiptOf(publish())
    q.receipt.settle('stored')
    other.receipt.settle('refused')
    expect(receipt.state).toBe('pending')
    third.receipt.settle('stored')
    expect(receipt.state).toBe('refused')
    let told = false
    receipt.whenSettled(() => (told = true))
    expect(told).toBe(false)
    await Promise.resolve()
    expect(told).toBe(true)
    // Its batches are settled: the next publish is not.
    expect(receiptOf(publish()).state).toBe('refused')
  })

  test('a queue that says no makes it a refusal, the others have it', () => {
    const { publish, q, other, third } = fanned()
    other.isFull = true
    expect(publish()).toEqual(refuse('storageFull', 'full'))
    expect([q.messages, other.messages, third.messages]).toEqual([1, 0, 1])
  })
})
