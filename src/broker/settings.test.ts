// Settings through the door: judged, shown, changed, kept; and the page that tells people of them.
// Promises: nothing is accepted and ignored; what is shown is in force, with where it comes from.
// Does not know: protocols.

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { logId } from '../log/store.ts'
import { openBroker, SettingError } from './broker.ts'
import {
  brokerSettingRows,
  brokerSettings,
  judgeBrokerSetting,
  normaliseBrokerSettings,
} from './settings/broker-settings.ts'
import { testBatch, testIdentity, testWorld } from './broker-world.contract.ts'
import type { ConfigResource, SettingChange } from './door.ts'
import { isRefusal } from './errors.ts'
import { judgeValue, numberOf } from './settings/setting-values.ts'
import { StubStore } from './stub-store.contract.ts'
import { compilePolicy, judgeTopicSettings } from './settings/topic-policy.ts'
import { topicSettingRows, topicSettings } from './settings/topic-settings.ts'

const ofTopic: ConfigResource = { kind: 'topic', name: 't' }
const ofBroker: ConfigResource = { kind: 'broker', name: '1' }
const set = (name: string, value: string | null): SettingChange => ({ name, operation: 'set', value })

async function bench(settings: Record<string, string | number | boolean> = {}, store = new StubStore()) {
  const world = testWorld()
  const broker = await openBroker(world, store, { settings, listeners: 'PLAINTEXT://h:1', dataPath: '/d' })
  const session = broker.session(testIdentity)
  const found = await session.findOrCreateTopic('t')
  if (isRefusal(found)) throw new Error(found.why)
  const shown = (resource: ConfigResource, name: string) => {
    const views = session.describeSettings(resource)
    return isRefusal(views) ? undefined : views.find((view) => view.name === name)
  }
  const log = () => store.logs.get(logId(found.id, 0))
  return { world, store, broker, session, shown, log }
}

test('numbers are judged by their type, to the last digit', () => {
  const cases: readonly (readonly ['int' | 'long' | 'short' | 'double' | 'boolean', string, boolean])[] = [
    ['int', '2147483647', true],
    ['int', '2147483648', false],
    ['int', '-1', true],
    ['int', '1.5', false],
    ['int', '', false],
    ['int', '0x10', false],
    ['short', '32768', false],
    ['long', '9223372036854775807', true],
    ['long', '9223372036854775808', false],
    ['long', '00000000000000000000001', true],
    ['double', '0.5', true],
    ['double', 'half', false],
    ['boolean', 'TRUE', true],
    ['boolean', '1', false],
  ]
  for (const [type, text, isFine] of cases)
    expect([type, text, judgeValue({ type }, text) === undefined]).toEqual([type, text, isFine])
  expect(numberOf('9223372036854775807')).toBe(Number.MAX_SAFE_INTEGER)
})

test('every default is a valid value of its setting, and every setting says what it does', () => {
  for (const row of topicSettingRows) {
    expect([row.name, judgeTopicSettings(new Map([[row.name, row.byDefault]]))]).toEqual([row.name, undefined])
    expect(row.documentation.length).toBeGreaterThan(20)
  }
  for (const row of brokerSettingRows)
    if (row.byDefault !== null)
      expect([row.name, judgeBrokerSetting(row.name, row.byDefault)]).toEqual([row.name, undefined])
  expect(new Set(topicSettingRows.map((row) => row.name)).size).toBe(topicSettingRows.length)
  expect(new Set(brokerSettingRows.map((row) => row.name)).size).toBe(brokerSettingRows.length)
})

/** A valid value other than the default. */
function otherValue(name: string): string {
  const row = topicSettings.get(name)
  if (row === undefined) throw new Error(name)
  if (row.type === 'boolean') return row.byDefault === 'true' ? 'false' : 'true'
  const word = row.words?.find((one) => one !== row.byDefault && one !== 'compact')
  if (word !== undefined) return word
  if (row.type === 'double') return '0.25'
  return row.type === 'list' || row.type === 'string' ? '0:1' : String(Math.max(row.min ?? 1, 0) + 7)
}

