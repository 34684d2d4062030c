// The part of the command line that is about queues: queues, exchanges, bindings, policies, lag, counters.
// Promises: commands are loaded when they run.
// Does not know: what the commands do.

import type { Command } from 'commander'

const collect = (value: string, all: readonly string[] = []): string[] => [...all, value]

/** A command that asks a running broker through the socket in its data folder. */
interface Parent {
  readonly command: Command
  readonly dataFolder: string
}

function adminCommand({ command, dataFolder }: Parent, name: string, description: string): Command {
  return command
    .command(name)
    .description(description)
    .option('--data <dir>', "the broker's data folder", dataFolder)
    .option('--json', 'print JSON for programs')
}

const argument = ['--argument <key=value>', 'an argument, for example x-message-ttl=60000; repeatable'] as const

/** `dataFolder`: where the broker's data is unless a command says so. */
export function addQueueCommands(program: Command, dataFolder: string): void {
  addQueues(program, dataFolder)
  addExchanges(program, dataFolder)
  addBindings(program, dataFolder)
  addPolicies(program, dataFolder)
  addDeadLetters(program, dataFolder)
  adminCommand({ command: program, dataFolder }, 'lag [name]', 'how far behind groups and queues are, in one table')
    .option('--over <time>', 'how long to look for rates: 500ms, 2s, 1m', '1s')
    .action(async (name, flags) => (await import('./lag.ts')).showLag(name, flags))
  adminCommand(
    { command: program, dataFolder },
    'counters',
    'what happened since the start: drops and their reasons too',
  ).action(async (flags) => (await import('./counters.ts')).listCounters(flags))
}

function addQueues(program: Command, dataFolder: string): void {
  const command = program
    .command('queues')
    .description('list, describe, declare, delete, purge, rewind, get and publish')
  const queues = { command, dataFolder }
  adminCommand(queues, 'list', 'all queues').action(async (flags) => (await import('./queues.ts')).listQueues(flags))
  adminCommand(queues, 'describe <queue>', 'messages, consumers and arguments').action(async (name, flags) =>
    (await import('./queues.ts')).describeQueue(name, flags),
  )
  adminCommand(queues, 'declare <queue>', 'make a queue')
    .option('--transient', 'gone when the broker restarts (default: durable)')
    .option('--auto-delete', 'gone when its last consumer leaves')
    .option('--type <type>', 'classic, quorum or stream')
    .option(...argument, collect)
    .action(async (name, flags) => (await import('./queues.ts')).declareQueue(name, flags))
  adminCommand(queues, 'delete <queue...>', 'delete queues and all that is in them')
    .option('--if-unused', 'only without consumers')
    .option('--if-empty', 'only without messages')
    .action(async (names, flags) => (await import('./queues.ts')).deleteQueues(names, flags))
  adminCommand(queues, 'purge <queue>', 'drop all messages that are ready').action(async (name, flags) =>
    (await import('./queues.ts')).purgeQueue(name, flags),
  )
  adminCommand(queues, 'rewind <queue>', 'go on from another place: what lies behind it comes again')
    .option('--to <place>', 'first, next, or a time: 2026-11-21T12:30Z or milliseconds since 1970')
    .option('--to-offset <n>', 'this offset of each partition')
    .action(async (name, flags) => (await import('./queue-rewind.ts')).rewindQueue(name, flags))
  adminCommand(queues, 'get <queue>', 'show messages and put them back')
    .option('--count <n>', 'how many', '1')
    .option('--ack', 'take them out of the queue instead')
    .action(async (name, flags) => (await import('./queues.ts')).getMessages(name, flags))
  adminCommand(queues, 'publish <routing-key>', 'publish stdin as one message')
    .option('--exchange <name>', 'through this exchange (default: straight to the queue named)')
    .option('--body <text>', 'this text instead of stdin')
    .option('--property <name=value>', 'content_type, expiration, priority …; repeatable', collect)
    .option('--header <name=value>', 'a header; repeatable', collect)
    .action(async (key, flags) => (await import('./queues.ts')).publish(key, flags))
}

