// Log lines before values of strangers.
// Promises: what a terminal would obey is asked for.
// Does not know: which events there are.

import { expect, test } from 'vitest'
import { lineTrace } from './node-trace.ts'
import { nodeClock } from './node-world.ts'

test("strangers' values cannot move the cursor, nor make a line of their own", () => {
  const lines: string[] = []
  const trace = lineTrace(nodeClock(), { write: (line) => void lines.push(line.slice(13)) })
  trace.warn('event', { user: 'a\u001b[2J\u009b2J\u007f\nb', plain: 'c' })
  expect(lines).toEqual([String.raw`warn: event user="a\u001b[2J\u009b2J\u007f\nb" plain=c`])
})
