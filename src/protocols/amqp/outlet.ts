// The way out of a connection: what is written in a turn leaves as one write, and how much more may be written.
// Promises: one write after each callback of the event loop in which something was written; above its marks it says that
//   there is no room, and tells when there is again.
// Does not know: frames, channels.

import type { Connection } from '../../base/world.ts'
import type { FrameWriter } from '../../wire/amqp/frame-writer.ts'

/** Most that a connection may write in one go before its other side and its neighbours have their turn. */
const burstBytesMax = 256 * 1024

const atOnce = Promise.resolve()

export class Outlet {
  readonly writer: FrameWriter
  private readonly connection: Connection
  /** Called when there is room after somebody was told that there was none. */
  private readonly roomAgain: () => void
  private isClosed = false
  private isHeld = false
  private isDue = false
  private isFull = false
  private wantsRoom = false
  private readonly flushLater = (): void => {
    if (!this.isHeld) this.flush()
  }
  private readonly recycle = (): void => this.writer.recycle()

  constructor(connection: Connection, writer: FrameWriter, roomAgain: () => void) {
    this.connection = connection
    this.writer = writer
    this.roomAgain = roomAgain
    connection.onDrain(() => {
      this.isFull = false
      this.giveRoom()
    })
  }

  get hasRoom(): boolean {
    if (!this.isFull && !this.isClosed && this.writer.pendingBytes < burstBytesMax) return true
    this.wantsRoom = true
    return false
  }

  /** Nothing leaves before release(): the caller writes much and flushes once. */
  hold(): void {
    this.isHeld = true
  }

  release(): void {
    this.isHeld = false
    this.flush()
  }

  /** Something was written. */
  wrote(): void {
    if (this.isDue || this.isHeld) return
    this.isDue = true
    // A promise's reaction runs when this callback of the event loop is done: after all deliveries of a turn.
    void atOnce.then(this.flushLater)
  }

  flush(): void {
    this.isDue = false
    const chunks = this.writer.take()
    if (chunks.length > 0 && !this.isClosed) {
      this.isFull = !this.connection.write(chunks, this.recycle)
    }
    this.giveRoom()
  }

  /** The socket is gone. */
  close(): void {
    this.isClosed = true
  }

  private giveRoom(): void {
    if (this.isFull || this.isClosed || !this.wantsRoom) return
    this.wantsRoom = false
    this.roomAgain()
  }
}
