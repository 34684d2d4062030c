// kafkajs' admin client: topics, partitions, settings, offsets, groups, the cluster.
// Promises: each check uses topics and groups of its own.
// Does not know: producers and consumers beyond filling a topic and making a group.

import kafkajs from 'kafkajs'
import { expect, expectEqual, until, type Check } from '../suite.ts'
import type { Clients } from './clients.ts'

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ConfigResourceTypes, ResourcePatternTypes } = kafkajs

async function filled(clients: Clients, kind: string, count: number): Promise<string> {
  const topic = await clients.topic(kind)
  const producer = await clients.producer()
  const messages = Array.from({ length: count }, (_, index) => ({
    value: `${index}`,
    timestamp: `${1_000_000 + index}`,
  }))
  await producer.send({ topic, messages })
  return topic
}

async function emptyGroup(clients: Clients, topic: string, count: number): Promise<string> {
  const groupId = `${topic}-g`
  const member = await clients.gather(topic, groupId)
  await member.reach(count)
  await member.consumer.disconnect()
  return groupId
}

function topicChecks(clients: Clients): Check[] {
  return [
    {
      name: 'admin: create, create again, list, describe, delete',
      run: async () => {
        const admin = await clients.admin()
        const topic = clients.name('lifecycle')
        const topics = [{ topic, numPartitions: 3, configEntries: [{ name: 'retention.ms', value: '60000' }] }]
        expectEqual(await admin.createTopics({ topics }), true, 'created')
        expectEqual(await admin.createTopics({ topics }), false, 'created again')
        expect((await admin.listTopics()).includes(topic), 'not listed')
        const metadata = await admin.fetchTopicMetadata({ topics: [topic] })
        expectEqual(metadata.topics[0]?.partitions.length, 3, 'partitions')
        await admin.deleteTopics({ topics: [topic] })
        await until('its end', 5_000, async () => ((await admin.listTopics()).includes(topic) ? null : true))
      },
    },
    {
      name: 'admin: validateOnly makes nothing',
      run: async () => {
        const admin = await clients.admin()
        const topic = clients.name('validate')
        expectEqual(
          await admin.createTopics({ validateOnly: true, waitForLeaders: false, topics: [{ topic }] }),
          true,
          'answer',
        )
        expect(!(await admin.listTopics()).includes(topic), 'the topic was made')
      },
    },
    {
      name: 'admin: createPartitions',
      run: async () => {
        const topic = await clients.topic('partitions', 2)
        const admin = await clients.admin()
        await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
        await until('five partitions', 5_000, async () => {
          const metadata = await admin.fetchTopicMetadata({ topics: [topic] })
          return metadata.topics[0]?.partitions.length === 5 ? true : null
        })
      },
    },
    {
      name: 'admin: describeConfigs and alterConfigs',
      run: async () => {
        const topic = await clients.topic('configs')
        const admin = await clients.admin()
        const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
        const value = async (): Promise<string | undefined> => {
          const answer = await admin.describeConfigs({ includeSynonyms: false, resources: [resource] })
          return answer.resources[0]?.configEntries.find((entry) => entry.configName === 'retention.ms')?.configValue
        }
        expectEqual(await value(), '604800000', 'retention.ms by default')
        const configEntries = [{ name: 'retention.ms', value: '120000' }]
        await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] })
        await until('the new value', 5_000, async () => ((await value()) === '120000' ? true : null))
      },
    },
    {
      name: 'admin: describeCluster',
      run: async () => {
        const admin = await clients.admin()
        const cluster = await admin.describeCluster()
        expectEqual(cluster.brokers.length, 1, 'brokers')
        expectEqual(cluster.brokers[0]?.port, clients.context.broker.port, 'port')
        expect(cluster.clusterId.length > 0, 'no cluster id')
      },
    },
    {
      name: 'admin: listPartitionReassignments is empty',
      run: async () => {
        const admin = await clients.admin()
        expectEqual((await admin.listPartitionReassignments({})).topics, [], 'reassignments')
      },
    },
    {
      name: 'admin: access control lists',
      run: async () => {
        const admin = await clients.admin()
        const rule = {
          resourceType: AclResourceTypes.TOPIC,
          resourceName: clients.name('acl'),
          resourcePatternType: ResourcePatternTypes.LITERAL,
          principal: 'User:bob',
          host: '*',
          operation: AclOperationTypes.READ,
          permissionType: AclPermissionTypes.ALLOW,
        }
        await admin.createAcls({ acl: [rule] })
        expectEqual((await admin.describeAcls(rule)).resources.length, 1, 'rules')
      },
    },
  ]
}

