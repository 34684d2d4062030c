// One namespace with @platformatic/kafka, where it does what kafkajs does not: single settings changed, group by group read.
// Promises: real sockets; every wait ends with its event or fails.
// Does not know: what kafkajs shows (one-namespace.test.ts).

import {
  Admin,
  ConfigResourceTypes,
  Consumer,
  IncrementalAlterConfigOperationTypes,
  MessagesStreamModes,
  Producer,
  stringDeserializers,
  stringSerializers,
} from '@platformatic/kafka'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Sides } from './one-namespace.ts'
import { Arrivals } from './place.ts'

const { SET, DELETE } = IncrementalAlterConfigOperationTypes

let sides: Sides
const open: (() => unknown)[] = []
beforeEach(async () => {
  sides = await Sides.open()
})
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
  await sides.close()
})

const options = () => ({ clientId: 'e2e', bootstrapBrokers: [sides.place.address], retries: 20, retryDelay: 50 })

async function change(topic: string, configOperation: 0 | 1, name: string, value = ''): Promise<void> {
  const admin = new Admin(options())
  open.push(() => admin.close())
  const configs = [configOperation === SET ? { name, configOperation, value } : { name, configOperation }]
  await admin.incrementalAlterConfigs({
    resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configs }],
  } as Parameters<Admin['incrementalAlterConfigs']>[0])
}

test('a setting of a queue’s topic goes back to what the declaration said', async () => {
  await sides.declare('orders', { arguments: { 'x-retention': '1h' } })
  await change('orders', SET, 'retention.ms', '5000')
  expect(await sides.settings('orders')).toMatchObject({ 'retention.ms': '5000', 'cleanup.policy': 'consumed' })
  await change('orders', DELETE, 'retention.ms')
  expect(await sides.settings('orders')).toMatchObject({ 'retention.ms': '3600000' })
  await change('orders', SET, 'cleanup.policy', 'consumed,delete')
  await change('orders', DELETE, 'cleanup.policy')
  expect(await sides.settings('orders')).toMatchObject({ 'cleanup.policy': 'consumed' })
  await expect(change('orders', SET, 'queue.max.length', '5')).rejects.toThrow()
  await sides.restart()
  expect(await sides.settings('orders')).toMatchObject({ 'retention.ms': '3600000', 'cleanup.policy': 'consumed' })
})

test('a queue is written and read from both sides', async () => {
  await sides.declare('orders')
  const producer = new Producer({ ...options(), serializers: stringSerializers })
  open.push(() => producer.close())
  await producer.send({ messages: [{ topic: 'orders', key: 'customer 7', value: 'of Kafka', headers: { tag: 'a' } }] })
  await sides.publish('orders', 'of AMQP')
  const channel = await sides.channel()
  const first = await channel.get('orders')
  expect(first !== false && first.content.toString()).toBe('of Kafka')
  expect(first !== false && first.properties.headers).toMatchObject({ tag: 'a', 'x-key': 'customer 7' })
  const quick = { heartbeatInterval: 60, sessionTimeout: 6000, rebalanceTimeout: 6000, maxWaitTime: 100 }
  const consumer = new Consumer({ ...options(), groupId: 'auditor', deserializers: stringDeserializers, ...quick })
  open.push(() => consumer.close(true))
  const stream = await consumer.consume({
    topics: ['orders'],
    mode: MessagesStreamModes.COMMITTED,
    fallbackMode: 'earliest',
  })
  stream.on('error', () => undefined)
  const arrivals = new Arrivals<string>()
  stream.on('data', ({ value }) => arrivals.add(value))
  expect(await arrivals.until('both', ({ length }) => length === 2)).toEqual(['of Kafka', 'of AMQP'])
})
