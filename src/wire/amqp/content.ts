// The frames that every message is made of, read without tables: publish, content header, settlements.
// Promises: the same judgement as the tables' (proven by properties), FrameFault only; no string is made of a name
//   that was just seen.
// Does not know: channels, what is published; which frame comes when.

import { checkedText } from './argument.ts'
import { frameHeader, undecodable, unknownFrame } from './frame.ts'

/** First four bytes of the payload: class and method id. */
export const keyPublish = 0x003c_0028
export const keyAck = 0x003c_0050
export const keyReject = 0x003c_005a
export const keyNack = 0x003c_0078

/** Class and method id as one number (methods.ts: methodKey); -1: too short to have them. */
export function methodKeyAt(buffer: Buffer, start: number, end: number): number {
  if (end - start < 4) return -1
  return buffer[start] * 0x100_0000 + ((buffer[start + 1] << 16) | (buffer[start + 2] << 8) | buffer[start + 3])
}

/** Names that are remembered for being met again, in a table by their hash. */
const namesRemembered = 256
/** Longer ones are decoded each time. */
const rememberedBytesMax = 64

/** basic.publish. One for each connection: it remembers the names that its messages go to. */
export class PublishView {
  exchange = ''
  routingKey = ''
  mandatory = false
  immediate = false
  private readonly names: (string | undefined)[] = []

  /** Reads the payload buffer[start, end), class and method id included. */
  decode(buffer: Buffer, start: number, end: number): void {
    // Class, method and ticket; then two short strings and an octet of bits take at least three bytes.
    const exchangeAt = start + 7
    if (end - start < 9) throw undecodable(buffer.subarray(start, end))
    const exchangeEnd = exchangeAt + buffer[start + 6]
    const keyAt = exchangeEnd + 1
    if (keyAt >= end) throw undecodable(buffer.subarray(start, end))
    const keyEnd = keyAt + buffer[exchangeEnd]
    if (keyEnd + 1 !== end) throw undecodable(buffer.subarray(start, end))
    const bits = buffer[keyEnd]
    this.mandatory = (bits & 1) !== 0
    this.immediate = (bits & 2) !== 0
    if (!saysText(this.exchange, buffer, exchangeAt, exchangeEnd)) {
      this.exchange = this.nameAt(buffer, exchangeAt, exchangeEnd)
    }
    if (!saysText(this.routingKey, buffer, keyAt, keyEnd)) this.routingKey = this.nameAt(buffer, keyAt, keyEnd)
  }

  private nameAt(buffer: Buffer, from: number, to: number): string {
    if (to - from > rememberedBytesMax) return textAt(buffer, from, to)
    let hash = to - from
    for (let at = from; at < to; at++) hash = (Math.imul(hash, 31) + buffer[at]) | 0
    const slot = (hash ^ (hash >>> 13)) & (namesRemembered - 1)
    const remembered = this.names[slot]
    if (remembered !== undefined && saysText(remembered, buffer, from, to)) return remembered
    const name = textAt(buffer, from, to)
    // The slots are made at the first name that needs one: most connections publish to one queue.
    if (this.names.length === 0) for (let index = 0; index < namesRemembered; index++) this.names.push(undefined)
    this.names[slot] = name
    return name
  }
}

/** Whether buffer[from, to) is `text`. False for all that is not ASCII: such names are decoded each time. */
function saysText(text: string, buffer: Buffer, from: number, to: number): boolean {
  const { length } = text
  if (to - from !== length) return false
  for (let index = 0; index < length; index++) {
    const byte = buffer[from + index]
    if (byte >= 0x80 || byte !== text.charCodeAt(index)) return false
  }
  return true
}

function textAt(buffer: Buffer, from: number, to: number): string {
  return from === to ? '' : checkedText(buffer.toString('utf8', from, to), buffer, from, to)
}

/** basic.ack, basic.nack and basic.reject. */
export class SettlementView {
  /** Beyond 2^53: the largest safe integer, a tag that nobody was given. */
  tag = 0
  multiple = false
  requeue = false

  /** Reads the payload buffer[start, end) of the method `key`, class and method id included. */
  decode(key: number, buffer: Buffer, start: number, end: number): void {
    if (end - start !== 13) throw undecodable(buffer.subarray(start, end))
    this.tag = uint64At(buffer, start + 4)
    const bits = buffer[start + 12]
    const first = (bits & 1) !== 0
    this.multiple = key !== keyReject && first
    this.requeue = key === keyReject ? first : key === keyNack && (bits & 2) !== 0
  }
}

/** A content header: class:u16 weight:u16 body:u64, then the properties. */
export class ContentHeaderView {
  classId = 0
  weight = 0
  /** Beyond 2^53: the largest safe integer. */
  bodyBytes = 0
  /** Flags and list are buffer[propertiesStart, end). They are judged by whoever stores them (property-scan.ts). */
  propertiesStart = 0

  decode(buffer: Buffer, start: number, end: number): void {
    if (end - start < 14) throw unknownFrame(frameHeader, buffer.subarray(start, end))
    this.classId = (buffer[start] << 8) | buffer[start + 1]
    this.weight = (buffer[start + 2] << 8) | buffer[start + 3]
    this.bodyBytes = uint64At(buffer, start + 4)
    this.propertiesStart = start + 12
  }
}

function uint64At(buffer: Buffer, at: number): number {
  const upper = ((buffer[at] << 24) | (buffer[at + 1] << 16) | (buffer[at + 2] << 8) | buffer[at + 3]) >>> 0
  const lower = ((buffer[at + 4] << 24) | (buffer[at + 5] << 16) | (buffer[at + 6] << 8) | buffer[at + 7]) >>> 0
  return upper > 0x1f_ffff ? Number.MAX_SAFE_INTEGER : upper * 0x1_0000_0000 + lower
}