function offsetChecks(clients: Clients): Check[] {
  return [
    {
      name: 'admin: fetchTopicOffsets and by timestamp',
      run: async () => {
        const topic = await filled(clients, 'topic-offsets', 10)
        const admin = await clients.admin()
        const [ends] = await admin.fetchTopicOffsets(topic)
        expectEqual([ends?.low, ends?.high], ['0', '10'], 'low and high')
        const [at] = await admin.fetchTopicOffsetsByTimestamp(topic, 1_000_004)
        expectEqual(at?.offset, '4', 'offset at the timestamp')
        const [after] = await admin.fetchTopicOffsetsByTimestamp(topic, 2_000_000)
        expectEqual(after?.offset, '10', 'offset after the last timestamp')
      },
    },
    {
      name: 'admin: deleteTopicRecords',
      run: async () => {
        const topic = await filled(clients, 'delete-records', 10)
        const admin = await clients.admin()
        // kafkajs deletes only where it knows the leader already.
        await admin.fetchTopicOffsets(topic)
        await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
        const [ends] = await admin.fetchTopicOffsets(topic)
        expectEqual([ends?.low, ends?.high], ['6', '10'], 'low and high')
        const reads = await clients.readAll(topic, 4)
        expectEqual(
          reads.map((read) => read.value),
          ['6', '7', '8', '9'],
          'values left',
        )
      },
    },
    {
      name: 'admin: fetchOffsets, setOffsets, resetOffsets',
      run: async () => {
        const topic = await filled(clients, 'group-offsets', 8)
        const admin = await clients.admin()
        const groupId = await emptyGroup(clients, topic, 8)
        const offset = async (): Promise<string | undefined> =>
          (await admin.fetchOffsets({ groupId, topics: [topic] }))[0]?.partitions[0]?.offset
        expectEqual(await offset(), '8', 'committed')
        await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '3' }] })
        expectEqual(await offset(), '3', 'set')
        await admin.resetOffsets({ groupId, topic, earliest: true })
        expect(['-2', '0'].includes((await offset()) ?? ''), 'not reset')
      },
    },
  ]
}

function groupChecks(clients: Clients): Check[] {
  return [
    {
      name: 'admin: listGroups, describeGroups, deleteGroups',
      run: async () => {
        const topic = await filled(clients, 'groups', 2)
        const admin = await clients.admin()
        const groupId = `${topic}-g`
        const member = await clients.gather(topic, groupId)
        await member.reach(2)
        expect(
          (await admin.listGroups()).groups.some((group) => group.groupId === groupId),
          'not listed',
        )
        const described = (await admin.describeGroups([groupId])).groups[0]
        expectEqual([described?.state, described?.members.length], ['Stable', 1], 'state and members')
        const refused = await admin.deleteGroups([groupId]).then(
          () => null,
          (error: unknown) => error,
        )
        expect(refused !== null, 'a group with a member was deleted')
        await member.consumer.disconnect()
        await until('an empty group', 10_000, async () => {
          const now = (await admin.describeGroups([groupId])).groups[0]
          return now?.state === 'Empty' ? true : null
        })
        await admin.deleteGroups([groupId])
        expect(!(await admin.listGroups()).groups.some((group) => group.groupId === groupId), 'still listed')
      },
    },
    {
      name: 'admin: a group nobody made is Dead',
      run: async () => {
        const admin = await clients.admin()
        const described = (await admin.describeGroups([clients.name('nobody')])).groups[0]
        expectEqual([described?.state, described?.members.length], ['Dead', 0], 'state and members')
      },
    },
  ]
}

export function administering(clients: Clients): Check[] {
  return [...topicChecks(clients), ...offsetChecks(clients), ...groupChecks(clients)]
}
