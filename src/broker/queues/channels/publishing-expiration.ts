// A message's expiration: decimal milliseconds, judged as RabbitMQ judges it.
// Promises: undefined for a legal one, else the reason in the words that follow `invalid expiration 'x': `.
// Does not know: when anything expires.

/** Ten years. */
const expirationMsMax = 315_360_000_000

export function expirationFault(expiration: string): string | undefined {
  const found = /^([+-]?)([0-9]+)/.exec(expiration)
  if (found === null) return 'no_integer'
  const [all, sign, digits] = found
  if (all.length < expiration.length) return `{leftover_string,${quoted(expiration.slice(all.length))}}`
  const value = digits.replace(/^0+(?=.)/, '')
  if (sign === '-' && value !== '0') return `{value_negative,-${value}}`
  return Number(value) > expirationMsMax ? `{value_too_large,${value}}` : undefined
}

const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`
