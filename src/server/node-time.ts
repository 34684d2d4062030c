// Times as people write and read them: texts to milliseconds since 1970 and back.
// Promises: a text that is no time is undefined; a time without a zone is local time, as people mean it.
// Does not know: what the time is now (the clock of node-world.ts).

/** 2026-11-21, 2026-11-21T12:30:00, 2026-11-21T12:30:00Z or milliseconds since 1970. */
export function parseInstant(text: string): number | undefined {
  if (/^\d{1,16}$/.test(text)) return Number(text)
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return undefined
  // A bare date would be read as UTC, a date with a time as local.
  const value = Date.parse(text.length === 10 ? `${text}T00:00:00` : text)
  return Number.isSafeInteger(value) ? value : undefined
}

/** 2026-11-21T12:30:00.000Z; a stranger's impossible time stays a number. */
export function printInstant(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms)
}
