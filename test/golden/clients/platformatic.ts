// @platformatic/kafka at work: the messages it sends in its usual life, for the recorder.
// Promises: leaves no topic, group or connection behind.
// Does not know: who listens.

import { Admin, Consumer, Producer, stringSerializers } from '@platformatic/kafka'

export async function drivePlatformatic(broker: string): Promise<void> {
  const options = { clientId: 'golden', bootstrapBrokers: [broker] }
  const admin = new Admin(options)
  const topic = 'golden-platformatic'
  await admin.createTopics({ topics: [topic], partitions: 2, replicas: 1 })
  await admin.createPartitions({ topics: [{ name: topic, count: 3 }] })
  await produce(options, topic)
  await consume(options, topic)
  await admin.listTopics()
  await admin.listGroups()
  await admin.describeGroups({ groups: ['golden-platformatic'] })
  await admin.listConsumerGroupOffsets({ groups: ['golden-platformatic'] })
  await admin.describeLogDirs({ topics: [{ name: topic, partitions: [0, 1] }] })
  await admin.describeClientQuotas({ components: [] })
  await admin.deleteGroups({ groups: ['golden-platformatic'] })
  await admin.deleteTopics({ topics: [topic] })
  await admin.close()
}

async function produce(options: { clientId: string; bootstrapBrokers: string[] }, topic: string): Promise<void> {
  const messages = [
    { topic, partition: 0, key: 'key', value: 'value', headers: { one: '1' }, timestamp: 1_700_000_000_000n },
    { topic, partition: 1, key: 'other', value: 'x'.repeat(300), timestamp: 1_700_000_000_001n },
  ]
  for (const more of [{ acks: -1 }, { acks: 0 }, { acks: 1, compression: 'gzip' }, { idempotent: true }] as const) {
    const producer = new Producer({ ...options, serializers: stringSerializers })
    await producer.send({ messages, ...more })
    await producer.close()
  }
}

async function consume(options: { clientId: string; bootstrapBrokers: string[] }, topic: string): Promise<void> {
  const consumer = new Consumer({ ...options, groupId: 'golden-platformatic' })
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false, maxWaitTime: 500 })
  let seen = 0
  for await (const message of stream) {
    await message.commit()
    if (++seen === 8) break
  }
  await consumer.listOffsets({ topics: [topic] })
  await consumer.listCommittedOffsets({ topics: [{ topic, partitions: [0, 1, 2] }] })
  await consumer.close(true)
}
