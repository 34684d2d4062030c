// A host and port as people write them: 127.0.0.1:9092, [::1]:9092, broker.example:9092.
// Promises: what parses prints the same again; anything else is undefined, never a guess.
// Does not know: whether somebody listens there.

export interface Address {
  readonly host: string
  readonly port: number
}

/** HOST:PORT, an IPv6 host in brackets. `portMin` 0 allows "any free port". */
export function parseAddress(text: string, portMin = 1): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const port = Number(match[3])
  if (port < portMin || port > 65535) return undefined
  return { host: match[1] ?? match[2], port }
}

export function printAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Whether only this machine can connect. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}
