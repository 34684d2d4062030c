// Tables for people: columns as wide as their widest cell, numbers to the right.
// Promises: one header line, one line a row; control characters of strangers' names never reach the terminal.
// Does not know: what is in the cells. Programs read --json instead.

export type Cell = string | number

export function table(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const isNumber = columns.map((_, at) => rows.length > 0 && rows.every((row) => isNumeric(row[at])))
  const widths = columns.map((name, at) =>
    Math.max(name.length, ...rows.map((row) => plainText(String(row[at] ?? '')).length)),
  )
  const line = (cells: readonly Cell[]): string =>
    cells
      .map((cell, at) => {
        const text = plainText(String(cell))
        return isNumber[at] ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)
      })
      .join('  ')
      .trimEnd()
  return [line(columns), ...rows.map(line)].join('\n') + '\n'
}

const isNumeric = (cell: Cell | undefined): boolean => typeof cell === 'number' || cell === '-'

/** Control characters are written as escapes: a topic's or a client's name must not move a terminal's cursor. */
export function plainText(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, (char) =>
    char < ' ' ? JSON.stringify(char).slice(1, -1) : codeOf(char),
  )
}

/** JSON leaves those behind the ASCII ones as they are; terminals obey them too. */
const codeOf = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`

export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

/** A duration with its two largest units: 3 d 4 h, 12 min 5 s, 250 ms. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  const units: readonly (readonly [string, number])[] = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1000],
  ]
  const first = units.findIndex(([, unit]) => ms >= unit)
  const parts: string[] = []
  let rest = ms
  for (const [name, unit] of units.slice(first, first + 2)) {
    const count = Math.floor(rest / unit)
    rest -= count * unit
    if (count > 0) parts.push(`${count} ${name}`)
  }
  return parts.join(' ')
}
