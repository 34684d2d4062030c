#!/usr/bin/env node
// The command line: argv to one command, loaded when it is asked for.
// Promises: exit codes of exit.ts; a failure is its message on stderr and nothing else.
// Does not know: what the commands do.

import { Command, CommanderError } from 'commander'
import { CommandFailure, exitCodes } from './exit.ts'
import { version } from './version.ts'

const collect = (value: string, all: readonly string[] = []): string[] => [...all, value]

function commandLine(): Command {
  const program = new Command('odradek')
    .description("One durable log that is a Kafka to Kafka's clients.")
    .version(version)
    .exitOverride()
    .showHelpAfterError('(odradek --help lists what there is)')
  program
    .command('serve')
    .description('run the broker until SIGTERM or Ctrl-C')
    .option('--data <dir>', 'the data folder (default: ./data)')
    .option('--store <url>', 'file:DIR, or memory: to keep nothing')
    .option('--kafka <host:port>', 'where Kafka clients connect, port 0 for any free one (default: 127.0.0.1:9092)')
    .option('--advertise <host:port>', 'the address clients are told (default: the one they connected to)')
    .option('--durability <commit|os>', 'what an acknowledgement means: synced to disk, or given to the kernel')
    .option('--config <file>', 'a YAML file with these options and `settings`')
    .option('--set <key=value>', "a broker setting by Kafka's name, for example num.partitions=3; repeatable", collect)
    .option('--json', 'print one ready line as JSON and log as JSON')
    .option('--log-level <level>', 'silent, error, warn or info')
    .action(async (flags) => (await import('./serve.ts')).serve(flags, process.env))
  return program
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
