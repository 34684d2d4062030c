// Settings: DescribeConfigs 1–4, AlterConfigs 0–2, IncrementalAlterConfigs 0–1, ListConfigResources 0–1.
// Promises: Kafka's codes for resources, sources and types (KIP-133, 226, 339, 569, 1142); secrets never go out.
// Does not know: which settings there are and what they mean; the broker says.

import type { ConfigResource, SettingChange, SettingSource, SettingView } from '../../broker/door.ts'
import { isRefusal, refuse, type Refusal } from '../../broker/errors.ts'
import type { InputOf } from '../../base/schema.ts'
import type {
  AlterConfigsRequest,
  AlterConfigsResponse,
  DescribeConfigsRequest,
  DescribeConfigsResponse,
  IncrementalAlterConfigsRequest,
  IncrementalAlterConfigsResponse,
  ListConfigResourcesRequest,
  ListConfigResourcesResponse,
} from '../../wire/kafka/messages/configs.ts'
import { kafkaErrorCode, kafkaErrorMessage, kafkaErrors, type KafkaScope } from '../errors.ts'
import type { Call } from './call.ts'

type DescribedResult = NonNullable<InputOf<typeof DescribeConfigsResponse>['results']>[number]
type AlteredResult = NonNullable<InputOf<typeof AlterConfigsResponse>['responses']>[number]

/** ConfigResource.Type. */
const topicType = 2
const brokerType = 4
const brokerLoggerType = 8
const clientMetricsType = 16
const groupType = 32

/** DescribeConfigsResponse.ConfigSource. */
const sources: Readonly<Record<SettingSource, number>> = { topic: 1, broker: 2, static: 4, default: 5, group: 8 }
export const configSource = (source: SettingSource): number => sources[source]

/** DescribeConfigsResponse.ConfigType. */
const types: Readonly<Record<SettingView['type'], number>> = {
  boolean: 1,
  string: 2,
  int: 3,
  short: 4,
  long: 5,
  double: 6,
  list: 7,
  class: 8,
  password: 9,
}

function resourceOf(type: number, name: string): ConfigResource | Refusal {
  if (type === topicType) return { kind: 'topic', name }
  if (type === brokerType) return { kind: 'broker', name }
  if (type === groupType) return { kind: 'group', name }
  if (type === brokerLoggerType) return refuse('invalidRequest', 'this broker has no loggers to set one by one')
  if (type === clientMetricsType) return refuse('invalidRequest', 'this broker takes no metrics from clients')
  return refuse('invalidRequest', `there are no settings of a resource of type ${type}`)
}

const scopeOf = (type: number): KafkaScope => (type === topicType ? 'topic' : type === groupType ? 'group' : 'cluster')

export function describeConfigs(call: Call, request: DescribeConfigsRequest): InputOf<typeof DescribeConfigsResponse> {
  return {
    results: request.resources.map(({ resourceType, resourceName, configurationKeys }): DescribedResult => {
      const settings = settingsOf(call, resourceType, resourceName)
      const named = { resourceType, resourceName }
      if (isRefusal(settings)) {
        return {
          ...named,
          errorCode: kafkaErrorCode(settings, scopeOf(resourceType)),
          errorMessage: kafkaErrorMessage(settings),
        }
      }
      // Null asks for all of them, and so does an empty list (KAFKA-7118).
      const keys = configurationKeys === null || configurationKeys.length === 0 ? undefined : new Set(configurationKeys)
      const asked = settings.filter(({ name }) => keys === undefined || keys.has(name))
      const configs = asked.map((setting) => described(setting, request))
      return { ...named, errorCode: kafkaErrors.NONE, errorMessage: null, configs }
    }),
  }
}

/** This broker has no loggers to set one by one and takes no metrics from clients: of those there are no settings. */
function settingsOf(call: Call, type: number, name: string): readonly SettingView[] | Refusal {
  if (type === brokerLoggerType || type === clientMetricsType) return []
  const resource = resourceOf(type, name)
  return isRefusal(resource) ? resource : call.session.describeSettings(resource)
}

