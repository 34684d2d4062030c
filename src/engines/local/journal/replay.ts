// Reading the journal at a start: which entries are there, in order.
// Promises: takes the unbroken chain of entries from the low mark on; a break with later entries behind it is damage
// and refused, a break at the end was never promised. Does not know: what becomes of the parts.

import type { Disk } from '../../../base/world.ts'
import { CorruptLog } from '../../../log/store.ts'
import { journalFileName, journalFileNumber } from '../layout.ts'
import { findEntry, hasEntryAfterSync, type Part, readEntryHead, readParts } from './entry.ts'
import { fileHeadBytes, type JournalFile, openJournalFile, readFileHead } from './journal-file.ts'
import type { JournalState } from './journal.ts'

export interface ReplayedEntry {
  readonly sequence: number
  readonly parts: readonly Part[]
}

export interface Replay {
  readonly entries: readonly ReplayedEntry[]
  readonly nextSequence: number
}

interface Found {
  readonly path: string
  readonly content: Buffer
  readonly salt: Buffer
  readonly firstSequence: number
}

/** All entries from `lowSequence` on. */
export function readJournal(disk: Disk, folder: string, lowSequence: number): Replay {
  const files = chain(disk, folder, lowSequence)
  const entries: ReplayedEntry[] = []
  let expected = files[0]?.firstSequence ?? lowSequence
  if (expected > lowSequence) {
    throw new CorruptLog(`${files[0].path}: begins with entry ${expected}, entry ${lowSequence} is missing`)
  }
  for (const { path, content, salt, firstSequence } of files) {
    if (firstSequence !== expected) {
      throw new CorruptLog(`${path}: begins with entry ${firstSequence}, entry ${expected} is missing`)
    }
    let at = fileHeadBytes
    for (;;) {
      const head = readEntryHead(content, at, salt)
      const parts = head?.sequence === expected ? readParts(content, at, head) : undefined
      if ((head === undefined || parts === undefined) && expected < lowSequence) {
        // What is not needed any more may be half overwritten: its file was being used again when the power went.
        const next = findEntry(content, at, salt, lowSequence)
        if (next === undefined && hasEntryAfterSync(content, at, salt, lowSequence))
          throw new CorruptLog(`${path}: entry ${lowSequence} is missing`)
        expected = lowSequence
        if (next === undefined) break
        at = next
        continue
      }
      if (head === undefined || parts === undefined) {
        // An entry says up to which one all were on the medium: if that is this one, it was promised.
        if (hasEntryAfterSync(content, at, salt, expected)) throw new CorruptLog(`${path}: damaged at position ${at}`)
        break
      }
      if (expected >= lowSequence) entries.push({ sequence: expected, parts })
      expected++
      at += head.bytes
    }
  }
  return { entries, nextSequence: Math.max(expected, lowSequence) }
}

/** The files that can hold entries from the low mark on, in order. */
function chain(disk: Disk, folder: string, lowSequence: number): Found[] {
  const found: Found[] = []
  for (const { name } of disk.list(folder)) {
    if (journalFileNumber(name) === undefined) continue
    const path = `${folder}/${name}`
    const content = disk.readFile(path) ?? Buffer.alloc(0)
    const head = readFileHead(content)
    if (head !== undefined) found.push({ path, content, ...head })
  }
  found.sort((one, other) => one.firstSequence - other.firstSequence)
  let first = 0
  while (first + 1 < found.length && found[first + 1].firstSequence <= lowSequence) first++
  return found.slice(first)
}

/** The files as a journal goes on with them: the chain's stay until what they hold is in the segments. */
export async function journalState(
  disk: Disk,
  folder: string,
  replay: Replay | undefined,
  nextSequence: number,
): Promise<JournalState> {
  const live: JournalFile[] = []
  const free: JournalFile[] = []
  const needed = replay !== undefined && replay.entries.length > 0
  for (const { name } of disk.list(folder)) {
    const number = journalFileNumber(name)
    if (number === undefined) continue
    const opened = openJournalFile(disk, `${folder}/${journalFileName(number)}`, number)
    // A clean close leaves no such file.
    const isUnused = replay !== undefined && (await withdrawHead(opened, nextSequence))
    // Which of them is not told apart: a start is followed by syncs that free them all.
    if (needed && !isUnused) live.push({ ...opened, lastSequence: replay.nextSequence - 1 })
    else free.push(opened)
  }
  return { live, free, nextSequence }
}

/**
 * A file that was begun, of whose entries none is there: its head goes for good. The next start would find it beside
 * the file that begins with that entry now, and could take this one for it.
 */
async function withdrawHead({ file }: JournalFile, nextSequence: number): Promise<boolean> {
  const head = Buffer.alloc(fileHeadBytes)
  file.readNow(head, 0)
  if (readFileHead(head)?.firstSequence !== nextSequence) return false
  file.writeNow([Buffer.alloc(fileHeadBytes)], 0)
  await file.sync()
  return true
}
