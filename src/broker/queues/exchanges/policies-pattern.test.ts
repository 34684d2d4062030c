// Patterns of policies: as JavaScript's regular expressions where both know the syntax, and in bounded time.
// Promises: one seed for what is compared.
// Does not know: policies.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compilePattern } from './policies-pattern.ts'

function matches(pattern: string, name: string): boolean {
  const compiled = compilePattern(pattern)
  if (typeof compiled === 'string') throw new Error(`${pattern}: ${compiled}`)
  return compiled.matches(name)
}

const atoms = fc.constantFrom('a', 'b', '.', '\\.', '[ab]', '[^a]', '[a-b.]', '\\d', '\\w', '\\W', '^', '$', '\\b', '-')
const { regex } = fc.letrec<{ regex: string }>((tie) => ({
  regex: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    atoms,
    fc.tuple(tie('regex'), tie('regex')).map(([one, other]) => one + other),
    fc.tuple(tie('regex'), tie('regex')).map(([one, other]) => `(${one}|${other})`),
    fc
      .tuple(tie('regex'), fc.constantFrom('*', '+', '?', '{2}', '{1,2}', '{1,}', '*?', '+?'))
      .map(([of, times]) => `(?:${of})${times}`),
    fc.tuple(fc.constantFrom('?=', '?!'), tie('regex')).map(([kind, of]) => `(${kind}${of})`),
  ),
}))
const names = fc.string({ unit: fc.constantFrom('a', 'b', '.', '1', '-'), maxLength: 8 })

test('matches what JavaScript matches', () => {
  fc.assert(
    fc.property(regex, names, (pattern, name) => {
      expect(matches(pattern, name)).toBe(new RegExp(pattern).test(name))
    }),
    { numRuns: 2000, seed: 1 },
  )
})

describe('particulars', () => {
  test.each([
    ['^(?!amq\\.).*', 'amq.gen-1', false],
    ['^(?!amq\\.).*', 'orders', true],
    ['^(orders|invoices)\\.', 'invoices.new', true],
    ['', 'anything', true],
    ['(?i)^ORDERS', 'orders', true],
    ['a(?i)B', 'ab', true],
    ['(?i:A)B', 'aB', true],
    ['(?i:A)B', 'ab', false],
    ['[[:upper:]]', 'aB', true],
    ['[^[:upper:]]', 'AB', false],
    ['[]a]', ']', true],
    ['[a-]', '-', true],
    ['\\x41', 'A', true],
    ['a\\/b', 'a/b', true],
    ['a{', 'a{', true],
    ['(?<name>a)', 'a', true],
    ['a(?#comment)b', 'ab', true],
  ] as const)('%s on %s: %s', (pattern, name, isMatch) => {
    expect(matches(pattern, name)).toBe(isMatch)
  })

  test.each(['(', ')', 'a**?(', '[a', '[b-a]', '*a', 'a{3,2}', '\\', '(?<=a)b', '(a)\\1', '\\y', '[[:none:]]', 'a++'])(
    '%s is refused',
    (pattern) => {
      expect(compilePattern(pattern)).toEqual(expect.stringContaining('should be regular expression but is invalid'))
    },
  )

  test('no pattern takes long', () => {
    const name = 'a'.repeat(255)
    // A search that tries again what failed would not come back from any of these.
    for (const pattern of ['(a+)+$b', '(a|a)*b', '.*.*.*.*.*.*.*.*b', '(?:a?){200}a{200}b', '(?!(a*)*b)(a*)*c'])
      expect(matches(pattern, name)).toBe(false)
    expect(compilePattern('((a{200}){200}){200}')).toEqual(expect.stringContaining('too large'))
    expect(compilePattern('('.repeat(100) + ')'.repeat(100))).toEqual(expect.stringContaining('deeply nested'))
  })
})
