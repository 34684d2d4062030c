// The way in where it cannot keep what it should.
// Promises: nothing is thrown at the socket.
// Does not know: frames' contents; whole conversations are connection.test.ts's.

import { expect, test } from 'vitest'
import { FrameReader, protocolHeader } from '../../wire/amqp/frame.ts'
import { Intake } from './intake.ts'
import { rawFrame } from './stub-queues.contract.ts'

test('a holder that cannot keep its slices is a fault of the connection, not of the process', () => {
  const failures: unknown[] = []
  const full = new Error('more than may be held')
  const intake: Intake = new Intake(new FrameReader(4096), {
    opened: () => {},
    frame: () => {
      intake.hold({
        keep: () => {
          throw full
        },
      })
    },
    failed: (error) => void failures.push(error, intake.isLost),
  })
  intake.take(Buffer.concat([protocolHeader, rawFrame(3, 1, Buffer.from('abc'))]))
  expect(failures).toEqual([full, false])
})
