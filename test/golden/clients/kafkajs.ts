// kafkajs at work: every message it can send, once, for the recorder.
// Promises: leaves no topic, group or connection behind.
// Does not know: who listens.

import kafkajs, { CompressionTypes, Kafka, logLevel, type Consumer } from 'kafkajs'

export async function driveKafkajs(broker: string): Promise<void> {
  const kafka = new Kafka({ clientId: 'golden', brokers: [broker], logLevel: logLevel.ERROR })
  const admin = kafka.admin()
  await admin.connect()
  const topic = 'golden-kafkajs'
  await admin.createTopics({
    topics: [{ topic, numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '60000' }] }],
  })
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  await produce(kafka, topic)
  await consume(kafka.consumer({ groupId: 'golden-kafkajs' }), topic)
  await admin.describeCluster()
  await admin.listTopics()
  await admin.fetchTopicMetadata({ topics: [topic] })
  await admin.fetchTopicOffsets(topic)
  await admin.fetchTopicOffsetsByTimestamp(topic, 1_700_000_000_000)
  await admin.fetchOffsets({ groupId: 'golden-kafkajs', topics: [topic] })
  await admin.setOffsets({ groupId: 'golden-kafkajs', topic, partitions: [{ partition: 0, offset: '1' }] })
  await admin.listGroups()
  await admin.describeGroups(['golden-kafkajs'])
  const resource = { type: kafkajs.ConfigResourceTypes.TOPIC, name: topic }
  await admin.describeConfigs({ includeSynonyms: true, resources: [{ ...resource, configNames: ['retention.ms'] }] })
  await admin.alterConfigs({
    validateOnly: false,
    resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '90000' }] }],
  })
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '1' }] })
  await admin.deleteGroups(['golden-kafkajs'])
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
}

async function produce(kafka: Kafka, topic: string): Promise<void> {
  const plain = kafka.producer()
  await plain.connect()
  const messages = [
    { partition: 0, key: 'key', value: 'value', headers: { one: '1', many: ['2', '3'] }, timestamp: '1700000000000' },
    { partition: 0, key: null, value: null, timestamp: '1700000000001' },
    { partition: 1, value: Buffer.from([0, 1, 2, 255]), timestamp: '1700000000002' },
  ]
  await plain.send({ topic, acks: -1, messages })
  await plain.send({ topic, acks: 0, messages })
  await plain.send({ topic, acks: 1, compression: CompressionTypes.GZIP, messages: [...messages, ...messages] })
  await plain.disconnect()
  const idempotent = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await idempotent.connect()
  await idempotent.send({ topic, messages })
  await idempotent.disconnect()
}

async function consume(consumer: Consumer, topic: string): Promise<void> {
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    let seen = 0
    consumer
      .run({
        autoCommitThreshold: 1,
        eachMessage: () => {
          if (++seen === 9) resolve()
          return Promise.resolve()
        },
      })
      .catch(reject)
  })
  await consumer.disconnect()
}
