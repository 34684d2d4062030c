// When files of scratch logs leave memory, and that nothing of them is lost by it.
// Promises: both bounds, for one file and for all of them. Does not know: logs, segments.

import { expect, test } from 'vitest'
import { FaultDisk } from '../../../test/fault-disk.ts'
import { scratchFileBytesMax, scratchMemoryBytesMax } from './options.ts'
import { ScratchDisk } from './scratch-disk.ts'

const piece = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 251))

test('a small file is nowhere on the disk; one that grows is, whole, for those who have it open too', () => {
  const disk = new FaultDisk()
  const before = disk.paths()
  const scratch = new ScratchDisk(disk.boot()).asDisk()
  scratch.makeFolder('/s/log')
  const file = scratch.open('/s/log/0.log', 'create')
  const reader = scratch.open('/s/log/0.log', 'read')
  file.writeNow([piece, piece], 0)
  expect(disk.paths()).toEqual(before)
  const most = Math.floor(scratchFileBytesMax / piece.length)
  for (let count = 2; count <= most; count++) file.writeNow([piece], count * piece.length)
  expect(disk.bytesOf('/s/log/0.log')).toBe((most + 1) * piece.length)
  const found = Buffer.alloc(piece.length)
  for (let count = 0; count <= most; count++) {
    expect(reader.readNow(found, count * piece.length)).toBe(piece.length)
    expect(found.equals(piece)).toBe(true)
  }
  scratch.removeFolder('/s/log')
  expect(disk.paths().filter((path) => path.includes('0.log'))).toEqual([])
})

test('all of them together take no more memory than their bound; what is removed makes room', () => {
  const disk = new FaultDisk()
  const scratch = new ScratchDisk(disk.boot()).asDisk()
  scratch.makeFolder('/s/log')
  const fill = (name: number): void =>
    scratch.open(`/s/log/${name}.log`, 'create').writeNow([Buffer.alloc(scratchFileBytesMax)], 0)
  const most = scratchMemoryBytesMax / scratchFileBytesMax
  const spilled = (): number => disk.paths().filter((path) => path.endsWith('.log')).length
  for (let name = 0; name < most; name++) fill(name)
  expect(spilled()).toBe(0)
  fill(most)
  expect(spilled()).toBe(1)
  scratch.removeFile('/s/log/3.log')
  fill(most + 1)
  expect(spilled()).toBe(1)
})
