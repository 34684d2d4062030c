// Field tables: typed, named values as AMQP 0-9-1 writes them, on the wire and in stored headers.
// Promises: types that keep what was said: widths of numbers, order and repetition of names, bytes that are no text.
// Does not know: which names mean something.

export type Field =
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'int8' | 'uint8' | 'int16' | 'uint16' | 'int32' | 'uint32'; readonly value: number }
  /** A number while it is exact, else a bigint. */
  | { readonly type: 'int64'; readonly value: number | bigint }
  | { readonly type: 'float32' | 'float64'; readonly value: number }
  /** value · 10^-scale */
  | { readonly type: 'decimal'; readonly scale: number; readonly value: number }
  /** A long string: bytes that need not be UTF-8. */
  | { readonly type: 'text'; readonly value: Buffer }
  | { readonly type: 'bytes'; readonly value: Buffer }
  | { readonly type: 'array'; readonly value: readonly Field[] }
  /** Seconds since 1970. */
  | { readonly type: 'timestamp'; readonly value: number | bigint }
  | { readonly type: 'table'; readonly value: FieldTable }
  | { readonly type: 'void' }

export interface FieldEntry {
  readonly name: string
  readonly value: Field
}

/** In the order they were given; a name may come twice. */
export type FieldTable = readonly FieldEntry[]