function described(
  setting: SettingView,
  { includeSynonyms, includeDocumentation }: DescribeConfigsRequest,
): NonNullable<DescribedResult['configs']>[number] {
  const shown = (value: string | null): string | null => (setting.sensitive ? null : value)
  return {
    name: setting.name,
    value: shown(setting.value),
    readOnly: setting.readOnly,
    configSource: configSource(setting.source),
    isSensitive: setting.sensitive,
    synonyms: includeSynonyms
      ? setting.synonyms.map(({ name, value, source }) => ({ name, value: shown(value), source: configSource(source) }))
      : [],
    configType: types[setting.type],
    documentation: includeDocumentation ? setting.documentation : null,
  }
}

interface AskedResource {
  readonly resourceType: number
  readonly resourceName: string
  readonly configs: readonly {
    readonly name: string
    readonly value: string | null
    readonly configOperation?: number
  }[]
}

/** AlterConfigOp.OpType. */
const operations: readonly SettingChange['operation'][] = ['set', 'delete', 'append', 'subtract']

export async function alterConfigs(
  call: Call,
  request: AlterConfigsRequest,
): Promise<InputOf<typeof AlterConfigsResponse>> {
  return { responses: await alterAll(call, request.resources, 'replace', request.validateOnly) }
}

export async function incrementalAlterConfigs(
  call: Call,
  request: IncrementalAlterConfigsRequest,
): Promise<InputOf<typeof IncrementalAlterConfigsResponse>> {
  return { responses: await alterAll(call, request.resources, 'incremental', request.validateOnly) }
}

function alterAll(
  call: Call,
  resources: readonly AskedResource[],
  mode: 'replace' | 'incremental',
  validateOnly: boolean,
): Promise<AlteredResult[]> {
  const keyOf = ({ resourceType, resourceName }: AskedResource): string => `${resourceType} ${resourceName}`
  const counts = new Map<string, number>()
  for (const asked of resources) counts.set(keyOf(asked), (counts.get(keyOf(asked)) ?? 0) + 1)
  return Promise.all(
    resources.map(async (asked) => {
      const { resourceType, resourceName } = asked
      const outcome =
        counts.get(keyOf(asked)) !== 1
          ? refuse('invalidRequest', 'the request names the resource twice')
          : await alter(call, asked, mode, validateOnly)
      if (outcome === true) return { resourceType, resourceName, errorCode: kafkaErrors.NONE, errorMessage: null }
      const errorCode = kafkaErrorCode(outcome, scopeOf(resourceType))
      return { resourceType, resourceName, errorCode, errorMessage: kafkaErrorMessage(outcome) }
    }),
  )
}

function alter(
  call: Call,
  { resourceType, resourceName, configs }: AskedResource,
  mode: 'replace' | 'incremental',
  validateOnly: boolean,
): Promise<true | Refusal> | Refusal {
  const resource = resourceOf(resourceType, resourceName)
  if (isRefusal(resource)) return resource
  if (new Set(configs.map(({ name }) => name)).size !== configs.length) {
    return refuse('invalidRequest', 'the request names a setting twice')
  }
  const changes: SettingChange[] = []
  for (const { name, value, configOperation = 0 } of configs) {
    const operation = operations[configOperation]
    if (operation === undefined) return refuse('invalidRequest', `there is no operation ${configOperation}`)
    if (value === null && operation !== 'delete') return refuse('invalidRequest', `${name} is given without a value`)
    changes.push({ name, operation, value })
  }
  return call.session.alterSettings(resource, changes, mode, validateOnly)
}

/** KIP-1142. Version 0 knew client metrics only, of which there are none. */
export function listConfigResources(
  call: Call,
  request: ListConfigResourcesRequest,
): InputOf<typeof ListConfigResourcesResponse> {
  const known = [topicType, brokerType, brokerLoggerType, clientMetricsType, groupType]
  if (request.resourceTypes.some((type) => !known.includes(type))) {
    return { errorCode: kafkaErrors.UNSUPPORTED_VERSION }
  }
  if (call.version === 0) return { errorCode: kafkaErrors.NONE }
  const types = request.resourceTypes.length === 0 ? known : request.resourceTypes
  const configResources: { resourceName: string; resourceType: number }[] = []
  if (types.includes(topicType)) {
    for (const { name } of call.session.listTopics()) {
      configResources.push({ resourceName: name, resourceType: topicType })
    }
  }
  if (types.includes(brokerType)) {
    configResources.push({ resourceName: String(call.session.cluster().nodeId), resourceType: brokerType })
  }
  return { errorCode: kafkaErrors.NONE, configResources }
}
