// odradek.json: which format the data folder has and which cluster it is.
// Promises: made once; a folder of a newer format is refused in one clear line before anything is touched.
// Does not know: what the format is; docs/formats.md does.

import { DiskError, type World } from '../../base/world.ts'
import { CorruptLog } from '../../log/store.ts'
import { formatVersion, layout } from './layout.ts'

/** The cluster id of the folder, as Kafka prints one: 16 bytes in 22 characters. */
export async function openIdentity(world: Pick<World, 'disk' | 'random'>, data: string): Promise<string> {
  const path = layout.identity(data)
  const content = world.disk.readFile(path)
  if (content !== undefined) return readIdentity(path, content)
  if (world.disk.list(layout.logs(data)).length > 0) {
    throw new CorruptLog(`${path} is missing, yet there are logs beside it: not a data folder to begin anew in`)
  }
  const clusterId = world.random.bytes(16).toString('base64url')
  await world.disk.replaceFile(path, Buffer.from(`${JSON.stringify({ formatVersion, clusterId })}\n`))
  return clusterId
}

function readIdentity(path: string, content: Buffer): string {
  let value: unknown
  try {
    value = JSON.parse(content.toString('utf8'))
  } catch {
    throw new CorruptLog(`${path} is not JSON`)
  }
  if (typeof value !== 'object' || value === null || !('formatVersion' in value) || !('clusterId' in value)) {
    throw new CorruptLog(`${path} does not name a format version and a cluster id`)
  }
  const { formatVersion: found, clusterId } = value
  if (typeof found !== 'number' || typeof clusterId !== 'string') throw new CorruptLog(`${path} is not readable`)
  if (found > formatVersion) {
    throw new DiskError(
      'denied',
      path,
      `has data format ${found}; this program knows up to ${formatVersion}: use a newer one`,
    )
  }
  return clusterId
}
