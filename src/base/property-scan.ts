// A look at the properties of a message that allocates nothing: what the broker asks of every message published.
// Promises: judges every byte of flags, list and headers (DecodeError); what it found holds until the next scan.
// Does not know: what a property means.

import { DecodeError } from './bytes.ts'
import { parseTable, walkTable } from './field-codec.ts'
import type { FieldTable } from './fields.ts'

const flagContentType = 0x8000
const flagContentEncoding = 0x4000
const flagHeaders = 0x2000
const flagDeliveryMode = 0x1000
const flagPriority = 0x0800
const flagCorrelationId = 0x0400
const flagReplyTo = 0x0200
const flagExpiration = 0x0100
const flagMessageId = 0x0080
const flagTimestamp = 0x0040
const flagType = 0x0020
const flagUserId = 0x0010
const flagAppId = 0x0008
const flagClusterId = 0x0004
/** Another word of flags follows: class basic has no properties for it. Bit 1 means nothing and is passed over. */
const flagContinued = 0x0001

/** Positions are those of a text's length byte or of the headers' uint32 length; -1: not there. */
export class PropertyScan {
  bytes: Buffer = Buffer.alloc(2)
  flags = 0
  /** The headers with their length: bytes[headersAt, headersEnd). */
  headersAt = -1
  headersEnd = -1
  /** -1: not said. 2: persistent. */
  deliveryMode = -1
  /** -1: not said. */
  priority = -1
  replyToAt = -1
  expirationAt = -1
  userIdAt = -1

  /** Keeps `bytes` until the next scan. */
  scan(bytes: Buffer): void {
    const { length } = bytes
    if (length < 2) throw new DecodeError(`${length} bytes of property flags`)
    const flags = (bytes[0] << 8) | bytes[1]
    this.bytes = bytes
    this.flags = flags
    this.headersAt = this.headersEnd = this.deliveryMode = this.priority = -1
    this.replyToAt = this.expirationAt = this.userIdAt = -1
    const end = flags === 0 ? 2 : this.scanList(bytes, flags)
    if (end !== length) throw new DecodeError(`${length - end} bytes behind the properties`)
  }

  /** Where the list ends. The order is that of the flags, from bit 15 down. */
  private scanList(bytes: Buffer, flags: number): number {
    if ((flags & flagContinued) !== 0) throw new DecodeError('flags of properties that class basic does not have')
    let at = 2
    if ((flags & flagContentType) !== 0) at = behindText(bytes, at)
    if ((flags & flagContentEncoding) !== 0) at = behindText(bytes, at)
    if ((flags & flagHeaders) !== 0) {
      this.headersAt = at
      at = this.headersEnd = walkTable(bytes, at, bytes.length)
    }
    if ((flags & flagDeliveryMode) !== 0) this.deliveryMode = byteAt(bytes, at++)
    if ((flags & flagPriority) !== 0) this.priority = byteAt(bytes, at++)
    if ((flags & flagCorrelationId) !== 0) at = behindText(bytes, at)
    if ((flags & flagReplyTo) !== 0) at = behindText(bytes, (this.replyToAt = at))
    if ((flags & flagExpiration) !== 0) at = behindText(bytes, (this.expirationAt = at))
    if ((flags & flagMessageId) !== 0) at = behindText(bytes, at)
    if ((flags & flagTimestamp) !== 0) {
      at += 8
      if (at > bytes.length) throw new DecodeError('a timestamp cut short')
    }
    if ((flags & flagType) !== 0) at = behindText(bytes, at)
    if ((flags & flagUserId) !== 0) at = behindText(bytes, (this.userIdAt = at))
    if ((flags & flagAppId) !== 0) at = behindText(bytes, at)
    if ((flags & flagClusterId) !== 0) at = behindText(bytes, at)
    return at
  }

  expiration(): string | undefined {
    return this.text(this.expirationAt)
  }

  replyTo(): string | undefined {
    return this.text(this.replyToAt)
  }

  userId(): string | undefined {
    return this.text(this.userIdAt)
  }

  /** The headers, the caller's to keep. */
  headers(): FieldTable | undefined {
    return this.headersAt < 0 ? undefined : parseTable(this.bytes.subarray(this.headersAt, this.headersEnd))
  }

  private text(at: number): string | undefined {
    return at < 0 ? undefined : this.bytes.toString('utf8', at + 1, at + 1 + this.bytes[at])
  }
}

/** Where the text whose length byte is at `at` ends. */
function behindText(bytes: Buffer, at: number): number {
  const end = at + 1 + bytes[at]
  // Beyond the buffer bytes[at] is undefined and the sum no number: the comparison refuses that too.
  if (!(end <= bytes.length)) throw new DecodeError('a property cut short')
  return end
}

function byteAt(bytes: Buffer, at: number): number {
  if (at >= bytes.length) throw new DecodeError('a property cut short')
  return bytes[at]
}
