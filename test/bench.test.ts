// The README's table against the measurements it is made of.
// Promises: no figure in it was typed by hand.
// Does not know: how they were measured.

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { markdown, newest } from './bench/results.ts'

test('the table of the README is the one that the newest measurements make', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  expect(newest().length).toBeGreaterThan(0)
  expect(readme).toContain(markdown(newest()))
})
