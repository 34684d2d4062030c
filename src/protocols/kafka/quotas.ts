// Client quotas: DescribeClientQuotas 0–1, AlterClientQuotas 0–1 (KIP-546, KIP-599, KIP-612).
// Promises: entities of users, client ids and addresses with their defaults; filters as Kafka matches them.
// Does not know: which quotas there are and how they are kept.

import type { QuotaEntity, QuotaView } from '../../broker/door.ts'
import { isRefusal, refuse, type Refusal } from '../../broker/errors.ts'
import type { InputOf } from '../../base/schema.ts'
import type {
  AlterClientQuotasRequest,
  AlterClientQuotasResponse,
  DescribeClientQuotasRequest,
  DescribeClientQuotasResponse,
} from '../../wire/kafka/messages/configs.ts'
import { kafkaErrorCode, kafkaErrorMessage, kafkaErrors } from '../errors.ts'
import type { Call } from './call.ts'

const entityTypes = ['user', 'client-id', 'ip'] as const
type EntityType = (typeof entityTypes)[number]

const isEntityType = (type: string): type is EntityType => entityTypes.some((known) => known === type)

const nameOf = (entity: QuotaEntity, type: EntityType): string | null | undefined =>
  type === 'client-id' ? entity.clientId : entity[type]

/** Filters' match types. */
const exact = 0
const isDefault = 1
const anySpecified = 2

type Component = DescribeClientQuotasRequest['components'][number]

export function describeClientQuotas(
  call: Call,
  request: DescribeClientQuotasRequest,
): InputOf<typeof DescribeClientQuotasResponse> {
  const quotas = refuseComponents(request.components) ?? call.session.describeQuotas()
  if (isRefusal(quotas)) {
    return { errorCode: kafkaErrorCode(quotas, 'cluster'), errorMessage: kafkaErrorMessage(quotas), entries: null }
  }
  return {
    errorCode: kafkaErrors.NONE,
    errorMessage: null,
    entries: quotas
      .filter(({ entity }) => matches(entity, request))
      .map(({ entity, values }: QuotaView) => ({
        entity: entityTypes.flatMap((entityType) => {
          const entityName = nameOf(entity, entityType)
          return entityName === undefined ? [] : [{ entityType, entityName }]
        }),
        values: [...values].map(([key, value]) => ({ key, value })),
      })),
  }
}

function refuseComponents(components: readonly Component[]): Refusal | undefined {
  const types = components.map(({ entityType }) => entityType)
  const unknown = types.find((type) => !isEntityType(type))
  if (unknown !== undefined) return refuse('unsupportedVersion', `there are no quotas of entity type ${unknown}`)
  if (new Set(types).size !== types.length) return refuse('invalidRequest', 'an entity type is named twice')
  const bad = components.find(
    ({ matchType, match }) => matchType < exact || matchType > anySpecified || (matchType === exact && match === null),
  )
  return bad && refuse('invalidRequest', `match type ${bad.matchType} with ${bad.match === null ? 'no ' : 'a '}name`)
}

function matches(entity: QuotaEntity, { components, strict }: DescribeClientQuotasRequest): boolean {
  for (const { entityType, matchType, match } of components) {
    if (!isEntityType(entityType)) return false
    const name = nameOf(entity, entityType)
    if (name === undefined) return false
    if (matchType === exact && name !== match) return false
    if (matchType === isDefault && name !== null) return false
  }
  // Strict: no entity that has more than was asked for.
  return !strict || entityTypes.filter((type) => nameOf(entity, type) !== undefined).length === components.length
}

export async function alterClientQuotas(
  call: Call,
  request: AlterClientQuotasRequest,
): Promise<InputOf<typeof AlterClientQuotasResponse>> {
  const entries = request.entries.map(async ({ entity, ops }) => {
    const named = { entity: entity.map(({ entityType, entityName }) => ({ entityType, entityName })) }
    const target = entityOf(entity)
    const changes = new Map(ops.map(({ key, value, remove }) => [key, remove ? null : value]))
    let outcome: true | Refusal
    if (isRefusal(target)) outcome = target
    else if (changes.size !== ops.length) outcome = refuse('invalidRequest', 'a quota is named twice')
    else outcome = await call.session.alterQuotas(target, changes, request.validateOnly)
    if (outcome === true) return { ...named, errorCode: kafkaErrors.NONE, errorMessage: null }
    return { ...named, errorCode: kafkaErrorCode(outcome, 'cluster'), errorMessage: kafkaErrorMessage(outcome) }
  })
  return { entries: await Promise.all(entries) }
}

function entityOf(
  parts: readonly { readonly entityType: string; readonly entityName: string | null }[],
): QuotaEntity | Refusal {
  const names = new Map(parts.map(({ entityType, entityName }) => [entityType, entityName]))
  if (names.size !== parts.length) return refuse('invalidRequest', 'an entity type is named twice')
  if (names.size === 0) return refuse('invalidRequest', 'an entity of no type')
  const unknown = [...names.keys()].find((type) => !isEntityType(type))
  if (unknown !== undefined) return refuse('invalidRequest', `there are no quotas of entity type ${unknown}`)
  if (names.has('ip') && names.size > 1) return refuse('invalidRequest', 'an address goes with no other entity')
  return { user: names.get('user'), clientId: names.get('client-id'), ip: names.get('ip') }
}
