// What a Kafka listener advertises: each API with its versions and who handles it.
// Promises: what works and nothing else, in contiguous ranges; a handler gets the request of its own table.
// Does not know: sockets; how a request was cut.
//
// Versions are those of Kafka 4.4 without its unstable ones, with two exceptions that its
// own brokers make: Produce is advertised from 0 (KAFKA-18659) and refused below 3, JoinGroup is served from 0
// (KAFKA-19444): librdkafka before 2.11 takes their absence for a broker that cannot compress or balance.

import type { InputOf, Table } from '../../base/schema.ts'
import { apis, type AnyApi } from '../../wire/kafka/api-table.ts'
import { decodeRequestBody, encodeResponse, type RequestHead } from '../../wire/kafka/frame.ts'
import type { Answer } from '../conversation.ts'
import { apiVersions } from './api-versions.ts'
import type { AdvertisedApi, Call, Handled } from './call.ts'
import { describeCluster, describeQuorum, updateFeatures } from './cluster.ts'
import { alterConfigs, describeConfigs, incrementalAlterConfigs, listConfigResources } from './configs.ts'
import { fetch } from './fetch.ts'
import { deleteGroups, describeGroups, listGroups } from './group-admin.ts'
import { findCoordinator, heartbeat, joinGroup, leaveGroup, syncGroup } from './groups.ts'
import { deleteRecords, listOffsets, offsetForLeaderEpoch } from './list-offsets.ts'
import { metadata } from './metadata.ts'
import { offsetCommit, offsetDelete, offsetFetch } from './offsets.ts'
import {
  alterPartitionReassignments,
  alterReplicaLogDirs,
  describeLogDirs,
  electLeaders,
  listPartitionReassignments,
} from './one-node.ts'
import { describeProducers, describeTransactions, initProducerId, listTransactions } from './producer-ids.ts'
import { produce } from './produce.ts'
import { alterClientQuotas, describeClientQuotas } from './quotas.ts'
import { createPartitions, createTopics, deleteTopics, describeTopicPartitions } from './topics.ts'

/** One API as served. */
export interface ServedApi {
  readonly api: AnyApi
  /** First and last version that is answered. */
  readonly min: number
  readonly max: number
  /** First version that is advertised. */
  readonly advertisedMin: number
  /** Whether a request may begin while earlier ones of this API are under way. */
  readonly overlaps: boolean
  /** Name of the counter of its requests. */
  readonly counter: string
  answer(call: Call, frame: Buffer, head: RequestHead): Answer | Promise<Answer>
}

/** Every response of ours may carry a throttle time; sending it obliges us to stop reading as long (KIP-219). */
interface Throttled {
  readonly throttleTimeMs?: number
}

function serve<RequestValue, RequestInput, ResponseValue, ResponseInput extends object>(
  api: {
    readonly request: Table<RequestValue, RequestInput>
    readonly response: Table<ResponseValue, ResponseInput>
  } & AnyApi,
  handle: (call: Call, request: RequestValue) => Handled<ResponseInput> | Promise<Handled<ResponseInput>>,
  options: { readonly advertisedMin?: number; readonly overlaps?: boolean } = {},
): ServedApi {
  const [min, max] = api.valid
  const reply = (handled: Handled<ResponseInput>, head: RequestHead): Answer => {
    if ('unanswered' in handled) return { chunks: [], muteMs: handled.throttleTimeMs }
    if ('hangup' in handled) return handled
    const chunks = encodeResponse(api, head.apiVersion, head.correlationId, handled as InputOf<AnyApi['response']>)
    const muteMs = (handled as Throttled).throttleTimeMs ?? 0
    return handled.sent === undefined ? { chunks, muteMs } : { chunks, muteMs, sent: handled.sent }
  }
  return {
    api,
    min,
    max,
    advertisedMin: options.advertisedMin ?? min,
    overlaps: options.overlaps ?? false,
    counter: `kafka.requests.${api.name}`,
    answer: (call, frame, head) => {
      const request = decodeRequestBody(api, frame, head) as RequestValue
      const handled = handle(call, request)
      if (handled instanceof Promise) return handled.then((value) => reply(value, head))
      return reply(handled, head)
    },
  }
}

const served: readonly ServedApi[] = [
  serve(apis.produce, produce, { advertisedMin: 0, overlaps: true }),
  serve(apis.fetch, fetch),
  serve(apis.listOffsets, listOffsets),
  serve(apis.metadata, metadata),
  serve(apis.offsetCommit, offsetCommit),
  serve(apis.offsetFetch, offsetFetch),
  serve(apis.findCoordinator, findCoordinator),
  serve(apis.joinGroup, joinGroup),
  serve(apis.heartbeat, heartbeat),
  serve(apis.leaveGroup, leaveGroup),
  serve(apis.syncGroup, syncGroup),
  serve(apis.describeGroups, describeGroups),
  serve(apis.listGroups, listGroups),
  serve(apis.apiVersions, apiVersions),
  serve(apis.createTopics, createTopics),
  serve(apis.deleteTopics, deleteTopics),
  serve(apis.deleteRecords, deleteRecords),
  serve(apis.initProducerId, initProducerId),
  serve(apis.offsetForLeaderEpoch, offsetForLeaderEpoch),
  serve(apis.describeConfigs, describeConfigs),
  serve(apis.alterConfigs, alterConfigs),
  serve(apis.alterReplicaLogDirs, alterReplicaLogDirs),
  serve(apis.describeLogDirs, describeLogDirs),
  serve(apis.createPartitions, createPartitions),
  serve(apis.deleteGroups, deleteGroups),
  serve(apis.electLeaders, electLeaders),
  serve(apis.incrementalAlterConfigs, incrementalAlterConfigs),
  serve(apis.alterPartitionReassignments, alterPartitionReassignments),
  serve(apis.listPartitionReassignments, listPartitionReassignments),
  serve(apis.offsetDelete, offsetDelete),
  serve(apis.describeClientQuotas, describeClientQuotas),
  serve(apis.alterClientQuotas, alterClientQuotas),
  serve(apis.describeQuorum, describeQuorum),
  serve(apis.updateFeatures, updateFeatures),
  serve(apis.describeCluster, describeCluster),
  serve(apis.describeProducers, describeProducers),
  serve(apis.describeTransactions, describeTransactions),
  serve(apis.listTransactions, listTransactions),
  serve(apis.listConfigResources, listConfigResources),
  serve(apis.describeTopicPartitions, describeTopicPartitions),
]

export const servedByKey: ReadonlyMap<number, ServedApi> = new Map(served.map((entry) => [entry.api.key, entry]))

export const advertised: readonly AdvertisedApi[] = served.map(({ api, advertisedMin, max }) => ({
  apiKey: api.key,
  minVersion: advertisedMin,
  maxVersion: max,
}))
