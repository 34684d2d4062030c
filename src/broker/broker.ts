// The broker: its rooms put together over one store, and the door to them.
// Promises: openBroker answers when everything is replayed and put right; close leaves nothing that a start must redo.
// Does not know: which engine the store is, which protocols come through the door, where settings were said.

import { assert } from '../base/assert.ts'
import type { World } from '../base/world.ts'
import { MachineLog } from '../log/machine.ts'
import type { Store } from '../log/store.ts'
import { everythingAllowed, type Access } from './access.ts'
import {
  BrokerSettings,
  brokerSettings,
  judgeBrokerSetting,
  normaliseBrokerSettings,
} from './settings/broker-settings.ts'
import { Catalog } from './catalog.ts'
import type { ClusterView, Session, SessionIdentity } from './door.ts'
import { defaultGroupSettings, type GroupSettings } from './groups/group-settings.ts'
import type { TopicDirectory } from './directory.ts'
import { GroupCoordinator } from './groups/coordinator.ts'
import { LagDesk } from './lag-desk.ts'
import { localOwnership } from './ownership.ts'
import { Quotas } from './quotas.ts'
import { QueueHouse, queueMachines } from './queue-rooms.ts'
import { openSession, type Rooms } from './session.ts'
import { SettingDesk } from './setting-desk.ts'
import { NameTurns } from './streams/name-turns.ts'
import { Partitions } from './streams/partitions.ts'
import { ProducerIds } from './streams/producer-ids.ts'
import { ProducerSnapshots } from './streams/producer-snapshots.ts'
import { Retention } from './streams/retention.ts'
import { RoomLeft } from './streams/room-left.ts'
import { settleLogs } from './streams/log-settling.ts'
import { Topics } from './streams/topics.ts'

export interface BrokerConfig {
  /** Default 1. */
  readonly nodeId?: number
  /** undefined: the one kept in the catalog, made at the first start. */
  readonly clusterId?: string
  /** Folder or URL of the data, shown to operators. */
  readonly dataPath?: string
  /** Where clients connect, shown to operators; a function is asked each time, for a port may be known only later. */
  readonly listeners?: string | (() => string)
  readonly advertisedListeners?: string
  /** What an acknowledgement promises for topics that do not say; default commit. */
  readonly durability?: 'commit' | 'os'
  /** Broker settings by Kafka's names (settings/broker-settings.ts), judged before anything opens. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>
  /** Who may do what; default: everybody everything. */
  readonly access?: Access
}

export interface Broker {
  readonly clusterId: string
  readonly nodeId: number
  readonly settings: BrokerSettings
  session(identity: SessionIdentity): Session
  /** Waits for what is under way and keeps what the next start would have to redo. The store stays its owner's. */
  close(): Promise<void>
}

/** A configuration that no broker can start on. */
export class SettingError extends Error {
  override readonly name = 'SettingError'
}

export async function openBroker(world: World, store: Store, config: BrokerConfig): Promise<Broker> {
  const state = await openState(world, store, config)
  const { catalog, settings, machineLog } = state
  const { roomLeft, partitions } = openPartitions(world, store, state)
  const { nodeId } = localOwnership(config.nodeId ?? 1).self
  const turns = new NameTurns()
  const topics = new Topics({
    world,
    store,
    turns,
    catalog,
    machineLog,
    partitions,
    snapshots: state.snapshots,
    nodeId,
    defaultPartitions: () => settings.number('num.partitions'),
    createRefusal: () => roomLeft.createRefusal(),
    configured: (topic) => queues.configured(topic),
    goingWith: (topic, isTopicGone) => queues.goingWith(topic, isTopicGone),
    dropped: (topic, source) => queues.gone(topic, source),
    topicDeleted: (vhost, topic) => state.coordinator.topicDeleted(vhost, topic),
  })
  const createsTopics = () => settings.boolean('auto.create.topics.enable')
  const queues = new QueueHouse({ ...state, world, store, partitions, topics, turns, roomLeft, createsTopics })
  const rooms: Rooms = {
    clock: world.clock,
    access: config.access ?? everythingAllowed,
    topics,
    catalog,
    partitions,
    producerIds: state.producerIds,
    settings: new SettingDesk({
      catalog,
      machineLog,
      topics,
      partitions,
      settings,
      nodeId,
      facts: () => factsOf(config),
      queueOf: (topic) => queues.settingsOf(topic),
    }),
    quotas: state.quotas,
    groups: (vhost) => state.coordinator.forVhost(vhost),
    queues: queues.rooms,
    lag: lagDesk(world, store, state, partitions, queues),
    createsTopics,
    mayTrim: (topic, log, to) => queues.mayTrim(topic, log, to),
    cluster: clusterView(world, store, catalog, nodeId, config.dataPath ?? ''),
  }
  const retention = openRetention(world, store, state, { partitions, roomLeft, queues })
  retention.start()
  return {
    clusterId: catalog.clusterId,
    nodeId,
    settings,
    session: (identity) => openSession(rooms, identity),
    close: async () => {
      state.coordinator.close()
      await retention.close()
      await queues.close()
      await topics.settled()
      await partitions.close()
      machineLog.close()
    },
  }
}

const lagDesk = (world: World, store: Store, state: State, partitions: Partitions, queues: QueueHouse): LagDesk =>
  new LagDesk({ ...state, clock: world.clock, store, partitions, ledgersOf: (queue) => queues.ledgersOf(queue) })

