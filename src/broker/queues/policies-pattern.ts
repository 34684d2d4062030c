// Patterns of policies: regular expressions over the names of queues and exchanges.
// Promises: an invalid pattern is told as RabbitMQ tells it.
// Does not know: policies.

export interface NamePattern {
  matches(name: string): boolean
}

/** RabbitMQ's limit (rabbit_re.erl). */
const patternBytesMax = 1024

/** The pattern, or what is wrong with it. */
export function compilePattern(pattern: string): NamePattern | string {
  if (Buffer.byteLength(pattern) > patternBytesMax) return `pattern must not exceed ${patternBytesMax} bytes`
  try {
    const compiled = new RegExp(pattern)
    return { matches: (name) => compiled.test(name) }
  } catch (error) {
    return `pattern should be regular expression but is invalid: ${error instanceof Error ? error.message : ''}`
  }
}
