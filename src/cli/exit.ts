// Exit codes, and the failure that carries one.
// Promises: the same code for the same kind of outcome in every command (docs/operating.md lists them).
// Does not know: which command failed or how its output looks.

export const exitCodes = {
  ok: 0,
  /** What was asked could not be done. */
  failure: 1,
  /** The command line is wrong, or the configuration: nothing was tried. */
  usage: 2,
  /** The topic, group, partition or file named does not exist. */
  notFound: 3,
  /** What should be made exists already. */
  exists: 4,
  /** No broker answers at the address. */
  unreachable: 5,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/**
 * Ends a command: its message is the one line people read (what, why, what to do). Thrown, because a command line has
 * nobody between the place that knows and the exit.
 */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
  readonly code: ExitCode
  constructor(message: string, code: ExitCode = exitCodes.failure) {
    super(message)
    this.code = code
  }
}

/** All that failed, in one: the first one's exit code. */
export function throwAll(failures: readonly CommandFailure[]): void {
  const first = failures[0]
  if (first !== undefined) throw new CommandFailure(failures.map(({ message }) => message).join('\n'), first.code)
}
