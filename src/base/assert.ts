// Assertions about ourselves: what must hold whatever a stranger sends.
// Promises: a broken invariant throws InvariantError before anything is written; the process is meant to stop on it.
// Does not know: strangers' input. That is validated and refused (DecodeError, Refusal), never asserted.

/** A broken invariant of our own: a bug. Never used for input from outside. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message)
}
