// ApiVersions 0–5 (KIP-511, KIP-584, KIP-1242): what this listener speaks.
// Promises: exactly the table of apis.ts; a version of ApiVersions we do not know is answered in version 0.
// Does not know: why something is advertised.

import type { InputOf } from '../../base/schema.ts'
import type { ApiVersionsRequest, ApiVersionsResponse } from '../../wire/kafka/messages/cluster.ts'
import { kafkaErrors } from '../errors.ts'
import type { AdvertisedApi, Call } from './call.ts'

type Response = InputOf<typeof ApiVersionsResponse>

/** ApiVersionsRequest.java: a client software name or version. */
const softwareName = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/

export function apiVersions(call: Call, request: ApiVersionsRequest): Response {
  if (call.version >= 3) {
    const { clientSoftwareName, clientSoftwareVersion } = request
    if (!softwareName.test(clientSoftwareName) || !softwareName.test(clientSoftwareVersion)) {
      return { errorCode: kafkaErrors.INVALID_REQUEST }
    }
  }
  if (call.version >= 5 && isMisrouted(call, request)) return { errorCode: kafkaErrors.REBOOTSTRAP_REQUIRED }
  return {
    errorCode: kafkaErrors.NONE,
    apiKeys: call.advertised,
    // No feature is finalised: transaction.version 2 and group.version 1 promise APIs that are not here. An epoch
    // below 0 would make Java clients ignore the whole answer (ApiVersions.java).
    finalizedFeaturesEpoch: 0,
  }
}

/** KIP-1242: a client that says whom it expected and reached somebody else. It must say both. */
function isMisrouted(call: Call, { clusterId, nodeId }: ApiVersionsRequest): boolean {
  if (clusterId === null || nodeId === -1) return false
  const cluster = call.session.cluster()
  return clusterId !== cluster.clusterId || nodeId !== cluster.nodeId
}

/** For an ApiVersions of a version we do not know: sent in version 0, with the versions to come back with. */
export function unknownApiVersions(own: AdvertisedApi): Response {
  return { errorCode: kafkaErrors.UNSUPPORTED_VERSION, apiKeys: [own] }
}
