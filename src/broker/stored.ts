// Stored values: what a machine writes of itself, in the table language, its version first.
// Promises: what writeStored wrote, readStored reads, also when the table has newer versions by then.
// Does not know: which machine, which key.

import { Reader, Writer } from '../base/bytes.ts'
import { codecFor, hasVersion } from '../base/schema-compose.ts'
import type { Table } from '../base/schema.ts'
import { CorruptLog } from '../log/store.ts'

/** The newest version of `table`, after one byte that names it. */
export function writeStored<Value, Input>(table: Table<Value, Input>, value: Input): Buffer {
  const version = table.valid[1]
  const writer = new Writer()
  writer.uint8(version)
  codecFor(table, version).encode(writer, value)
  const chunks = writer.finish()
  // Alone in its memory: a slice of the writer's shared block would pin the whole block while the value is kept.
  return Buffer.concat(chunks)
}

/** Throws CorruptLog for a version this program does not know. */
export function readStored<Value, Input>(table: Table<Value, Input>, stored: Buffer): Value {
  const version = stored[0]
  if (stored.length === 0 || !hasVersion(table, version))
    throw new CorruptLog(`a stored value of version ${version} was written by a newer version of this program`)
  return codecFor(table, version).decode(new Reader(stored, 1))
}
