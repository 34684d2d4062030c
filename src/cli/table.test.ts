// Tables and amounts as people read them.
// Promises: whole texts are compared.
// Does not know: what commands show.

import { expect, test } from 'vitest'
import { bytesText, durationText, plainText, table } from './table.ts'

test('texts to the left, numbers to the right, nothing trailing', () => {
  expect(
    table(
      ['NAME', 'COUNT', 'AGE'],
      [
        ['a', 5, '-'],
        ['longer', 1000, '3 s'],
      ],
    ),
  ).toBe('NAME    COUNT  AGE\na           5  -\nlonger   1000  3 s\n')
})

test("strangers' names cannot move the cursor", () => {
  expect(plainText('a\u001b[2Jb\nc')).toBe('a\\u001b[2Jb\\nc')
  expect(table(['NAME'], [['\u001b[1m']])).toBe('NAME\n\\u001b[1m\n')
  expect(plainText('\u009b2J\u007f')).toBe('\\u009b2J\\u007f')
})

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1536, '1.5 KiB'],
  [5 * 1024 ** 3, '5.0 GiB'],
])('%i bytes', (bytes, text) => expect(bytesText(bytes)).toBe(text))

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1000, '1 s'],
  [125_000, '2 min 5 s'],
  [7_200_000, '2 h'],
  [90_000_000, '1 d 1 h'],
])('%i ms', (ms, text) => expect(durationText(ms)).toBe(text))