type State = Awaited<ReturnType<typeof openState>>

function openRetention(
  world: World,
  store: Store,
  { catalog, settings }: State,
  rooms: { readonly partitions: Partitions; readonly roomLeft: RoomLeft; readonly queues: QueueHouse },
): Retention {
  const { queues } = rooms
  return new Retention({
    world,
    store,
    catalog,
    settings,
    ...rooms,
    policyOf: (topic) => queues.retentionOf(topic),
    mayTrim: (topic, log, to) => queues.mayTrim(topic, log, to),
    tookAllItsTime: () => queues.tookAllItsTime(),
    lookAtConsumed: () => queues.lookAtConsumed(),
  })
}

function openPartitions(world: World, store: Store, { settings, snapshots, ledgers }: State) {
  const roomLeft = new RoomLeft(world.clock, store, settings)
  const partitions = new Partitions({
    world,
    store,
    snapshots,
    producerIdExpirationMs: settings.number('producer.id.expiration.ms'),
    referredEnd: (id) => ledgers.endOf(id),
    produceRefusal: () => roomLeft.produceRefusal(),
  })
  return { roomLeft, partitions }
}

/** The machines, replayed, and the logs as they say. */
async function openState(world: World, store: Store, config: BrokerConfig) {
  const given = givenSettings(config)
  const catalog = new Catalog(given)
  const settings = new BrokerSettings(given, () => catalog.brokerSettings)
  const producerIds = new ProducerIds()
  const snapshots = new ProducerSnapshots()
  const quotas = new Quotas(world.clock)
  const listed: TopicDirectory = {
    find: (vhost, topic) => catalog.findListed(vhost, topic),
    byId: (id) => catalog.byId(id),
  }
  const coordinator = new GroupCoordinator(world, listed, groupSettings(settings))
  // The catalog first: what the others find out after a replay they look up there.
  const queues = queueMachines(world, catalog)
  const { ledgers, topology, delays, epochs } = queues
  const machines = [catalog, producerIds, quotas, snapshots, ledgers, topology, delays, epochs, ...coordinator.machines]
  const machineLog = await MachineLog.open(world, store, machines)
  for (const machine of [producerIds, quotas, snapshots, ledgers, epochs, coordinator]) machine.start(machineLog)
  await keepClusterId(world, catalog, machineLog, config.clusterId)
  const settled = await settleLogs(store, catalog, delays.ownLogs())
  if (settled.removed > 0 || settled.made > 0) world.trace.info('logs put right', settled)
  return { catalog, settings, producerIds, snapshots, quotas, coordinator, ...queues, machineLog }
}

function groupSettings(settings: BrokerSettings): GroupSettings {
  return {
    ...defaultGroupSettings,
    initialRebalanceDelayMs: settings.number('group.initial.rebalance.delay.ms'),
    sessionTimeoutMsMin: settings.number('group.min.session.timeout.ms'),
    sessionTimeoutMsMax: settings.number('group.max.session.timeout.ms'),
    groupSizeMax: settings.number('group.max.size'),
    offsetsRetentionMs: settings.number('offsets.retention.minutes') * 60_000,
    offsetsRetentionCheckMs: settings.number('offsets.retention.check.interval.ms'),
    offsetMetadataBytesMax: settings.number('offset.metadata.max.bytes'),
  }
}

function clusterView(
  world: World,
  store: Store,
  catalog: Catalog,
  nodeId: number,
  dataPath: string,
): () => ClusterView {
  const startedAtMs = world.clock.nowMs()
  return () => {
    const { usedBytes, freeBytes } = store.usage()
    return { clusterId: catalog.clusterId, nodeId, startedAtMs, dataBytes: usedBytes, freeBytes, dataPath }
  }
}

function givenSettings(config: BrokerConfig): ReadonlyMap<string, string> {
  const said = { ...(config.durability === undefined ? {} : { durability: config.durability }), ...config.settings }
  const problems = Object.entries(said).flatMap(([name, value]) => {
    const wrong = judgeBrokerSetting(name, String(value))
    return wrong === undefined ? [] : [`${name}=${String(value)}: ${wrong}`]
  })
  if (problems.length > 0) throw new SettingError(problems.join('; '))
  return normaliseBrokerSettings(said)
}

async function keepClusterId(
  world: World,
  catalog: Catalog,
  machineLog: MachineLog,
  given: string | undefined,
): Promise<void> {
  if (catalog.clusterId !== '' && (given === undefined || given === catalog.clusterId)) return
  const clusterId = given ?? world.random.bytes(16).toString('base64url')
  await machineLog.append(catalog, [catalog.clusterIdRecord(clusterId)])
}

function factsOf(config: BrokerConfig): ReadonlyMap<string, string> {
  const nodeId = String(config.nodeId ?? 1)
  const facts = new Map([
    ['node.id', nodeId],
    ['broker.id', nodeId],
  ])
  if (config.dataPath !== undefined) facts.set('log.dirs', config.dataPath)
  const { listeners } = config
  if (listeners !== undefined) facts.set('listeners', typeof listeners === 'string' ? listeners : listeners())
  if (config.advertisedListeners !== undefined) facts.set('advertised.listeners', config.advertisedListeners)
  assert(
    [...facts.keys()].every((name) => brokerSettings.has(name)),
    'a fact is a setting',
  )
  return facts
}