test('a setting is honoured, or true whatever its value, or refuses a change', () => {
  const texts = new Map(topicSettingRows.map((row) => [row.name, row.byDefault]))
  const defaults = compilePolicy((name) => texts.get(name) ?? '')
  for (const { name, kind } of topicSettingRows) {
    // These change something only together with another value, or cannot be changed yet.
    if (name === 'cleanup.policy' || name.endsWith('.level')) continue
    const value = otherValue(name)
    // Of what is consumed it speaks alone.
    const beside = name === 'consumed.hold.groups' ? [['cleanup.policy', 'consumed'] as const] : []
    const refusal = judgeTopicSettings(new Map([[name, value], ...beside]))
    expect([name, refusal?.refused]).toEqual([name, kind === 'fixed' ? 'invalidSetting' : undefined])
    const more = name.startsWith('flush.') ? new Map([['durability', 'os']]) : new Map<string, string>()
    const before = compilePolicy((one) => more.get(one) ?? texts.get(one) ?? '')
    const after = compilePolicy((one) => (one === name ? value : (more.get(one) ?? texts.get(one) ?? '')))
    // What is honoured changes what the broker works with; what is true as it stands changes nothing.
    if (kind === 'honoured') expect([name, after]).not.toEqual([name, before])
    else
      expect([name, compilePolicy((one) => (one === name ? value : (texts.get(one) ?? '')))]).toEqual([name, defaults])
  }
})

test('contradictions and what is not built are refused with a reason', () => {
  const refusals: readonly (readonly [Record<string, string>, string])[] = [
    [{ 'cleanup.policy': 'compact' }, 'policyViolation'],
    [{ 'cleanup.policy': 'compact,delete' }, 'policyViolation'],
    [{ 'cleanup.policy': 'shred' }, 'invalidSetting'],
    [{ 'cleanup.policy': '' }, 'invalidSetting'],
    [{ durability: 'os', 'flush.messages': '1' }, 'invalidSetting'],
    [{ durability: 'none' }, 'invalidSetting'],
    [{ 'min.insync.replicas': '2' }, 'invalidSetting'],
    [{ 'remote.storage.enable': 'true' }, 'invalidSetting'],
    [{ 'segment.bytes': '10' }, 'invalidSetting'],
    [{ 'message.downconversion.enable': 'true' }, 'invalidSetting'],
  ]
  for (const [settings, refused] of refusals)
    expect(judgeTopicSettings(new Map(Object.entries(settings)))).toMatchObject({
      refused,
      why: expect.stringMatching(/.{20}/),
    })
  expect(judgeTopicSettings(new Map([['min.insync.replicas', ' 1 ']]))).toBeUndefined()
})

test('flush.messages=1 makes a topic durable by commit', async () => {
  const { session, log, world } = await bench({ durability: 'os' })
  await session.produce({ topic: { name: 't' }, partition: 0, batch: testBatch(world.clock), acks: 1 })
  expect(log()?.settings.durability).toBe('os')
  expect(await session.alterSettings(ofTopic, [set('flush.messages', '1')], 'incremental', false)).toBe(true)
  expect(log()?.settings.durability).toBe('commit')
})

test('a value is shown with where it comes from', async () => {
  const { session, shown } = await bench({ 'log.retention.ms': 5000 })
  const static_ = { name: 'log.retention.ms', value: '5000', source: 'static' }
  const byDefault = { name: 'log.retention.ms', value: '604800000', source: 'default' }
  expect(shown(ofTopic, 'retention.ms')).toMatchObject({
    value: '5000',
    source: 'static',
    isDefault: false,
    synonyms: [static_, byDefault],
  })
  await session.alterSettings(ofBroker, [set('log.retention.ms', '6000')], 'incremental', false)
  const changed = { name: 'log.retention.ms', value: '6000', source: 'broker' }
  expect(shown(ofTopic, 'retention.ms')).toMatchObject({
    value: '6000',
    source: 'broker',
    synonyms: [changed, static_, byDefault],
  })
  await session.alterSettings(ofTopic, [set('retention.ms', '7000')], 'incremental', false)
  const own = { name: 'retention.ms', value: '7000', source: 'topic' }
  expect(shown(ofTopic, 'retention.ms')).toMatchObject({
    value: '7000',
    source: 'topic',
    synonyms: [own, changed, static_, byDefault],
  })
  expect(shown(ofTopic, 'segment.bytes')).toMatchObject({
    source: 'default',
    isDefault: true,
    type: 'int',
    readOnly: false,
  })
  expect(shown(ofBroker, 'log.retention.ms')).toMatchObject({ value: '6000', source: 'broker', readOnly: false })
  expect(shown(ofBroker, 'listeners')).toMatchObject({ value: 'PLAINTEXT://h:1', source: 'static', readOnly: true })
  expect(shown(ofBroker, 'log.dirs')).toMatchObject({ value: '/d' })
  expect(shown(ofBroker, 'advertised.listeners')).toMatchObject({ value: null })
  expect(session.describeSettings({ kind: 'broker', name: '' })).toMatchObject([
    { name: 'log.retention.ms', value: '6000' },
  ])
  expect(session.describeSettings({ kind: 'broker', name: '2' })).toMatchObject({ refused: 'invalidRequest' })
  expect(session.describeSettings({ kind: 'topic', name: 'x' })).toMatchObject({ refused: 'unknownTopic' })
})

