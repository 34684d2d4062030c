#!/usr/bin/env node
// The command line: argv to one command, loaded when it is asked for.
// Promises: exit codes of exit.ts; a failure is its message on stderr and nothing else.
// Does not know: what the commands do.

import { Command, CommanderError } from 'commander'
import { CommandFailure, exitCodes } from './exit.ts'
import { addQueueCommands } from './main-queues.ts'
import { version } from './version.ts'

const collect = (value: string, all: readonly string[] = []): string[] => [...all, value]

function commandLine(): Command {
  const program = new Command('odradek')
    .description("One durable log that is a Kafka to Kafka's clients and a RabbitMQ to RabbitMQ's.")
    .version(version)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(usageLine(text)) })
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 exists already, 5 no broker answers.',
    )
  addServe(program)
  addTopics(program)
  addProduce(program)
  addConsume(program)
  addGroups(program)
  addQueueCommands(program, process.env.ODRADEK_DATA ?? './data')
  addInspect(program)
  return program
}

/** What commander says of a wrong command line, as every other failure is said: one line, and what to do. */
const usageLine = (text: string): string => {
  const said = text
    .trim()
    .replaceAll('\n', ' ')
    .replace(/^error: /, '')
    .replace(/\.$/, '')
  return `odradek: ${said}; odradek --help lists what there is\n`
}

function addServe(program: Command): void {
  program
    .command('serve')
    .description('run the broker until SIGTERM or Ctrl-C')
    .option('--data <dir>', 'the data folder (default: ./data)')
    .option('--store <url>', 'file:DIR, or memory: to keep nothing')
    .option('--kafka <host:port>', 'where Kafka clients connect, port 0 for any free one (default: 127.0.0.1:9092)')
    .option('--amqp <host:port>', "where RabbitMQ's clients connect, or off (default: 127.0.0.1:5672)")
    .option('--advertise <host:port>', 'the address clients are told (default: the one they connected to)')
    .option('--durability <commit|os>', 'what an acknowledgement means: synced to disk, or given to the kernel')
    .option('--config <file>', 'a YAML file with these options and `settings`')
    .option('--set <key=value>', "a broker setting by Kafka's name, for example num.partitions=3; repeatable", collect)
    .option('--json', 'print one ready line as JSON and log as JSON')
    .option('--log-level <level>', 'silent, error, warn or info')
    .action(async (flags) => (await import('./serve.ts')).serve(flags, process.env))
}

/** A command that talks to a broker, ours or a real Kafka. */
function kafkaCommand(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .option(
      '--kafka <host:port>',
      'a broker to ask, several separated by commas',
      process.env.ODRADEK_KAFKA ?? '127.0.0.1:9092',
    )
    .option('--json', 'print JSON for programs')
}

function addTopics(program: Command): void {
  const topics = program.command('topics').description('list, create, describe, delete and alter topics')
  kafkaCommand(topics, 'list', 'all topics')
    .option('--internal', 'also those that Kafka keeps for itself')
    .action(async (flags) => (await import('./topics.ts')).listTopics(flags))
  kafkaCommand(topics, 'create <topic>', 'make a topic')
    .option('--partitions <n>', "how many (default: the broker's num.partitions)")
    .option('--replication-factor <n>', "how many replicas (default: the broker's)")
    .option('--set <key=value>', 'a topic setting, for example retention.ms=86400000; repeatable', collect)
    .option('--if-not-exists', 'no failure when it is there already')
    .action(async (topic, flags) => (await import('./topics.ts')).createTopic(topic, flags))
  kafkaCommand(topics, 'describe <topic>', 'partitions, offsets, sizes and settings').action(async (topic, flags) =>
    (await import('./topics.ts')).describeTopic(topic, flags),
  )
  kafkaCommand(topics, 'delete <topic...>', 'delete topics and all that is in them').action(async (names, flags) =>
    (await import('./topics.ts')).deleteTopics(names, flags),
  )
  kafkaCommand(topics, 'alter <topic>', 'change settings or add partitions')
    .option('--partitions <n>', 'the new number; it can only grow')
    .option('--set <key=value>', 'a topic setting; repeatable', collect)
    .option('--unset <key>', 'a setting to put back to its default; repeatable', collect)
    .action(async (topic, flags) => (await import('./topics.ts')).alterTopic(topic, flags))
}

