// Regular expressions in Perl's syntax, parsed: literals, classes, groups, choices, repetitions, anchors, lookahead.
// Promises: what it does not know it refuses; a tree as large as the pattern, no deeper than a bound.
// Does not know: how a tree is matched (policies-pattern.ts).

export type Regex =
  | { readonly kind: 'char'; readonly isIn: (code: number) => boolean }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'boundary'; readonly isNegative: boolean }
  | { readonly kind: 'look'; readonly of: Regex; readonly isNegative: boolean }
  | { readonly kind: 'sequence'; readonly parts: readonly Regex[] }
  | { readonly kind: 'choice'; readonly of: readonly Regex[] }
  | { readonly kind: 'repeat'; readonly of: Regex; readonly least: number; readonly most: number }

export class RegexError extends Error {
  override readonly name = 'RegexError'
}

const depthMax = 50
const repeatsMax = 255

type CharTest = (code: number) => boolean

const isDigit: CharTest = (code) => code >= 48 && code <= 57
export const isWord: CharTest = (code) => isDigit(code) || isLetter(code) || code === 95
const isLetter: CharTest = (code) => (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
const isSpace: CharTest = (code) => code === 32 || (code >= 9 && code <= 13)
const not =
  (test: CharTest): CharTest =>
  (code) =>
    !test(code)
const letters: Readonly<Record<string, CharTest>> = {
  d: isDigit,
  w: isWord,
  s: isSpace,
  D: not(isDigit),
  W: not(isWord),
  S: not(isSpace),
}
const controls: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, e: 27, a: 7 }
const named: Readonly<Record<string, CharTest>> = {
  alpha: isLetter,
  digit: isDigit,
  alnum: (code) => isLetter(code) || isDigit(code),
  upper: (code) => code >= 65 && code <= 90,
  lower: (code) => code >= 97 && code <= 122,
  space: isSpace,
  word: isWord,
  punct: (code) => code > 32 && code < 127 && !isLetter(code) && !isDigit(code),
  xdigit: (code) => isDigit(code) || (code >= 65 && code <= 70) || (code >= 97 && code <= 102),
}

export function parseRegex(pattern: string): Regex {
  return new Parser(pattern).parse()
}

class Parser {
  readonly #pattern: string
  #at = 0
  #depth = 0
  #ignoresCase = false

  constructor(pattern: string) {
    this.#pattern = pattern
  }

  parse(): Regex {
    const regex = this.#choice()
    if (this.#at < this.#pattern.length) this.#fail('unmatched closing parenthesis')
    return regex
  }

  #fail(why: string): never {
    throw new RegexError(`{"${why}",${this.#at}}`)
  }