test('changes: one at a time, all at once, lists by word; judged whole or not done', async () => {
  const { session, shown } = await bench()
  const alter = (
    changes: readonly SettingChange[],
    mode: 'replace' | 'incremental' = 'incremental',
    validateOnly = false,
  ) => session.alterSettings(ofTopic, changes, mode, validateOnly)
  const value = (name: string) => shown(ofTopic, name)?.value
  expect(await alter([set('retention.ms', '1000'), set('max.message.bytes', '5000')])).toBe(true)
  expect(await alter([set('retention.ms', '2000'), set('no.such', '1')])).toMatchObject({ refused: 'invalidSetting' })
  expect(await alter([set('retention.ms', '2000')], 'incremental', true)).toBe(true)
  expect(value('retention.ms')).toBe('1000')
  expect(await alter([{ name: 'retention.ms', operation: 'delete', value: null }])).toBe(true)
  expect(value('retention.ms')).toBe('604800000')
  expect(await alter([set('segment.ms', '60000')], 'replace')).toBe(true)
  expect(value('max.message.bytes')).toBe('1048588')
  expect(await alter([set('segment.ms', '1'), set('segment.ms', '2')])).toMatchObject({ refused: 'invalidRequest' })
  const throttled = 'leader.replication.throttled.replicas'
  expect(await alter([{ name: throttled, operation: 'append', value: '0:1,1:1' }])).toBe(true)
  expect(await alter([{ name: throttled, operation: 'append', value: '1:1,2:1' }])).toBe(true)
  expect(await alter([{ name: throttled, operation: 'subtract', value: '0:1' }])).toBe(true)
  expect(value(throttled)).toBe('1:1,2:1')
  expect(await alter([{ name: 'segment.ms', operation: 'append', value: '1' }])).toMatchObject({
    refused: 'invalidSetting',
  })
  expect(await alter([{ name: 'cleanup.policy', operation: 'append', value: 'compact' }])).toMatchObject({
    refused: 'policyViolation',
  })
})

test('a smaller batch limit counts from the next batch on, a topic being written to included', async () => {
  const { session, world } = await bench()
  const send = () =>
    session.produce({
      topic: { name: 't' },
      partition: 0,
      batch: testBatch(world.clock, { values: ['x'.repeat(100)] }),
      acks: 1,
    })
  expect(await send()).toMatchObject({ baseOffset: 0 })
  await session.alterSettings(ofTopic, [set('max.message.bytes', '50')], 'incremental', false)
  expect(await send()).toMatchObject({ refused: 'batchTooLarge' })
  await session.alterSettings(ofBroker, [set('message.max.bytes', '60')], 'incremental', false)
  await session.alterSettings(ofTopic, [], 'replace', false)
  expect(await send()).toMatchObject({ refused: 'batchTooLarge' })
})

