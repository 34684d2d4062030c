// One channel's publishes: judged, routed, given to the queues, for one receipt.
// Promises: nothing is allocated for a message without headers, expiration, reply-to and user-id; what is refused went
// nowhere. Reply-to and BCC are the two things changed in what a client wrote.
// Does not know: transactions' commits, confirms, how a queue stores.

import { fieldTypeName, findField, withoutField, type FieldTable } from '../../../base/fields.ts'
import { withProperties } from '../../../base/properties.ts'
import { PropertyScan } from '../../../base/property-scan.ts'
import { isRefusal, refuse, type Refusal } from '../../errors.ts'
import type { Publication, Published, Receipt } from '../../queue-door.ts'
import type { ChannelHost, ChannelIdentity } from './channel-host.ts'
import { tombstoneHeader } from '../messages/message.ts'
import { expirationFault } from './publishing-expiration.ts'
import type { Destinations, NewMessage, QueuePart } from '../parts.ts'
import { ReceiptCombiner, storedReceipt } from '../receipt.ts'
import { isReplyAddress, replyQueue } from './reply-to.ts'
import { SharedBatch, sharedBodyBytesMin } from '../messages/shared-batch.ts'

const nothing: readonly string[] = []
const carbonCopy = Buffer.from('CC')
const tombstoneName = Buffer.from(tombstoneHeader)

export class Publishing {
  /** What route() made of the last publication: valid until the next. */
  readonly message: NewMessage = {
    exchange: '',
    routingKey: '',
    properties: Buffer.alloc(0),
    body: [],
    bodyBytes: 0,
    isDeadLetter: false,
  }
  /** Reply addresses among the keys of the last publication. */
  replies: readonly string[] = nothing
  readonly #host: ChannelHost
  readonly #identity: ChannelIdentity
  /** The address of this channel's reply consumer, if it has one. */
  readonly #replyAddress: () => string | undefined
  readonly #scan = new PropertyScan()
  readonly #combiner = new ReceiptCombiner()
  readonly #oneKey = ['']
  #keys: readonly string[] = this.#oneKey
  /** The queues behind the destinations of the last message that all were there. */
  #lastDestinations: Destinations | undefined
  #lastQueues: readonly QueuePart[] = []
  readonly #receipts: Receipt[] = []

  constructor(host: ChannelHost, identity: ChannelIdentity, replyAddress: () => string | undefined) {
    this.#host = host
    this.#identity = identity
    this.#replyAddress = replyAddress
  }

  publish(publication: Publication): Published {
    const destinations = this.route(publication)
    if (isRefusal(destinations)) return destinations
    const isAnswered = this.replies.length > 0 && this.reply(this.replies, this.message)
    const queues = destinations.length === 0 ? [] : this.queuesOf(destinations)
    if (queues.length === 0) return isAnswered ? storedReceipt : 'unroutable'
    const full = this.#host.produceRefusal()
    if (full !== undefined) return full
    return queues.length === 1 ? queues[0].add(this.message) : this.#addToAll(queues)
  }

  /** Judges the publication, makes `message` and `replies` of it and names the queues it goes to. */
  route(publication: Publication): Destinations | Refusal {
    const refused = this.#judge(publication)
    if (refused !== undefined) return refused
    const { message } = this
    message.exchange = publication.exchange
    message.routingKey = publication.routingKey
    message.body = publication.body
    message.bodyBytes = publication.bodyBytes
    // A reply goes to who waits for it: addresses are keys of the default exchange only.
    this.replies = publication.exchange === '' ? replyAddresses(this.#keys) : nothing
    return this.#host.router.route(this.#identity.vhost, publication.exchange, this.#keys, message, false)
  }

  /** Whether anybody waited for it. */
  reply(addresses: readonly string[], message: NewMessage): boolean {
    let isAnswered = false
    for (const address of addresses) {
      const taker = this.#host.replies.find(this.#identity.vhost, address)
      taker?.takeReply(message)
      isAnswered ||= taker !== undefined
    }
    return isAnswered
  }

  /** Those that are there. The very same array for the same destinations, while they all are. */
  queuesOf(destinations: Destinations): readonly QueuePart[] {
    if (destinations === this.#lastDestinations && noneDeleted(this.#lastQueues)) return this.#lastQueues
    const { vhost } = this.#identity
    const queues: QueuePart[] = []
    for (const name of destinations) {
      const queue = this.#host.queues.findLog(vhost, name)
      if (queue !== undefined && !queue.isDeleted) queues.push(queue)
    }
    this.#lastDestinations = queues.length === destinations.length ? destinations : undefined
    this.#lastQueues = queues
    return queues
  }

  #addToAll(queues: readonly QueuePart[]): Receipt | Refusal {
    const receipts = this.#receipts
    receipts.length = 0
    let refused: Refusal | undefined
    const shared = this.message.bodyBytes < sharedBodyBytesMin ? undefined : new SharedBatch()
    for (const queue of queues) {
      const added = queue.add(this.message, shared)
      if (isRefusal(added)) refused ??= added
      else receipts.push(added)
    }
    return refused ?? this.#combiner.combine(receipts)
  }

  // --- judging ---

  #judge(publication: Publication): Refusal | undefined {
    const { bodyBytes, properties } = publication
    const { messageBytesMax } = this.#host.limits
    if (bodyBytes > messageBytesMax) {
      const why = `message size ${bodyBytes} is larger than configured max size ${messageBytesMax}`
      return refuse('messageTooLarge', why)
    }
    this.message.properties = properties
    this.#oneKey[0] = publication.routingKey
    this.#keys = this.#oneKey
    const scan = this.#scan
    scan.scan(properties)
    const isPlain = scan.headersAt < 0 && scan.replyToAt < 0 && scan.expirationAt < 0 && scan.userIdAt < 0
    return isPlain ? undefined : this.#judgeFully(publication)
  }

