// Tables of settings and quotas: read and changed.
// Promises: field for field the Kafka 4.4 message definitions.
// Does not know: which settings exist and what they mean.

import { array, bool, float64, int16, int32, int8, list, message, string, versions } from '../../../base/schema.ts'
import type { ValueOf } from '../../../base/schema.ts'

export const DescribeConfigsRequest = message(versions(1, 4, { flexible: 4 }), {
  resources: list({
    resourceType: int8(),
    resourceName: string(),
    // Null: all keys.
    configurationKeys: array(string(), { nullable: 0 }),
  }),
  includeSynonyms: bool(),
  includeDocumentation: bool({ since: 3 }),
})
export type DescribeConfigsRequest = ValueOf<typeof DescribeConfigsRequest>

export const DescribeConfigsResponse = message(versions(1, 4, { flexible: 4 }), {
  throttleTimeMs: int32(),
  results: list({
    errorCode: int16(),
    errorMessage: string({ nullable: 0, default: null }),
    resourceType: int8(),
    resourceName: string(),
    configs: list({
      name: string(),
      value: string({ nullable: 0 }),
      readOnly: bool(),
      configSource: int8({ default: -1 }),
      isSensitive: bool(),
      synonyms: list({ name: string(), value: string({ nullable: 0 }), source: int8() }),
      configType: int8({ since: 3, ignorable: true }),
      documentation: string({ since: 3, nullable: 0, ignorable: true }),
    }),
  }),
})
export type DescribeConfigsResponse = ValueOf<typeof DescribeConfigsResponse>

// Sets the configs given and resets all others: IncrementalAlterConfigs (KIP-339) is what people mean.
export const AlterConfigsRequest = message(versions(0, 2, { flexible: 2 }), {
  resources: list({
    resourceType: int8(),
    resourceName: string(),
    configs: list({ name: string(), value: string({ nullable: 0 }) }),
  }),
  validateOnly: bool(),
})
export type AlterConfigsRequest = ValueOf<typeof AlterConfigsRequest>

export const AlterConfigsResponse = message(versions(0, 2, { flexible: 2 }), {
  throttleTimeMs: int32(),
  responses: list({
    errorCode: int16(),
    errorMessage: string({ nullable: 0, default: null }),
    resourceType: int8(),
    resourceName: string(),
  }),
})
export type AlterConfigsResponse = ValueOf<typeof AlterConfigsResponse>

export const IncrementalAlterConfigsRequest = message(versions(0, 1, { flexible: 1 }), {
  resources: list({
    resourceType: int8(),
    resourceName: string(),
    // 0 set, 1 delete, 2 append, 3 subtract.
    configs: list({ name: string(), configOperation: int8(), value: string({ nullable: 0 }) }),
  }),
  validateOnly: bool(),
})
export type IncrementalAlterConfigsRequest = ValueOf<typeof IncrementalAlterConfigsRequest>

export const IncrementalAlterConfigsResponse = message(versions(0, 1, { flexible: 1 }), {
  throttleTimeMs: int32(),
  responses: list({
    errorCode: int16(),
    errorMessage: string({ nullable: 0, default: null }),
    resourceType: int8(),
    resourceName: string(),
  }),
})
export type IncrementalAlterConfigsResponse = ValueOf<typeof IncrementalAlterConfigsResponse>

export const ListConfigResourcesRequest = message(versions(0, 1, { flexible: 0 }), {
  // Empty: all types. Version 0 lists client metrics only, type 16 (KIP-1142).
  resourceTypes: array(int8(), { since: 1 }),
})
export type ListConfigResourcesRequest = ValueOf<typeof ListConfigResourcesRequest>

export const ListConfigResourcesResponse = message(versions(0, 1, { flexible: 0 }), {
  throttleTimeMs: int32(),
  errorCode: int16(),
  configResources: list({
    resourceName: string(),
    resourceType: int8({ since: 1, default: 16, ignorable: true }),
  }),
})
export type ListConfigResourcesResponse = ValueOf<typeof ListConfigResourcesResponse>

/** What a quota is for: pairs like (user, alice); a null name is the default of its kind (KIP-546). */
const entity = list({ entityType: string(), entityName: string({ nullable: 0 }) })

export const DescribeClientQuotasRequest = message(versions(0, 1, { flexible: 1 }), {
  // 0 the name given, 1 the default, 2 any name.
  components: list({ entityType: string(), matchType: int8(), match: string({ nullable: 0 }) }),
  strict: bool(),
})
export type DescribeClientQuotasRequest = ValueOf<typeof DescribeClientQuotasRequest>

export const DescribeClientQuotasResponse = message(versions(0, 1, { flexible: 1 }), {
  throttleTimeMs: int32(),
  errorCode: int16(),
  errorMessage: string({ nullable: 0, default: null }),
  entries: list(
    {
      entity,
      values: list({ key: string(), value: float64() }),
    },
    { nullable: 0 },
  ),
})
export type DescribeClientQuotasResponse = ValueOf<typeof DescribeClientQuotasResponse>

export const AlterClientQuotasRequest = message(versions(0, 1, { flexible: 1 }), {
  entries: list({
    entity,
    ops: list({ key: string(), value: float64(), remove: bool() }),
  }),
  validateOnly: bool(),
})
export type AlterClientQuotasRequest = ValueOf<typeof AlterClientQuotasRequest>

export const AlterClientQuotasResponse = message(versions(0, 1, { flexible: 1 }), {
  throttleTimeMs: int32(),
  entries: list({
    errorCode: int16(),
    errorMessage: string({ nullable: 0, default: null }),
    entity,
  }),
})
export type AlterClientQuotasResponse = ValueOf<typeof AlterClientQuotasResponse>