function addProduce(program: Command): void {
  kafkaCommand(program, 'produce <topic>', 'send lines of stdin as records')
    .option('--file <path>', 'lines of this file instead')
    .option('--key <key>', 'the key of every record')
    .option('--key-separator <text>', 'each line is KEY, this text, VALUE')
    .option('--header <name=value>', 'a header of every record; repeatable', collect)
    .option('--compression <codec>', 'none, gzip, snappy, lz4 or zstd', 'none')
    .option('--partition <n>', 'this partition (default: by key as the Java client, else in turn)')
    .option('--acks <0|1|all>', 'what to wait for', 'all')
    .action(async (topic, flags) => (await import('./produce.ts')).produce(topic, flags))
}

function addConsume(program: Command): void {
  kafkaCommand(program, 'consume <topic>', 'print records, by default from now on until Ctrl-C')
    .option('--from-beginning', 'start at the oldest record (with --group: where it has no offset yet)')
    .option('--group <name>', 'as a member of this consumer group: shares partitions, commits offsets')
    .option('--offset <n>', 'start at this offset; -n: n before the end; earliest; latest')
    .option('--timestamp <time>', 'start at the first record of this time: 2026-11-21T12:30:00Z or ms since 1970')
    .option('--partition <n>', 'this partition only')
    .option('--max-messages <n>', 'stop after this many')
    .option('--exit', 'stop at the end as it is now')
    .option('--format <text>', '%t topic %p partition %o offset %k key %s value %T time %D date %h headers, \\n \\t')
    .action(async (topic, flags) => (await import('./consume.ts')).consume(topic, flags))
}

function addGroups(program: Command): void {
  const groups = program.command('groups').description('list, describe, reset and delete consumer groups')
  kafkaCommand(groups, 'list', 'all groups').action(async (flags) => (await import('./groups.ts')).listGroups(flags))
  kafkaCommand(groups, 'describe <group>', 'members, offsets, lag in records and in time').action(
    async (group, flags) => (await import('./groups.ts')).describeGroup(group, flags),
  )
  kafkaCommand(groups, 'reset <group>', 'move the offsets of a group without running members')
    .option('--topic <name>', 'only this topic (default: all it has offsets in); repeatable', collect)
    .option('--to-earliest', 'to the oldest record')
    .option('--to-latest', 'to the end')
    .option('--to-offset <n>', 'to this offset')
    .option('--to-datetime <time>', 'to the first record of this time: 2026-11-21T12:30:00Z or ms since 1970')
    .option('--shift-by <n>', 'by this many records; negative: back')
    .option('--dry-run', 'show what would change')
    .action(async (group, flags) => (await import('./groups.ts')).resetGroup(group, flags))
  kafkaCommand(groups, 'delete <group...>', 'forget groups and their offsets').action(async (names, flags) =>
    (await import('./groups.ts')).deleteGroups(names, flags),
  )
}

function addInspect(program: Command): void {
  const inspect = program.command('inspect').description('look into files of a data folder')
  inspect
    .command('segment <file>')
    .description("list the batches of a segment file, ours or Kafka's, and check their CRCs")
    .option('--records', 'also print the records, a line of JSON each')
    .option('--json', 'print JSON for programs')
    .action(async (file, flags) => (await import('./inspect.ts')).inspectSegment(file, flags))
}

async function main(): Promise<void> {
  try {
    await commandLine().parseAsync(process.argv)
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    else if (error instanceof CommandFailure) {
      process.stderr.write(error.message.replaceAll(/^/gm, 'odradek: ') + '\n')
      process.exitCode = error.code
    } else throw error
  }
}

await main()
