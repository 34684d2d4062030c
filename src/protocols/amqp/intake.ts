// The way in of a connection: its first bytes, then frame after frame of each chunk, and slices that must outlive one.
// Promises: frames in order, each taken or failed on its own; when the stream is lost nothing more is looked at; what a
//   channel keeps of a chunk is copied before the chunk is somebody else's.
// Does not know: what frames say, sockets.

import { openingOf, protocolHeader, type FrameReader, type Opening } from '../../wire/amqp/frame.ts'

export interface IntakeSide {
  /** The first bytes are a protocol's. Only after AMQP 0-9-1 frames follow. */
  opened(opening: Opening): void
  /** The reader is at a frame. What is thrown comes back in failed(), and so is what a holder of slices throws. */
  frame(reader: FrameReader): void
  failed(error: unknown): void
}

/** Who holds slices of the chunk that is being read. */
export interface SliceHolder {
  /** The chunk is about to be somebody else's. */
  keep(): void
}

const noBytes = Buffer.alloc(0)

export class Intake {
  readonly reader: FrameReader
  private readonly side: IntakeSide
  /** Until the first bytes have told what they open. */
  private opening: Buffer | undefined = noBytes
  private chunk: Buffer = noBytes
  private holder: SliceHolder | undefined
  private lost = false

  constructor(reader: FrameReader, side: IntakeSide) {
    this.reader = reader
    this.side = side
  }

  /** What comes cannot be cut into frames any more. */
  get isLost(): boolean {
    return this.lost
  }

  take(chunk: Buffer): void {
    if (this.lost) return
    if (this.opening === undefined) this.cut(chunk)
    else this.open(Buffer.concat([this.opening, chunk]))
  }

  /** Whether slices of the buffer stay valid until its chunk was read to its end. */
  outlivesFrame(buffer: Buffer): boolean {
    return buffer === this.chunk
  }

  /** keep() is called at the end of the chunk. */
  hold(holder: SliceHolder): void {
    if (this.holder === holder) return
    // Only one is remembered: contents that interleave inside one chunk are rare, and may be copied.
    this.holder?.keep()
    this.holder = holder
  }

  private open(bytes: Buffer): void {
    this.opening = bytes
    const opening = openingOf(bytes)
    if (opening === undefined) return
    this.opening = undefined
    this.lost = opening !== 'amqp-0-9-1'
    this.side.opened(opening)
    if (!this.lost && bytes.length > protocolHeader.length) this.cut(bytes.subarray(protocolHeader.length))
  }

  private cut(chunk: Buffer): void {
    this.chunk = chunk
    this.reader.push(chunk)
    for (;;) {
      // Until the reader says that there is a frame: what it throws is about the stream, not about one frame of it.
      this.lost = true
      try {
        while (this.reader.next()) {
          this.lost = false
          this.side.frame(this.reader)
          this.lost = true
        }
        this.lost = false
        break
      } catch (error) {
        this.side.failed(error)
        if (this.lost) break
      }
    }
    try {
      this.holder?.keep()
    } catch (error) {
      // The connection may hold no more.
      this.side.failed(error)
    }
    this.holder = undefined
    this.chunk = noBytes
  }
}

/** For the log. */
export const openings: Readonly<Record<Opening, string>> = {
  'amqp-0-9-1': 'AMQP 0-9-1',
  'amqp-0-9-x': 'another AMQP 0-9',
  'amqp-1-0': 'AMQP 1.0',
  'amqp-other': 'another AMQP',
  tls: 'a TLS client',
  http: 'an HTTP request',
  unknown: 'no protocol that is known here',
}
