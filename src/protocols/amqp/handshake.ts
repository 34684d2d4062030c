// The handshake: from the protocol header to open-ok, step by step.
// Promises: each step in its state only; what was negotiated is within our limits; faults in RabbitMQ's words.
// Does not know: sockets and frames; what a connection does once it is open.

import type { MethodInput, MethodName, MethodCall } from '../../wire/amqp/methods.ts'
import { frameBytesMin } from '../../wire/amqp/frame.ts'
import { findField, fieldText } from '../../base/fields.ts'
import { Fault } from './fault.ts'
import { noCapabilities, readCapabilities, serverProperties, type ClientCapabilities } from './identity.ts'
import { loginRefusal, mechanisms, readLogin } from './login.ts'

/** What we offer, as RabbitMQ does (deps/rabbit/Makefile: PROJECT_ENV). */
export const offered = {
  frameBytesMax: 131_072,
  /** Until something is negotiated: who is not known yet is not given much (initial_frame_max). A token fits. */
  firstFrameBytesMax: 8192,
  channelsMax: 2047,
  heartbeatSeconds: 60,
} as const

export interface Negotiated {
  readonly user: string
  readonly vhost: string
  /** What the client calls its connection; empty when it does not. */
  readonly connectionName: string
}

export interface HandshakeSide {
  readonly address: string
  readonly clusterName: string
  write<Name extends MethodName>(name: Name, values: MethodInput<Name>): void
  /** The client's tune-ok holds from its next frame on. */
  tuned(limits: {
    readonly frameBytesMax: number
    readonly channelsMax: number
    readonly heartbeatSeconds: number
  }): void
  opened(negotiated: Negotiated): void
  /** The login is refused; `why` is for the log. The client may be told at once, or is kept waiting. */
  refusedLogin(why: string, fault: Fault): void
}

type State = 'starting' | 'tuning' | 'opening' | 'open'

export class Handshake {
  capabilities: ClientCapabilities = noCapabilities
  private readonly side: HandshakeSide
  private currentState: State = 'starting'
  private user = ''
  private connectionName = ''

  constructor(side: HandshakeSide) {
    this.side = side
  }

  get state(): State {
    return this.currentState
  }

  start(): void {
    this.side.write('connectionStart', {
      serverProperties: serverProperties(this.side.clusterName),
      mechanisms: Buffer.from(mechanisms),
      locales: Buffer.from('en_US'),
    })
  }

  take(call: MethodCall): void {
    const { currentState: state } = this
    if (call.name === 'connectionStartOk' && state === 'starting') return this.startOk(call.arguments)
    if (call.name === 'connectionTuneOk' && state === 'tuning') return this.tuneOk(call.arguments)
    if (call.name === 'connectionOpen' && state === 'opening') {
      const { virtualHost: vhost } = call.arguments
      if (vhost !== '/') throw new Fault('NOT_ALLOWED', `vhost ${vhost} not found`)
      this.currentState = 'open'
      return this.side.opened({ user: this.user, vhost, connectionName: this.connectionName })
    }
    throw new Fault('CHANNEL_ERROR', `unexpected method in connection state ${stateNames[state]}`)
  }

  private startOk(said: Extract<MethodCall, { name: 'connectionStartOk' }>['arguments']): void {
    this.capabilities = readCapabilities(said.clientProperties)
    this.connectionName = fieldText(findField(said.clientProperties, 'connection_name')) ?? ''
    const login = readLogin(said.mechanism, said.response)
    const refusal = loginRefusal(login, this.side.address)
    if (refusal !== undefined) {
      const why = `Login was refused using authentication mechanism ${said.mechanism}. For details see the broker logfile.`
      return this.side.refusedLogin(refusal, new Fault('ACCESS_REFUSED', why))
    }
    this.user = login.user
    this.currentState = 'tuning'
    const { channelsMax: channelMax, frameBytesMax: frameMax, heartbeatSeconds: heartbeat } = offered
    this.side.write('connectionTune', { channelMax, frameMax, heartbeat })
  }

  /** 0 asks for no limit, which is more than we offer (rabbit_reader:validate_negotiated_integer_value). */
  private tuneOk(said: Extract<MethodCall, { name: 'connectionTuneOk' }>['arguments']): void {
    checkNegotiated('frame_max', said.frameMax, frameBytesMin, offered.frameBytesMax)
    checkNegotiated('channel_max', said.channelMax, 1, offered.channelsMax)
    this.currentState = 'opening'
    this.side.tuned({
      frameBytesMax: said.frameMax,
      channelsMax: said.channelMax,
      heartbeatSeconds: said.heartbeat,
    })
  }
}

/** As RabbitMQ's texts name them. */
const stateNames: Readonly<Record<State, string>> = {
  starting: 'starting',
  tuning: 'tuning',
  opening: 'opening',
  open: 'running',
}

const connectionTune = (10 << 16) | 30

function checkNegotiated(name: string, value: number, min: number, max: number): void {
  const said = `negotiated ${name} = ${value}${name === 'channel_max' && value === 0 ? ' (no limit)' : ''}`
  if (value !== 0 && value < min) {
    throw new Fault('NOT_ALLOWED', `${said} is lower than the minimum allowed value (${min})`, connectionTune)
  }
  if (value === 0 || value > max) {
    throw new Fault('NOT_ALLOWED', `${said} is higher than the maximum allowed value (${max})`, connectionTune)
  }
}