function addDeadLetters(program: Command, dataFolder: string): void {
  const command = program.command('dlq').description('send dead letters back')
  adminCommand(
    { command, dataFolder },
    'redrive <source>',
    'move the dead letters of a queue, or copy those of a topic',
  )
    .option('--to <name>', 'this queue or topic (default: where each message was when it first died)')
    .option('--rate <n>', 'at most so many messages a second')
    .option('--count <n>', 'at most so many messages')
    .option('--filter <expr>', 'key=PATTERN, header:NAME=VALUE, reason=REASON or queue=NAME; repeatable', collect)
    .option('--from <offset>', 'begin at this offset of each partition', '0')
    .option('--dry-run', 'only count, and show the first ones')
    .action(async (source, flags) => (await import('./dlq.ts')).redrive(source, flags))
}

function addExchanges(program: Command, dataFolder: string): void {
  const command = program.command('exchanges').description('list, declare and delete exchanges')
  const exchanges = { command, dataFolder }
  adminCommand(exchanges, 'list', 'all exchanges').action(async (flags) =>
    (await import('./exchanges.ts')).listExchanges(flags),
  )
  adminCommand(exchanges, 'declare <exchange>', 'make an exchange')
    .option('--type <type>', 'direct, fanout, topic, headers …', 'direct')
    .option('--transient', 'gone when the broker restarts (default: durable)')
    .option('--auto-delete', 'gone with its last binding')
    .option('--internal', 'only other exchanges may publish to it')
    .option(...argument, collect)
    .action(async (name, flags) => (await import('./exchanges.ts')).declareExchange(name, flags))
  adminCommand(exchanges, 'delete <exchange...>', 'delete exchanges and their bindings')
    .option('--if-unused', 'only without bindings')
    .action(async (names, flags) => (await import('./exchanges.ts')).deleteExchanges(names, flags))
}

function addBindings(program: Command, dataFolder: string): void {
  const command = program.command('bindings').description('list, add and remove bindings')
  const bindings = { command, dataFolder }
  adminCommand(bindings, 'list', 'all bindings').action(async (flags) =>
    (await import('./exchanges.ts')).listBindings(flags),
  )
  const between = (name: string, description: string): Command =>
    adminCommand(bindings, `${name} <exchange> <destination>`, description)
      .option('--key <routing-key>', 'the binding key (default: empty)')
      .option('--to-exchange', 'the destination is an exchange')
      .option(...argument, collect)
  between('add', 'bind a queue to an exchange').action(async (source, destination, flags) =>
    (await import('./exchanges.ts')).addBinding(source, destination, flags),
  )
  between('remove', 'take a binding away').action(async (source, destination, flags) =>
    (await import('./exchanges.ts')).removeBinding(source, destination, flags),
  )
}

function addPolicies(program: Command, dataFolder: string): void {
  const command = program.command('policies').description('list, set and delete policies for queues and exchanges')
  const policies = { command, dataFolder }
  const kinds = (name: string, description: string): Command =>
    adminCommand(policies, name, description).option('--operator', "the operators' policies, which limit the others")
  kinds('list', 'all policies').action(async (flags) => (await import('./policies.ts')).listPolicies(flags))
  kinds('set <policy> <pattern>', 'make or change a policy for all names that match a regular expression')
    .option('--set <key=value>', 'a setting, for example message-ttl=60000; repeatable', collect)
    .option('--apply-to <kind>', 'all, queues, classic_queues, quorum_queues, streams or exchanges', 'all')
    .option('--priority <n>', 'of several that match the highest counts', '0')
    .action(async (name, pattern, flags) => (await import('./policies.ts')).setPolicy(name, pattern, flags))
  kinds('delete <policy...>', 'delete policies').action(async (names, flags) =>
    (await import('./policies.ts')).deletePolicies(names, flags),
  )
}