  #takes(text: string): boolean {
    if (!this.#pattern.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #choice(): Regex {
    const of = [this.#sequence()]
    while (this.#takes('|')) of.push(this.#sequence())
    return of.length === 1 ? of[0] : { kind: 'choice', of }
  }

  #sequence(): Regex {
    const parts: Regex[] = []
    while (this.#at < this.#pattern.length && !')|'.includes(this.#pattern[this.#at])) {
      const part = this.#atom()
      if (part !== undefined) parts.push(this.#repeated(part))
    }
    return parts.length === 1 ? parts[0] : { kind: 'sequence', parts }
  }

  #repeated(of: Regex): Regex {
    for (;;) {
      let bounds: readonly [number, number]
      if (this.#takes('*')) bounds = [0, Infinity]
      else if (this.#takes('+')) bounds = [1, Infinity]
      else if (this.#takes('?')) bounds = [0, 1]
      else {
        const counted = /^\{(\d+)(,(\d*))?\}/.exec(this.#pattern.slice(this.#at))
        if (counted === null) return of
        this.#at += counted[0].length
        const least = Number(counted[1])
        const most = counted[2] === undefined ? least : counted[3] === '' ? Infinity : Number(counted[3])
        if (least > repeatsMax || (most !== Infinity && most > repeatsMax))
          this.#fail('number too big in {} quantifier')
        if (most < least) this.#fail('numbers out of order in {} quantifier')
        bounds = [least, most]
      }
      // Whether it takes as much or as little as it can matters only to who asks what was matched.
      if (!this.#takes('?') && this.#takes('+')) this.#fail('possessive quantifiers are not supported')
      of = { kind: 'repeat', of, least: bounds[0], most: bounds[1] }
    }
  }

  /** undefined: nothing that matches (an option, a comment). */
  #atom(): Regex | undefined {
    const char = this.#pattern[this.#at]
    this.#at++
    switch (char) {
      case '(':
        return this.#group()
      case '[':
        return { kind: 'char', isIn: this.#class() }
      case '.':
        return { kind: 'char', isIn: (code) => code !== 10 }
      case '^':
        return { kind: 'start' }
      case '$':
        return { kind: 'end' }
      case '\\':
        return this.#escape()
      case '*':
      case '+':
      case '?':
        return this.#fail('quantifier does not follow a repeatable item')
      default:
        return { kind: 'char', isIn: this.#literal(char.charCodeAt(0)) }
    }
  }

  #group(): Regex | undefined {
    if (++this.#depth > depthMax) this.#fail('parentheses are too deeply nested')
    const ignoresCase = this.#ignoresCase
    if (this.#takes('?#')) return this.#comment()
    if (this.#takes('?i)')) {
      this.#depth--
      this.#ignoresCase = true
      return undefined
    }
    let look: boolean | undefined
    if (this.#takes('?=')) look = false
    else if (this.#takes('?!')) look = true
    else if (this.#takes('?i:')) this.#ignoresCase = true
    else if (!this.#takes('?:')) this.#takeGroupName()
    const of = this.#choice()
    if (!this.#takes(')')) this.#fail('missing closing parenthesis')
    this.#depth--
    this.#ignoresCase = ignoresCase
    return look === undefined ? of : { kind: 'look', of, isNegative: look }
  }

  #comment(): undefined {
    const end = this.#pattern.indexOf(')', this.#at)
    if (end < 0) this.#fail('missing ) after (?# comment')
    this.#at = end + 1
    this.#depth--
  }

  #takeGroupName(): void {
    const name = /^\?P?<[A-Za-z_]\w*>/.exec(this.#pattern.slice(this.#at))
    if (name !== null) this.#at += name[0].length
    else if (this.#pattern[this.#at] === '?') this.#fail('this kind of group is not supported')
  }

  #escape(): Regex {
    const char = this.#pattern[this.#at++]
    if (char === undefined) this.#fail('\\\\ at end of pattern')
    if (char === 'b' || char === 'B') return { kind: 'boundary', isNegative: char === 'B' }
    if (char === 'A') return { kind: 'start' }
    if (char === 'z' || char === 'Z') return { kind: 'end' }
    return { kind: 'char', isIn: letters[char] ?? this.#literal(this.#escapedCode(char)) }
  }

  /** The character that an escape other than a class stands for. */
  #escapedCode(char: string): number {
    if (char === 'x') {
      const hex = /^(?:\{([\da-fA-F]{1,4})\}|([\da-fA-F]{2}))/.exec(this.#pattern.slice(this.#at))
      if (hex === null) this.#fail('invalid escape sequence')
      this.#at += hex[0].length
      return parseInt(hex[1] ?? hex[2], 16)
    }
    const control = controls[char]
    if (control !== undefined) return control
    if (/[A-Za-z0-9]/.test(char)) this.#fail('unrecognized character follows \\\\')
    return char.charCodeAt(0)
  }

  #literal(code: number): CharTest {
    if (!this.#ignoresCase || !isLetter(code)) return (one) => one === code
    const other = code ^ 0x20
    return (one) => one === code || one === other
  }

  #class(): CharTest {
    const isNegative = this.#takes('^')
    const tests: CharTest[] = []
    for (let isFirst = true; isFirst || !this.#takes(']'); isFirst = false) {
      if (this.#at >= this.#pattern.length) this.#fail('missing terminating ] for character class')
      const from = this.#classItem()
      if (typeof from === 'function') {
        tests.push(from)
        continue
      }
      // A hyphen at the end stands for itself.
      const isRange = this.#pattern[this.#at] === '-' && (this.#pattern[this.#at + 1] ?? ']') !== ']'
      if (!isRange) {
        tests.push(this.#literal(from))
        continue
      }
      this.#at++
      const to = this.#classItem()
      if (typeof to === 'function') this.#fail('invalid range in character class')
      if (to < from) this.#fail('range out of order in character class')
      tests.push(this.#range(from, to))
    }
    const isIn: CharTest = (code) => tests.some((test) => test(code))
    return isNegative ? not(isIn) : isIn
  }

  #range(from: number, to: number): CharTest {
    const isIn: CharTest = (code) => code >= from && code <= to
    return this.#ignoresCase ? (code) => isIn(code) || (isLetter(code) && isIn(code ^ 0x20)) : isIn
  }

  /** A character, or a class inside the class. */
  #classItem(): number | CharTest {
    const posix = /^\[:(\^?)(\w+):\]/.exec(this.#pattern.slice(this.#at))
    if (posix !== null) {
      const test = named[posix[2]]
      if (test === undefined) this.#fail('unknown POSIX class name')
      this.#at += posix[0].length
      return posix[1] === '^' ? not(test) : test
    }
    const char = this.#pattern[this.#at++]
    if (char !== '\\') return char.charCodeAt(0)
    const escaped = this.#pattern[this.#at++]
    if (escaped === undefined) this.#fail('\\\\ at end of pattern')
    if (escaped === 'b') return 8
    return letters[escaped] ?? this.#escapedCode(escaped)
  }
}
