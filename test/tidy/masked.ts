// A TypeScript text with its comments and literals blanked, so that rules see code only.
// Promises: same length and same lines as the text given; what stands in ${} of a template stays visible.
// Does not know: any rule. A regular expression is told from a division by what stands before it.

export interface Masked {
  /** Comments, strings, template texts and regular expressions are spaces. */
  readonly code: string
  /** Only comments are spaces: for the rules that read import paths. */
  readonly withoutComments: string
}

/** What may stand before a regular expression, and never before a division. */
const beforeRegex =
  /(^|[([{,;:=!&|?+\-*%~^<>]|\b(return|typeof|case|in|of|do|else|void|delete|throw|new|await|yield))\s*$/

export function masked(text: string): Masked {
  const code = text.split('')
  const withoutComments = text.split('')
  const blank = (target: string[], from: number, to: number): void => {
    for (let index = from; index < to; index++) if (target[index] !== '\n') target[index] = ' '
  }
  /** Depth of braces inside each open ${}; empty outside templates. */
  const templates: number[] = []
  let at = 0
  const literal = (to: number): void => {
    blank(code, at, to)
    at = to
  }
  while (at < text.length) {
    const char = text[at]
    const pair = char + (text[at + 1] ?? '')
    if (pair === '//' || pair === '/*') {
      const end = pair === '//' ? lineEnd(text, at) : blockEnd(text, at)
      blank(withoutComments, at, end)
      literal(end)
    } else if (char === "'" || char === '"') literal(stringEnd(text, at))
    else if (char === '`') literal(templatePart(text, at + 1, templates))
    else if (char === '/' && beforeRegex.test(code.slice(Math.max(0, at - 40), at).join('')))
      literal(regexEnd(text, at))
    else {
      if (char === '{' && templates.length > 0) templates[templates.length - 1]++
      if (char === '}' && templates.length > 0 && templates[templates.length - 1]-- === 0) {
        templates.pop()
        literal(templatePart(text, at + 1, templates))
      } else at++
    }
  }
  return { code: code.join(''), withoutComments: withoutComments.join('') }
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\n', from)
  return end < 0 ? text.length : end
}

function blockEnd(text: string, from: number): number {
  const end = text.indexOf('*/', from + 2)
  return end < 0 ? text.length : end + 2
}

function stringEnd(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === text[from] || text[at] === '\n') return at + 1
  }
  return text.length
}

/** From inside a template to behind its end, or behind the next `${`, which is then noted. */
function templatePart(text: string, from: number, templates: number[]): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '`') return at + 1
    else if (text[at] === '$' && text[at + 1] === '{') {
      templates.push(0)
      return at + 2
    }
  }
  return text.length
}

function regexEnd(text: string, from: number): number {
  let inClass = false
  for (let at = from + 1; at < text.length && text[at] !== '\n'; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '[') inClass = true
    else if (text[at] === ']') inClass = false
    else if (text[at] === '/' && !inClass) return at + 1
  }
  return from + 1
}

/** The line a position lies in, from 1. */
export function lineOf(text: string, at: number): number {
  let line = 1
  for (let index = text.indexOf('\n'); index >= 0 && index < at; index = text.indexOf('\n', index + 1)) line++
  return line
}