test('of the broker, what is read only at start is not changed while running', async () => {
  const { session, shown } = await bench()
  const alter = (change: SettingChange, name = '1') =>
    session.alterSettings({ kind: 'broker', name }, [change], 'incremental', false)
  expect(await alter(set('auto.create.topics.enable', 'false'))).toMatchObject({ refused: 'invalidSetting' })
  expect(await alter(set('node.id', '2'))).toMatchObject({ refused: 'invalidSetting' })
  expect(await alter(set('no.such', '2'))).toMatchObject({ refused: 'invalidSetting' })
  expect(await alter(set('num.partitions', 'many'))).toMatchObject({ refused: 'invalidSetting' })
  expect(await alter(set('log.cleanup.policy', 'compact'))).toMatchObject({ refused: 'invalidSetting' })
  expect(await alter(set('num.partitions', '3'), '2')).toMatchObject({ refused: 'invalidRequest' })
  expect(await alter(set('num.partitions', '3'), '')).toBe(true)
  expect(shown(ofBroker, 'num.partitions')).toMatchObject({ value: '3' })
  expect(await alter({ name: 'num.partitions', operation: 'delete', value: null })).toBe(true)
  expect(shown(ofBroker, 'num.partitions')).toMatchObject({ value: '1', source: 'default' })
  expect(await session.alterSettings({ kind: 'group', name: 'g' }, [], 'incremental', false)).toMatchObject({
    refused: 'invalidRequest',
  })
})

test('a configuration that cannot be is refused before anything opens, in one line a setting', async () => {
  const store = new StubStore()
  const wrong = { 'num.partitions': 0, 'no.such': 1, 'default.replication.factor': 3 }
  await expect(openBroker(testWorld(), store, { settings: wrong })).rejects.toThrow(SettingError)
  await expect(openBroker(testWorld(), store, { settings: wrong })).rejects.toThrow(
    /num\.partitions=0.*no\.such=1.*default\.replication\.factor=3/,
  )
  expect(store.list()).toEqual([])
})

test('hours and minutes are kept in milliseconds, the finer unit wins', () => {
  expect(normaliseBrokerSettings({ 'log.retention.hours': 2 }).get('log.retention.ms')).toBe('7200000')
  expect(normaliseBrokerSettings({ 'log.retention.minutes': -1 }).get('log.retention.ms')).toBe('-1')
  expect(normaliseBrokerSettings({ 'log.retention.hours': 2, 'log.retention.ms': 5 }).get('log.retention.ms')).toBe('5')
})

const classes = { honoured: 'honoured', true: 'true as it stands', fixed: 'only the default' } as const
const cell = (text: string | null | undefined): string => (text ? `\`${text}\`` : '')

test('the page for people says what the tables say', () => {
  const page = readFileSync(new URL('../../docs/topic-settings.md', import.meta.url), 'utf8')
  const lines = page.split('\n').map((line) => line.replaceAll(/ +/g, ' '))
  for (const row of topicSettingRows)
    expect(lines).toContain(
      `| \`${row.name}\` | ${row.type} | ${cell(row.byDefault)} | ${classes[row.kind]} | ${cell(row.brokerName)} | ${row.documentation} |`.replaceAll(
        / +/g,
        ' ',
      ),
    )
  for (const row of brokerSettings.values()) {
    if (row.topicRow !== undefined) continue
    const when = row.isDynamic ? 'while running' : row.isFixed === true ? 'no' : 'at start'
    expect(lines).toContain(
      `| \`${row.name}\` | ${row.type} | ${cell(row.byDefault)} | ${when} | ${row.documentation} |`.replaceAll(
        / +/g,
        ' ',
      ),
    )
  }
})

test('how long a stream is kept is what its settings say by now, and no longer than a policy lets it', async () => {
  const { session } = await bench()
  const textArgument = (name: string, value: string) => ({
    name,
    value: { type: 'text', value: Buffer.from(value) } as const,
  })
  await session.queues.declareQueue({
    name: 's',
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: [textArgument('x-queue-type', 'stream'), textArgument('x-max-age', '1h')],
  })
  const stream: ConfigResource = { kind: 'topic', name: 's' }
  const keptMs = async () => {
    const view = await session.queues.describeQueue('s')
    return isRefusal(view) ? view.refused : view.topic.retentionMs
  }
  expect(await keptMs()).toBe(3_600_000)
  await session.alterSettings(stream, [set('retention.ms', '7200000')], 'incremental', false)
  expect(await keptMs()).toBe(7_200_000)
  await session.alterSettings(stream, [], 'replace', false)
  expect(await keptMs()).toBe(3_600_000)
  const policy = {
    name: 'p',
    pattern: '.*',
    appliesTo: 'streams',
    priority: 0,
    definition: { 'max-age': '1m' },
  } as const
  await session.queues.setPolicy(policy, false)
  expect(await keptMs()).toBe(60_000)
})
