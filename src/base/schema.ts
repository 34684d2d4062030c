// The table language: one table describes a message in all its versions; its type is inferred from the table.
// Promises: a table is plain data, judged when declared; ValueOf is what decoding gives, InputOf what encoding takes.
// Does not know: Kafka or our logs. How a table becomes closures is schema-compose.ts.

import { assert } from './assert.ts'
import { zeroUuid } from './bytes.ts'

export type NumberKind = 'int8' | 'int16' | 'uint16' | 'int32' | 'uint32' | 'int64' | 'float64'

/** The shape of one value, as data. */
export type Type =
  | { readonly kind: NumberKind; readonly saturate: boolean }
  | { readonly kind: 'bool' | 'uuid' | 'string' | 'bytes' | 'records' }
  | { readonly kind: 'array'; readonly of: Type }
  | { readonly kind: 'struct'; readonly fields: Fields; readonly flexible: boolean | undefined }

/** A field of a table. Value is what decoding gives, Input what encoding takes. */
export interface Field<out Value, in Input = Value> {
  readonly type: Type
  /** The versions that have the field. */
  readonly since: number
  readonly until: number
  /** The first version in which it may be null. */
  readonly nullable: number
  readonly default: unknown
  /** Whether a version without the field may silently lose a value. */
  readonly ignorable: boolean
  /** Number of the tagged field this is (KIP-482), or undefined when it stands in line. */
  readonly tag: number | undefined
  /** Types only; never there. */
  readonly phantom?: (input: Input) => Value
}

export type Fields = Readonly<Record<string, Field<unknown, never>>>

/** What decoding gives: every field, whatever the version. */
export type StructValue<F extends Fields> = {
  readonly [Name in keyof F]: F[Name] extends Field<infer Value, never> ? Value : never
}
/** What encoding takes: a field left out has its default. */
export type StructInput<F extends Fields> = {
  readonly [Name in keyof F]?: F[Name] extends Field<unknown, infer Input> ? Input : never
}

export interface TableHead {
  /** First and last version the table describes. */
  readonly valid: readonly [first: number, last: number]
  /** First version with compact lengths and tagged fields (KIP-482); absent: none. */
  readonly flexible?: number
}

export interface Table<Value, Input> {
  readonly valid: readonly [first: number, last: number]
  readonly flexible: number
  readonly body: Type & { readonly kind: 'struct' }
  readonly phantom?: (input: Input) => Value
}

/** The decoded form of a table. */
export type ValueOf<T> = T extends Table<infer Value, never> ? Value : never
/** What a table's encoder takes. */
export type InputOf<T> = T extends Table<unknown, infer Input> ? Input : never

interface Options {
  readonly since?: number
  readonly until?: number
  readonly ignorable?: boolean
  readonly tag?: number
}

type NullIn<O> = O extends { readonly nullable: number } ? null : never

interface FieldParts extends Options {
  readonly nullable?: number
  readonly default?: unknown
}

function field<Value, Input>(type: Type, options: FieldParts, fallback: unknown): Field<Value, Input> {
  const { since = 0, until = Infinity, nullable = Infinity, ignorable = false, tag } = options
  const standard = options.default === undefined ? fallback : options.default
  assert(since <= until, 'a field exists in some version')
  assert(
    standard !== null || type.kind === 'records' || nullable <= since,
    'only what is always nullable defaults to null',
  )
  return { type, since, until, nullable, ignorable, tag, default: standard }
}

type NumberOptions = Options & { readonly default?: number }

const numberType = (kind: NumberKind, saturate = false): Type => ({ kind, saturate })
const number =
  (kind: NumberKind) =>
  (options: NumberOptions = {}): Field<number> =>
    field(numberType(kind), options, 0)

export const int8 = number('int8')
export const int16 = number('int16')
export const uint16 = number('uint16')
export const int32 = number('int32')
export const uint32 = number('uint32')
export const float64 = number('float64')

/** Exact to 2^53. With `saturate` a stranger's larger value is read as the largest safe integer, not refused. */
export function int64(options: NumberOptions & { readonly saturate?: boolean } = {}): Field<number> {
  return field(numberType('int64', options.saturate), options, 0)
}

export function bool(options: Options & { readonly default?: boolean } = {}): Field<boolean> {
  return field({ kind: 'bool' }, options, false)
}

/** Sixteen bytes, as 22 characters of base64url. */
export function uuid(options: Options = {}): Field<string> {
  return field({ kind: 'uuid' }, options, zeroUuid)
}

type StringOptions = Options & { readonly nullable?: number; readonly default?: string | null }

export function string<const O extends StringOptions>(options?: O): Field<string | NullIn<O>> {
  return field({ kind: 'string' }, options ?? {}, '')
}

const noBytes = Buffer.alloc(0)

type BytesOptions = Options & { readonly nullable?: number; readonly default?: null }

/** Opaque bytes: decoded as a slice of the message, which it keeps alive. */
export function bytes<const O extends BytesOptions>(options?: O): Field<Buffer | NullIn<O>, Uint8Array | NullIn<O>> {
  return field({ kind: 'bytes' }, options ?? {}, noBytes)
}

/** Stored batches, never copied and always nullable: a slice when decoded; encoding takes slices in their order. */
export function records(options: Options = {}): Field<Buffer | null, Uint8Array | readonly Uint8Array[] | null> {
  return field({ kind: 'records' }, { ...options, nullable: 0 }, null)
}

/** Shared by all values that default to it, and never changed by anybody: values are read-only. */
const noElements: readonly never[] = Object.freeze([])

type ArrayOptions = Options & { readonly nullable?: number; readonly default?: null }

export function array<Value, Input, const O extends ArrayOptions>(
  of: Field<Value, Input>,
  options?: O,
): Field<readonly Value[] | NullIn<O>, readonly Input[] | NullIn<O>> {
  return field({ kind: 'array', of: of.type }, options ?? {}, noElements)
}

type StructOptions = Options & {
  readonly nullable?: number
  readonly default?: null
  /** Overrides, inside this struct, whether lengths are compact and tags follow. */
  readonly flexible?: boolean
}

export function struct<const F extends Fields, const O extends StructOptions>(
  fields: F,
  options?: O,
): Field<StructValue<F> | NullIn<O>, StructInput<F> | NullIn<O>> {
  const { flexible, ...rest } = { ...options }
  return field({ kind: 'struct', fields, flexible }, rest, Object.freeze(defaultsOf(fields)))
}

/** An array of structs: what most messages are made of. */
export function list<const F extends Fields, const O extends ArrayOptions>(
  fields: F,
  options?: O,
): Field<readonly StructValue<F>[] | NullIn<O>, readonly StructInput<F>[] | NullIn<O>> {
  return array<StructValue<F>, StructInput<F>, O>(struct(fields), options)
}

/** A struct in which every field has its default. */
export function defaultsOf(fields: Fields): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, { default: standard }]) => [name, standard]))
}

/** The head of a table: first and last version, and the first with compact lengths and tags. */
export function versions(first: number, last: number, options: { readonly flexible?: number } = {}): TableHead {
  return { valid: [first, last], ...options }
}

/** Declares a message: all its versions in one table. */
export function message<const F extends Fields>(head: TableHead, fields: F): Table<StructValue<F>, StructInput<F>> {
  const { valid, flexible = Infinity } = head
  assert(valid[0] <= valid[1], 'a table has a version')
  return { valid, flexible, body: { kind: 'struct', fields, flexible: undefined } }
}
