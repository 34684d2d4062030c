// Where commands write: results to stdout, in tables or JSON lines; progress to stderr, on a terminal only.
// Promises: a reader that went away (a closed pipe) ends the program quietly; a slow one is waited for.
// Does not know: what is written.

import { once } from 'node:events'
import { exitCodes } from './exit.ts'

export async function say(text: string | Uint8Array): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}

export const sayJson = (value: unknown): Promise<void> => say(JSON.stringify(value) + '\n')

/** `head` and `less` go before we are done: that is no failure. */
export function endQuietlyOnClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(exitCodes.ok)
    throw error
  })
}

/** A line that is written over, for work that lasts. */
export function progress(): { show(text: string): void; end(): void } {
  const isShown = process.stderr.isTTY
  let wasShown = false
  return {
    show(text) {
      if (!isShown) return
      wasShown = true
      process.stderr.write(`\r\u001b[K${text}`)
    },
    end() {
      if (wasShown) process.stderr.write('\r\u001b[K')
    },
  }
}