  #judgeFully({ properties, routingKey, bodyBytes }: Publication): Refusal | undefined {
    const scan = this.#scan
    // All of them are read before the scan is used again.
    const expiration = scan.expiration()
    const userId = scan.userId()
    if (scan.replyToAt >= 0 && scan.replyTo() === replyQueue) {
      const address = this.#replyAddress()
      if (address === undefined) return refuse('replyConsumer', 'fast reply consumer does not exist')
      this.message.properties = withProperties(properties, { replyTo: address })
    }
    if (expiration !== undefined) {
      const fault = expirationFault(expiration)
      if (fault !== undefined) return refuse('invalidMessage', `invalid expiration '${expiration}': ${fault}`)
    }
    if (this.#mayName(carbonCopy)) {
      const refused = this.#judgeCopies(routingKey, scan.headers() ?? [])
      if (refused !== undefined) return refused
    }
    if (this.#mayName(tombstoneName)) {
      const refused = this.#judgeTombstone(bodyBytes)
      if (refused !== undefined) return refused
    }
    const { principal, mayImpersonate } = this.#identity
    if (userId !== undefined && userId !== principal && !mayImpersonate) {
      const why = `user_id property set to '${userId}' but authenticated user was '${principal}'`
      return refuse('userIdMismatch', why)
    }
    return undefined
  }

  /** Whether a header may be called so (CC and BCC alike): looked up in the bytes, since headers are seldom read here. */
  #mayName(name: Buffer): boolean {
    const { bytes, headersAt, headersEnd } = this.#scan
    if (headersAt < 0) return false
    const at = bytes.indexOf(name, headersAt)
    return at >= 0 && at < headersEnd
  }

  /** A record without a value: not one with a body. */
  #judgeTombstone(bodyBytes: number): Refusal | undefined {
    const said = findField(this.#scan.headers() ?? [], tombstoneHeader)
    if (said === undefined) return undefined
    if (said.type !== 'bool') {
      const why = `invalid message: {unacceptable_type_in_header,"${tombstoneHeader}",${fieldTypeName(said)}}`
      return refuse('invalidMessage', why)
    }
    if (!said.value || bodyBytes === 0) return undefined
    return refuse('invalidMessage', `invalid message: '${tombstoneHeader}' with a body of ${bodyBytes} bytes`)
  }

  /** CC and BCC: further routing keys. BCC is not for the eyes of those who get the message. */
  #judgeCopies(routingKey: string, headers: FieldTable): Refusal | undefined {
    const keys = [routingKey]
    for (const name of ['CC', 'BCC']) {
      const copies = findField(headers, name)
      if (copies === undefined) continue
      if (copies.type !== 'array') {
        const why = `invalid message: {unacceptable_type_in_header,"${name}",${fieldTypeName(copies)}}`
        return refuse('invalidMessage', why)
      }
      for (const copy of copies.value) if (copy.type === 'text') keys.push(copy.value.toString())
    }
    this.#keys = keys
    if (findField(headers, 'BCC') !== undefined)
      this.message.properties = withProperties(this.message.properties, { headers: withoutField(headers, 'BCC') })
    return undefined
  }
}

function replyAddresses(keys: readonly string[]): readonly string[] {
  if (keys.length === 1) return isReplyAddress(keys[0]) ? [keys[0]] : nothing
  return keys.filter((key, index) => isReplyAddress(key) && keys.indexOf(key) === index)
}

function noneDeleted(queues: readonly QueuePart[]): boolean {
  for (const queue of queues) if (queue.isDeleted) return false
  return true
}
